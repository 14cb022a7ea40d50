"""The walker: what a file is by its content, and what is checked of each kind, in one table.

Every file of every item goes through it, whatever its name and its backend. A file may be of several kinds at once
(one loader takes it for a pickle, another for a zip): each kind that its content shows is checked. Last it is followed
as a pickle, whatever it is, as far as a loader would follow it.

To add a kind: one line in ``KINDS``.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from ckptkit.errors import CkptkitError, DamagedError
from ckptkit.formats import (
    archives,
    emptiness,
    gguf,
    hdf5,
    json_files,
    keras_config,
    loose_pickles,
    npy,
    ocdbt,
    onnx,
    packed_files,
    parquet,
    safetensors_header,
    sb3_data,
    stacked_zips,
    tars,
    tf_bundle,
    torch_files,
    yaml_files,
)
from ckptkit.formats.opening import reason
from ckptkit.formats.sources import Source, source_of
from ckptkit.problem import Problem

Check = Callable[[Source], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        name: word for it.
        shows: whether the content is of this kind, judged by a small part of it: a half-written file should still show
            it.
        check: what is wrong with it; each problem that it finds counts, even in a member of an archive.
        suffixes: suffixes that promise the kind. They count for a file whose content shows no kind at all:
            empty, cut or overwritten.
        pickles: whether its check follows the content as pickles from the first byte on.
    """

    name: str
    shows: Callable[[Source], bool]
    check: Check
    suffixes: tuple[str, ...] = ()
    pickles: bool = False


def _of_file(check: Callable[..., Iterable[Problem]]) -> Check:
    """Return the check of a kind that is only looked for in files of its own: ``check(path, file=...)``."""
    return lambda source: [] if source.path is None else check(source.path, file=source.file)


def _shows_plain_zip(source: Source) -> bool:
    others = torch_files.shows_torch, npy.shows_npz, stacked_zips.shows_stacked_zips
    return archives.shows_zip(source) and not any(source.once(shows) for shows in others)


def _never(_: Source) -> bool:
    return False


def _is_empty(source: Source) -> bool:
    """Return whether a file has no content, unless another kind reports that by its name."""
    promised = any(source.name.endswith(k.suffixes) for k in KINDS)
    return source.length == 0 and source.path is not None and not promised


def _with_members(check: Callable[[Source, archives.Look], Iterable[Problem]]) -> Check:
    return lambda source: check(source, look_into)


KINDS: tuple[Kind, ...] = (
    Kind("torch", torch_files.shows_torch, _with_members(torch_files.check_torch), (".pt", ".pth", ".ckpt")),
    Kind("torch", torch_files.shows_legacy, torch_files.check_legacy, pickles=True),
    Kind("stacked-zips", stacked_zips.shows_stacked_zips, _with_members(stacked_zips.check_stacked_zips)),
    Kind("npz", npy.shows_npz, _with_members(npy.check_npz), (".npz",)),
    Kind("zip", _shows_plain_zip, _with_members(archives.check_zip), (".zip", ".keras")),
    Kind("tar", tars.shows_tar, _with_members(tars.check_tar)),
    Kind("packed", packed_files.shows_packed, packed_files.check_packed),
    Kind("packed", packed_files.shows_promised, packed_files.check_promised),
    Kind("unread", packed_files.shows_unread, packed_files.check_unread),
    Kind("npy", npy.shows_npy, npy.check_npy, (".npy",)),
    Kind("sb3-data", sb3_data.shows_sb3_data, sb3_data.check_sb3_data),
    Kind("yaml", yaml_files.shows_yaml, yaml_files.check_yaml),
    Kind("safetensors", safetensors_header.shows_safetensors, safetensors_header.check_safetensors, (".safetensors",)),
    Kind("hdf5", hdf5.shows_hdf5, hdf5.check_hdf5, (".h5", ".hdf5")),
    Kind("parquet", parquet.shows_parquet, parquet.check_parquet, (".parquet",)),
    Kind("gguf", gguf.shows_gguf, gguf.check_gguf, (".gguf",)),
    Kind("onnx", _never, onnx.check_onnx, (".onnx",)),
    Kind("tf-bundle", tf_bundle.shows_bundle, tf_bundle.check_bundle),
    Kind("ocdbt", ocdbt.shows_ocdbt, ocdbt.check_ocdbt, (".ocdbt",)),
    Kind("keras-config", keras_config.shows_keras_config, keras_config.check_keras_config),
    Kind("json", _never, json_files.check_json, (".json", "_METADATA")),
    Kind("pickle", _never, loose_pickles.check_promised, (".pkl", ".pickle", ".joblib"), pickles=True),
    Kind("empty", _is_empty, emptiness.check_empty),
)
"""The table, in the order in which problems are reported."""

_Asked = tuple[Kind | str | None, Path, str]
"""A kind, or its name, or none, of a file by a name for the problems."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in files: their problems, and their kinds by path and name for the problems."""

    problems: dict[_Asked, list[Problem]] = field(default_factory=dict)
    kinds: dict[tuple[Path | None, str], list[Kind]] = field(default_factory=dict)


_seen: ContextVar[_Seen | None] = ContextVar("seen", default=None)


@contextmanager
def each_file_once() -> Iterator[None]:
    """Within the block a file that is asked for twice, by a backend and by the core, is read only once."""
    token = _seen.set(_Seen())
    try:
        yield
    finally:
        _seen.reset(token)


def look_into_file(path: Path, *, file: str, kind: str | None = None) -> list[Problem]:
    """Return what is wrong with a file, and what loading it would run.

    Args:
        path: the file.
        file: name for the problems.
        kind: name of the kind that the caller knows it to be: it is a problem if it is not of that kind.
    """
    seen = _seen.get()
    if seen is not None and (kind, path, file) in seen.problems:
        return seen.problems[kind, path, file]
    try:
        with source_of(path, file=file) as source:
            found = list(look_into(source, kind))
    except (DamagedError, OSError) as error:
        found = [Problem("file-unreadable", f"cannot be read ({reason(error)})", file)]
    if seen is not None:
        seen.problems[kind, path, file] = found
    return found


def look_into_bytes(
    data: bytes, *, file: str, name: str = "", where: str = "", kind: str | None = None
) -> list[Problem]:
    """Return what is wrong with bytes that lie in a file, and what loading them would run; see ``look_into_file``."""
    source = Source(BytesIO(data), len(data), name, file, where, stored=len(data))
    return list(look_into(source, kind))


def look_into(source: Source, kind: str | None = None) -> Iterator[Problem]:
    """Yield the problems of some bytes; see ``look_into_file``."""
    found = list(_shown(source))
    if not found and kind is None and source.depth == 0:
        kind = next((k.name for k in KINDS if source.name.endswith(k.suffixes)), None)
    if kind is not None and all(k.name != kind for k in found):
        found.append(next(k for k in KINDS if k.name == kind))
    # A cut file shows its kind without being of it: both checks may say the same.
    yield from dict.fromkeys(problem for each in found for problem in _checked(each, source))
    if not any(each.pickles for each in found):
        yield from _checked(_ANYTHING, source)


def _shown(source: Source) -> list[Kind]:
    """Return the kinds that the content shows."""
    seen = _seen.get()
    asked = source.path, source.file
    if seen is not None and asked in seen.kinds:
        return seen.kinds[asked]
    found = [kind for kind in KINDS if source.once(kind.shows)]
    if seen is not None and source.path is not None:
        seen.kinds[asked] = found
    return found


def _checked(kind: Kind, source: Source) -> list[Problem]:
    seen = _seen.get()
    if seen is None or source.path is None:
        return _judged(kind, source)
    key = (kind, source.path, source.file)
    if key not in seen.problems:
        seen.problems[key] = _judged(kind, source)
    return seen.problems[key]


def _judged(kind: Kind, source: Source) -> list[Problem]:
    try:
        return list(kind.check(source))
    except CkptkitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        # Bytes that no reader expected: what could not be read was not judged, so it is not good.
        return [Problem("file-unreadable", f"cannot be read as {kind.name}: {type(error).__name__}", source.file)]


_ANYTHING = Kind("anything", lambda _: True, loose_pickles.check_anything)
