"""A complete backend in pure Python that keeps every law of the conformance kit and has every power."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.backend import (
    Captured,
    CheckContext,
    LoadContext,
    Pending,
    Problem,
    Proof,
    SaveContext,
    SavedItem,
    SnapshotContext,
)
from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats import strict_json


@dataclass
class Tally:
    """Counts in strides and remembers the sum; ``next`` returns both.

    ``listener`` is an object of the user's that no file can hold: it starts over. ``built`` is the stride that it was
    built with: a new process builds that again.
    """

    stride: int = 3
    count: int = 0
    total: int = 0
    listener: Counter[int] | None = None
    built: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.built = self.stride

    def next(self) -> tuple[int, int]:
        self.count += self.stride
        self.total += self.count
        if self.listener is not None:
            self.listener[self.count] += 1
        return self.count, self.total

    def state(self) -> dict[str, int]:
        return {"stride": self.stride, "count": self.count, "total": self.total}


def read(directory: Path) -> dict[str, int]:
    try:
        state = strict_json.load(directory / "tally.json")
    except OSError as error:
        raise DamagedError(f"tally.json: {error.strerror}") from error
    known = {"stride", "count", "total"}
    if not isinstance(state, dict) or state.keys() - {"listener"} != known:
        raise DamagedError("tally.json: does not hold stride, count and total")
    return state


def captured_of(state: Mapping[str, int]) -> Captured:
    return Captured("partial", ["the listener is not saved"]) if "listener" in state else Captured()


@dataclass(frozen=True)
class Copied:
    """A tally that nobody goes on with, and the backend that writes it."""

    backend: "type[TallyBackend]"
    tally: Tally

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        return self.backend().save(self.tally, directory, context=context)


class TallyBackend:
    """Keeps every law, and has every power."""

    name = "tally"
    format_version = 1

    def can_save(self, item: object, /) -> bool:
        return type(item) is Tally

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        if not self.can_save(item):
            raise BackendError(f"a {type(item).__name__} is not a Tally")
        if item.stride != item.built:
            hint = "build another Tally to count otherwise"
            raise BackendError(f"tally: counts by {item.stride}, and was built to count by {item.built}", hint=hint)
        state = item.state() | ({} if item.listener is None else {"listener": 0})
        (directory / "tally.json").write_bytes(strict_json.dumps(state) + b"\n")
        following = list(Tally(**item.state()).next())
        probe = {"next": following, "digests": self.digests(item)} if context.probe else None
        return SavedItem({"count": item.count}, None, {"count": item.count}, captured_of(state), probe=probe)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        if not self.can_save(item):
            raise BackendError(f"a {type(item).__name__} is not a Tally")
        return Copied(type(self), copy.copy(item))

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        state = read(directory)
        target = Tally(state["stride"]) if target is None else target
        if type(target) is not Tally:
            raise BackendError(f"tally: the target is a {type(target).__name__}, not a Tally")
        if target.stride != state["stride"]:
            raise BackendError(f"tally: the target counts by {target.stride}, not by {state['stride']}")
        target.count, target.total = state["count"], state["total"]
        return target

    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        try:
            read(directory)
        except DamagedError as error:
            yield Problem("tally-damaged", str(error), file="tally.json")

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        if context.probe is None:
            return Proof("unproven", "no probe was recorded")
        found = list(self.load(directory, target=None, context=context).next())
        return Proof("same") if found == context.probe["next"] else Proof("differs", "counts differently")

    def recognise(self, path: Path, /) -> dict[str, Path] | None:
        try:
            read(path)
        except (DamagedError, OSError):
            return None
        return {"tally.json": path / "tally.json"}

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        state = read(directory)
        return SavedItem(counters={"count": state["count"]}, captured=captured_of(state))

    def estimate_bytes(self, item: Any, /) -> int:
        return 64

    def digests(self, item: Any, /) -> dict[str, str]:
        return {"count": str(item.count), "total": str(item.total)}
