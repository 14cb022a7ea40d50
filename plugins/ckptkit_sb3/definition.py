"""What the self-test of an environment is asked and answers: a definition to build another from, and a verdict.

Nothing is built or stepped here. What can be pickled goes by a pipe to a process that this one started; it never
reaches a disk, and nothing from a disk is ever unpickled.
"""

import hashlib
import io
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ckptkit_sb3.levels import levels_of, names_of, without_monitor
from ckptkit_sb3.names import class_name
from ckptkit_sb3.shared_state import Name

Way = Literal["factory", "spec", "copy"]
_OUTSIDE = (io.IOBase, socket.socket, subprocess.Popen, threading.Thread)
_LARGEST = 64 << 20
_PACKAGES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OURS = "ckptkit_sb3"


@dataclass(frozen=True, slots=True)
class Definition:
    """How to build an environment of one kind.

    Attributes:
        names: the classes of its levels, innermost first, without SB3's Monitor.
        key: equal for environments of the same code.
        ways: pickles to build it from, best first: of a factory, of gymnasium's spec, of the environment itself.
        untouchable: why no other one may be built and stepped, if so.
    """

    names: Sequence[str]
    key: str
    ways: Sequence[tuple[Way, bytes]] = ()
    untouchable: str | None = None

    def with_factory(self, factory: Callable[[], Any] | None) -> "Definition":
        """Return the same with a factory before all other ways."""
        modules = sorted({*_own_modules(factory if isinstance(factory, type) else type(factory)), *_home_of(factory)})
        data = None if factory is None else _pickled(factory, modules)
        return self if data is None else replace(self, ways=[("factory", data), *self.ways])


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """Which ways of capturing an environment are right.

    Attributes:
        found: by way of capturing: None where a second environment went on alike, else what was wrong.
        outside: names outside the environment that changed while it played: they are captured beside it.
        untested: why nothing was tested.
    """

    found: Mapping[str, str | None] = field(default_factory=dict)
    outside: Sequence[Name] = ()
    untested: str | None = None

    def against(self, strategy: str) -> str | None:
        """Return what was wrong with a way of capturing, or None."""
        return self.found.get(strategy)

    def tested(self, strategy: str) -> str:
        """Return ``passed``, or why a way of capturing was not tested."""
        if strategy in self.found:
            return "passed"
        return f"not tested: {self.untested or 'the environment that was tried could not be captured in this way'}"


def define(env: Any) -> Definition:
    """Return the definition of a live environment; it is only read."""
    env = without_monitor(env)
    names, spec = names_of(env), getattr(env, "spec", None)
    made_of = hashlib.sha256("\n".join(names).encode())
    made_of.update(f"{getattr(spec, 'id', None)} {getattr(spec, 'kwargs', None)}".encode())
    for level in levels_of(env):
        made_of.update(_code_of(type(level)))
    key, reason = made_of.hexdigest(), untouchable(env)
    if reason is not None:
        return Definition(names, key, untouchable=reason)
    modules = sorted({m for level in levels_of(env) for m in _own_modules(type(level))})
    candidates: list[tuple[Way, Any]] = [("factory", vars(env).get("ckptkit_factory")), ("spec", spec), ("copy", env)]
    pickled = [(way, _pickled(value, modules)) for way, value in candidates if value is not None]
    return Definition(names, key, [(way, data) for way, data in pickled if data is not None])


def untouchable(env: Any) -> str | None:
    """Return why stepping another environment of this kind could disturb the live one, or the world."""
    if getattr(env, "render_mode", None) == "human":
        return "it renders to a screen"
    seen: set[int] = set()
    values = [env]
    while values and len(seen) < 2000:
        value = values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _OUTSIDE) or class_name(value).startswith("multiprocessing.connection."):
            return f"it holds a {class_name(value)}"
        if isinstance(value, Mapping):
            values.extend(value.values())
        elif isinstance(value, (list, tuple)):
            values.extend(value[:100])
        elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
            values.extend(vars(value).values())
    return None


def _code_of(kind: type) -> bytes:
    found = []
    for name, value in sorted(vars(kind).items()):
        code = getattr(value, "__code__", None)
        if code is not None:
            constants = [c for c in code.co_consts if not hasattr(c, "co_code")]
            found.append(repr((name, code.co_code, code.co_names, constants)))
    return "\n".join(found).encode()


def _own_modules(kind: type) -> Iterator[str]:
    """Yield the user's modules that a class comes from: they go by value, so that nothing runs at their import."""
    for base in kind.__mro__:
        yield from _home_of(base)


def _home_of(value: Any) -> Iterator[str]:
    name = getattr(value, "__module__", None) or "builtins"
    file = getattr(sys.modules.get(name), "__file__", None)
    installed = file is None or any(Path(file).is_relative_to(place) for place in _PACKAGES)
    if not installed and name.partition(".")[0] != _OURS:
        yield name


def _pickled(value: Any, modules: Sequence[str]) -> bytes | None:
    import cloudpickle

    def dumped() -> bytes | None:
        stream = _Limited()
        try:
            cloudpickle.Pickler(stream).dump(value)
        except Exception:  # a stranger's objects fail in as many ways as there are; then this way is not taken
            return None
        return stream.getvalue()

    registered = [sys.modules[m] for m in modules if m not in cloudpickle.list_registry_pickle_by_value()]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        by_value = dumped()
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
    return dumped() if by_value is None and registered else by_value


class _Limited(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + memoryview(data).nbytes > _LARGEST:
            raise MemoryError("too large to be sent")
        return super().write(data)
