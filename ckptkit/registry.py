"""Find backends: all come through the entry-point group ``ckptkit.backends``, built-in or not."""

import difflib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ckptkit import extensions
from ckptkit.backend import Backend, SupportsIngest
from ckptkit.errors import (
    OF_THE_DISK,
    BackendError,
    BackendUnavailableError,
    CkptkitError,
    StoreError,
    UnknownBackendError,
)
from ckptkit.extensions import Extension, reason

GROUP = "ckptkit.backends"
_LOOKED_INTO = 256 << 20
# The built-ins' remedies: what to install when the framework is missing, and which modules tell that it is.
_BUILT_IN = {
    "numpy-rng": ("numpy", ("numpy",)),
    "safetensors": ("safetensors", ("safetensors", "torch")),
    "tf-data": ("tf-data", ("tensorflow",)),
    "sb3": ("sb3", ("stable_baselines3", "torch")),
    "torch-data": ("torch-data", ("torch",)),
}


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """One installed backend, loaded or not.

    Attributes:
        name: entry-point name.
        distribution: the distribution that brings it, with its version, for people.
        backend: the backend, or None when it failed to load.
        problem: why it cannot be used at all (it failed to load), or None.
        missing: modules of its framework that are not installed: it can list and verify, but not save and load.
        remedy: what to do about them.
    """

    name: str
    distribution: str
    backend: Backend | None
    problem: str | None = None
    missing: tuple[str, ...] = ()
    remedy: str | None = None


@cache
def backends() -> Mapping[str, BackendInfo]:
    """Return all installed backends by name.

    A broken plugin is reported in its place and does not affect the others.
    """
    return {name: info for name in extensions.installed(GROUP) if (info := _named(name)) is not None}


@cache
def _named(name: str) -> BackendInfo | None:
    """Return one backend, or None: most commands need one or two of them, and not the others' imports."""
    brought = extensions.installed(GROUP).get(name)
    return None if brought is None else _only(brought)


def _only(brought: Sequence[Extension]) -> BackendInfo:
    first, *others = brought
    if others:
        problem = f"two distributions bring a backend named {first.name!r}; uninstall one"
        return BackendInfo(first.name, others[-1].distribution, None, problem)
    return _load(first)


def _load(found: Extension) -> BackendInfo:
    try:
        backend: Any = found.load()()
        if not isinstance(backend, Backend):
            raise TypeError(f"{found.value} does not follow the Backend protocol")
        if backend.name != found.name:
            raise TypeError(f"{found.value} calls itself {backend.name!r}, its entry point says {found.name!r}")
        extra, modules = _BUILT_IN.get(found.name, (None, getattr(backend, "requires", ())))
        missing = tuple(m for m in modules if importlib.util.find_spec(m) is None)
    except (Exception, SystemExit) as error:
        # Making one runs a stranger's code as importing it does; the reason is shown by `ckptkit backends`.
        return BackendInfo(found.name, found.distribution, None, f"failed to load: {reason(error)}")
    remedy = _remedy(found, extra) if missing else None
    return BackendInfo(found.name, found.distribution, backend, None, missing, remedy)


def _remedy(found: Extension, extra: str | None) -> str:
    """Return what to do about missing modules, which are not always packages of the same name."""
    from ckptkit import installation  # it asks Python what is installed, and that takes long to import

    if extra is not None:
        return installation.remedy(extra)
    command = installation.remedy_of(found.package) if found.package else None
    return command or f"see the documentation of {found.distribution}"


def distributions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that bring these backends, by name."""
    infos = [info for name in names if (info := _named(name)) is not None]
    pairs = (info.distribution.rpartition(" ") for info in infos)
    return {name: version for name, _, version in pairs if name}


def get(name: str, *, item: str | None = None) -> Backend:
    """Return a backend by name, whether or not its framework is installed.

    Args:
        name: of the backend.
        item: that was to be saved by it, for the message.

    Raises:
        UnknownBackendError: no such backend is installed.
        BackendError: it failed to load.
    """
    info = _named(name)
    if info is None:
        hint = _other_names(name, item)
        raise UnknownBackendError(f"backend {name!r} is not installed here", hint=hint, item=item)
    if info.backend is None:
        raise BackendError(f"backend {name!r} {info.problem}", hint="repair or uninstall its package")
    return info.backend


def _other_names(name: str, item: str | None) -> str:
    """Return what may be meant by the name of a backend that is not there."""
    there = f"installed: {', '.join(backends()) or 'none'}"
    near = difflib.get_close_matches(name.lower(), backends(), n=1, cutoff=0.5)
    if not near:
        return f"{there}; install the package that brings {name!r}"
    return f"did you mean {near[0] if item is None else f'{item}:{near[0]}='}? {there}"


def usable(name: str) -> Backend:
    """Return a backend whose framework is installed; raises BackendUnavailableError with the remedy otherwise."""
    backend, info = get(name), _named(name)
    if info is not None and info.missing:
        raise BackendUnavailableError(
            f"backend {name!r} needs {', '.join(info.missing)}, which is not installed",
            hint=info.remedy,
        )
    return backend


def for_object(item: object, *, name: str) -> Backend:
    """Return the one backend that saves the live object; raises UnknownBackendError naming the type if none does."""
    failed = ""
    for info in backends().values():
        try:
            if info.backend is not None and info.backend.can_save(item):
                return info.backend
        except Exception as error:  # a stranger's backend that cannot even answer stands in nobody's way
            failed = f" (backend {info.name!r} failed to answer: {reason(error)})"
    kind = f"{type(item).__module__}.{type(item).__qualname__}{failed}"
    raise UnknownBackendError(
        f"no installed backend saves a {kind}",
        hint=f"installed: {', '.join(backends()) or 'none'}; docs/how-to/write-a-backend.md shows how to add one",
        item=name,
    )


def _failed(path: Path, name: str, backend: str, error: Exception) -> CkptkitError:
    """Return what to raise where a backend could not look at a file: it may not be to blame."""
    if isinstance(error, OSError) and error.errno in OF_THE_DISK:
        return StoreError(f"{path}: {error.strerror}", hint="see to the disk, or try again", item=name)
    return BackendError(f"{path}: backend {backend!r} failed to look at it: {reason(error)}")


def for_path(path: Path, *, name: str, backend: str | None = None) -> tuple[Backend, Mapping[str, Path]]:
    """Return the backend that recognises files by content, and the files (relative name -> source).

    Args:
        path: a file, a folder, or a prefix such as ``tf/ckpt-12``.
        name: name of the item, for the message.
        backend: only this backend is asked.

    Raises:
        UnknownBackendError: no backend, or more than one, recognises the path.
    """
    if backend is not None:
        one = get(backend, item=name)
        if not isinstance(one, SupportsIngest):
            raise BackendError(f"backend {backend!r} cannot adopt files", hint="save the live object", item=name)
        try:
            recognised = one.recognise(path)
        except CkptkitError:
            raise
        except Exception as error:
            raise _failed(path, name, backend, error) from error
        if not recognised:
            wanted = f" (it looks for {kind})" if (kind := getattr(one, "looks_for", "")) else ""
            raise UnknownBackendError(
                f"{path}: backend {backend!r} does not recognise it{wanted}",
                hint=f"check the path; {name}:files=PATH keeps files of any kind, byte for byte",
            )
        return one, recognised
    found: list[tuple[Backend, Mapping[str, Path]]] = []
    failed = ""
    for info in backends().values():
        if getattr(info.backend, "explicit_only", False):
            continue  # it would take anything
        try:
            if isinstance(info.backend, SupportsIngest) and (files := info.backend.recognise(path)):
                found.append((info.backend, files))
        except Exception as error:
            failed = f" (backend {info.name!r} failed to look at it: {reason(error)})"
    if not found:
        kinds = [kind for info in backends().values() if (kind := getattr(info.backend, "looks_for", ""))]
        raise UnknownBackendError(
            f"{path}: no installed backend recognises it{failed}{_damage(path)}; looked for {'; '.join(kinds)}",
            hint=f"{name}:files=PATH keeps files of any kind, byte for byte; {name}:BACKEND=PATH says why one does not",
        )
    if len(found) > 1:
        names = ", ".join(b.name for b, _ in found)
        raise UnknownBackendError(
            f"{path}: more than one backend recognises it ({names})", hint=f"choose one: {name}:{found[0][0].name}=PATH"
        )
    return found[0]


def _damage(path: Path) -> str:
    """Return what is wrong with a file that nobody recognises: one that was cut short may show no kind any more."""
    from ckptkit.formats.kinds import look_into_file  # all readers, and nearly nobody needs them here

    if not path.is_file() or path.stat().st_size > _LOOKED_INTO:
        return ""
    problems = [p for p in look_into_file(path, file=path.name) if p.severity != "warning"]
    return f"; it looks damaged ({problems[0].message})" if problems else ""
