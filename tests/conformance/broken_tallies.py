"""Copies of the tally backend that each break one law of the conformance kit."""

import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from tally import Tally, TallyBackend, read

from ckptkit.backend import Captured, CheckContext, LoadContext, Problem, Proof, SaveContext, SavedItem
from ckptkit.errors import BackendError, DamagedError


class NeedsArguments(TallyBackend):
    def __init__(self, root: str) -> None:
        self.root = root


class BadName(TallyBackend):
    name = "My Tally"


class VersionZero(TallyBackend):
    format_version = 0


class RefusesItsOwn(TallyBackend):
    def can_save(self, item: object, /) -> bool:
        return False


class AcceptsAll(TallyBackend):
    def can_save(self, item: object, /) -> bool:
        return True


class TouchesTheItem(TallyBackend):
    def can_save(self, item: object, /) -> bool:
        return hasattr(item, "stride")


class SavesAnything(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        if type(item) is not Tally:
            (directory / "tally.json").write_text("{}")
            return SavedItem()
        return super().save(item, directory, context=context)


class ImportsNumpy(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        import numpy

        assert numpy.__name__
        return super().check(directory, context=context)


class Unpickles(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        import pickle

        pickle.loads(pickle.dumps(Path))
        return super().check(directory, context=context)


class WritesBeside(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        (directory.parent / "tally.log").write_text("saved")
        return super().save(item, directory, context=context)


class WritesIntoTheWorkingDirectory(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        Path("tally.log").write_text("saved")
        return super().save(item, directory, context=context)


class MakesALink(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        (directory / "latest.json").symlink_to("tally.json")
        return super().save(item, directory, context=context)


class WritesNothing(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        return SavedItem()


class ReturnsObjects(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        super().save(item, directory, context=context)
        return SavedItem(counters={"count": object()})  # type: ignore[dict-item]  # the fault under test


class RemembersThePlace(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        super().save(item, directory, context=context)
        return SavedItem(metadata={"directory": str(directory)})

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        return super().load(Path(context.metadata["directory"]), target=target, context=context)


class ChecksWithNotes(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        (directory / "checked").touch()
        return super().check(directory, context=context)


class CriesWolf(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        yield Problem("tally-odd", "looks odd", file="tally.json")


class ClaimsTheWholeFolder(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        yield from (Problem("tally-stray", "unknown file", file=n) for n in os.listdir(directory) if n != "tally.json")


class ForgetsTheTotal(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        target = super().load(directory, target=target, context=context)
        target.total = 0
        return target


class BuildsAnotherOne(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        return Tally(stride=7) if target is None else super().load(directory, target=target, context=context)


class DisturbsTheItem(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        said = super().save(item, directory, context=context)
        if context.probe:
            item.next()
        return said


class BlindToTruncation(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        if not (directory / "tally.json").exists():
            yield Problem("tally-missing", "is missing", file="tally.json")


class BlindToDeletion(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        return super().check(directory, context=context) if (directory / "tally.json").exists() else iter(())


class RaisesInCheck(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        read(directory)
        yield from ()


class ShoutsItsCodes(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        yield from (Problem("TALLY DAMAGED", p.message) for p in super().check(directory, context=context))


class RaisesKeyError(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        state: dict[str, int] = {}
        with contextlib.suppress(ValueError, OSError):
            state = json.loads((directory / "tally.json").read_bytes())
        target.count = state["count"]
        return target


class LoadsDamagedFiles(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        with contextlib.suppress(DamagedError):
            return super().load(directory, target=target, context=context)
        return target


class HalfLoads(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        if type(target) is Tally:
            target.count = 0 if context.step == 0 else 99
        return super().load(directory, target=target, context=context)


class TakesAnyTarget(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        return super().load(directory, target=target if type(target) is Tally else None, context=context)


class ProvesAnything(TallyBackend):
    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        return Proof("same")


class ProvesNothing(TallyBackend):
    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        return Proof("differs", "always")


class AlwaysProbes(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        return super().save(item, directory, context=SaveContext(step=context.step))


class ProbesOnlyTheCount(TallyBackend):
    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        if context.probe is None:
            return Proof("unproven", "no probe was recorded")
        count = self.load(directory, target=None, context=context).next()[0]
        return Proof("same") if count == context.probe["next"][0] else Proof("differs", "counts differently")


class RecognisesAnyFolder(TallyBackend):
    def recognise(self, path: Path, /) -> dict[str, Path] | None:
        return {p.name: p for p in path.iterdir()} if path.is_dir() else None


class StumblesOverStrangers(TallyBackend):
    def recognise(self, path: Path, /) -> dict[str, Path] | None:
        read(path)
        return {"tally.json": path / "tally.json"}


class RecognisesNothing(TallyBackend):
    def recognise(self, path: Path, /) -> dict[str, Path] | None:
        return None


class ChecksAdoptedFilesByTheirCount(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        if "count" not in context.metadata:
            yield Problem("tally-uncounted", "has no count in its metadata")


class DescribesBeyondItsFiles(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        target = super().load(directory, target=target, context=context)
        target.count = context.metadata.get("count", 0)
        return target


class EstimatesTooLittle(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        (directory / "padding.bin").write_bytes(bytes(1 << 20))
        return super().save(item, directory, context=context)


class DigestsAdvance(TallyBackend):
    def digests(self, item: Any, /) -> dict[str, str]:
        return {"next": str(item.next())}


class DigestsNothing(TallyBackend):
    def digests(self, item: Any, /) -> dict[str, str]:
        return {"stride": str(item.stride)}


class RefusesWhatItSaved(TallyBackend):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        if "listener" in read(directory):
            raise BackendError("the listener is not what was saved")
        return super().load(directory, target=target, context=context)


class RefusesOnlyAtTheRestore(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        item = Tally(**item.state(), listener=item.listener)  # built as it is now: nothing has changed
        return super().save(item, directory, context=context)


class RefusesWithoutAdvice(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        if item.stride != item.built:
            raise BackendError("no")
        return super().save(item, directory, context=context)


class ReadsBackTheListener(TallyBackend):
    def digests(self, item: Any, /) -> dict[str, str]:
        parts = super().digests(item)
        return parts if item.listener is None else parts | {"listener": str(item.listener)}


class RemembersInMemory(TallyBackend):
    saved: ClassVar[dict[str, dict[str, int]]] = {}

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        self.saved[str(directory)] = item.state()
        return super().save(item, directory, context=context)

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        target = super().load(directory, target=target, context=context)
        target.total = self.saved.get(str(directory), {}).get("total", 0)
        return target

    def digests(self, item: Any, /) -> dict[str, str]:
        return {"count": str(item.count)}


class NamesNoReasons(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        said = super().save(item, directory, context=context)
        return replace(said, captured=Captured(said.captured.grade))


class CannotDoWithoutFactories(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        if "tally" not in context.factories:
            raise BackendError("give factories={'tally': ...}")
        return super().save(item, directory, context=context)


class DescribesBetterThanItSaved(TallyBackend):
    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        return replace(super().describe(directory, context=context), captured=Captured())


class DrawsWhileItSaves(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        random.random()
        return super().save(item, directory, context=context)


class LooksAtTheMagicOnly(TallyBackend):
    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        try:
            begins = (directory / "tally.json").read_bytes().startswith(b'{"count"')
        except OSError:
            begins = False
        if not begins:
            yield Problem("tally-damaged", "does not begin as it should", file="tally.json")


class TrustsWhatItReads(LooksAtTheMagicOnly):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        return Tally(**json.loads((directory / "tally.json").read_bytes()))


class CrashesOnDamage(LooksAtTheMagicOnly):
    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        try:
            return super().load(directory, target=target, context=context)
        except DamagedError:
            os.abort()


class HangsOnDamage(LooksAtTheMagicOnly):
    limit_seconds = 4.0

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        try:
            return super().load(directory, target=target, context=context)
        except DamagedError:
            time.sleep(60)


class SleepsWhileItProves(TallyBackend):
    limit_seconds = 0.5

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        time.sleep(60)
        return super().prove(directory, context=context)


class SleepsWhileItChecks(TallyBackend):
    limit_seconds = 0.5

    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        time.sleep(60)
        return super().check(directory, context=context)


ELSEWHERE = Path(tempfile.gettempdir()) / f"tally-{os.getpid()}.log"


class WritesToAnAbsolutePath(TallyBackend):
    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        ELSEWHERE.write_text("saved")
        return super().save(item, directory, context=context)
