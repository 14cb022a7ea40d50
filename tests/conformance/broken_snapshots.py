"""Backends that each break one law about snapshots."""

import copy
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tally import Copied, Tally, TallyBackend

from ckptkit.backend import Pending, SaveContext, SavedItem, SnapshotContext


class ForgetsTheProbe(TallyBackend):
    """Nobody told the thread that there is to be one."""

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        return _WithoutProbe(type(self), copy.copy(item))


class _WithoutProbe(Copied):
    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        return super().write(directory, context=replace(context, probe=False))


class KeepsTheItem(TallyBackend):
    """Its snapshot is the live item."""

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        return Copied(type(self), item)


class HasOnePlace(TallyBackend):
    """The next snapshot goes where the one before still is."""

    place: ClassVar[Tally]

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        HasOnePlace.place = copy.copy(item)
        return _InPlace()


class _InPlace:
    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        return HasOnePlace().save(HasOnePlace.place, directory, context=context)


class DrawsWhileItCopies(TallyBackend):
    """Names its snapshot by chance."""

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        random.random()
        return super().snapshot(item, context=context)


class TakesMemoryForZeros(TallyBackend):
    """Adds to what it was given."""

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        memory = context.memory(1)
        memory[0] += 1
        return _Added(type(self), copy.copy(item), memory)


@dataclass(frozen=True)
class _Added(Copied):
    memory: memoryview

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        self.tally.count += self.memory[0] - 1
        return super().write(directory, context=context)
