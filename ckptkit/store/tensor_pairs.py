"""Which tensor of one checkpoint is which of another, and by how much they differ; only differing files are read."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.digest import algorithm_of
from ckptkit.errors import DamagedError
from ckptkit.formats import tensor_changes
from ckptkit.formats.tensor_changes import Change
from ckptkit.formats.tensors import NOWHERE, Tensor
from ckptkit.manifest.models import FileEntry
from ckptkit.storage import Entry
from ckptkit.store import contents

Key = tuple[str, str, int]
Found = tuple[str, dict[str, Any] | None, dict[str, Any] | None, Change | None]


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be read, and why."""

    at: Entry
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class _There:
    """A tensor, and the file that lists it."""

    path: str
    tensor: Tensor

    @property
    def like(self) -> tuple[str, tuple[int, ...]]:
        """What its header says of it."""
        return self.tensor.dtype, self.tensor.shape

    def fields(self) -> dict[str, Any]:
        tensor = self.tensor
        return {"file": self.path, "member": tensor.member, "dtype": tensor.dtype, "shape": list(tensor.shape)}


@dataclass(slots=True)
class TensorPairs:
    """The tensors of one item, in two checkpoints.

    Attributes:
        item: its name.
        a: the first checkpoint.
        b: the second.
        same: how many were found to be equal.
        left: how many were not compared, as that was not asked for.
        unread: files that could not be read.
    """

    item: str
    a: Entry
    b: Entry
    same: int = 0
    left: int = 0
    unread: list[Unread] = field(default_factory=list)
    _both: list[tuple[_There, _There]] = field(default_factory=list)
    _alone: tuple[list[_There], list[_There]] = field(default_factory=lambda: ([], []))

    @property
    def expected(self) -> int:
        """Bytes of the tensors that are to be compared."""
        self._join()
        return sum(one.tensor.place.size + other.tensor.place.size for one, other in self._both)

    def same_file(self, a: FileEntry, b: FileEntry) -> bool:
        """Return whether two files are equal: by their digests, or by reading both where these are of two kinds."""
        if a.digest == b.digest:
            return True
        if a.size != b.size or algorithm_of(a.digest) == algorithm_of(b.digest):
            return False
        return contents.same_bytes(self.a, a.path, self.b, b.path)

    def add(self, a: FileEntry | None, b: FileEntry | None) -> None:
        """Read the headers of two files that differ; None where one of the two has no such file."""
        keyed = [_keyed(self._tensors(at, file)) for at, file in ((self.a, a), (self.b, b))]
        for key, one in keyed[0].items():
            if key in keyed[1]:
                self._both.append((one, keyed[1].pop(key)))
            else:
                self._alone[0].append(one)
        self._alone[1].extend(keyed[1].values())

    def compared(self, *, values: bool, on_bytes: Callable[[int], None]) -> Iterator[Found]:
        """Yield each tensor that differs: its name, what it is in the one and in the other, and by how much."""
        self._join()
        numpy = tensor_changes.numpy_for(sum(one.tensor.elements for one, _ in self._both) if values else 0)
        for one, other in self._both:
            told = one.like != other.like
            if not values or NOWHERE in (one.tensor.place.offset, other.tensor.place.offset):
                if told:
                    yield one.tensor.label, one.fields(), other.fields(), None
                self.left += not told
                continue
            try:
                same, change = self._change(one, other, numpy, on_bytes)
            except DamagedError:
                self.unread += self._to_blame(one, other)
                continue
            if same:
                self.same += 1
            else:
                yield one.tensor.label, one.fields(), other.fields(), change
        yield from ((one.tensor.label, one.fields(), None, None) for one in self._alone[0])
        yield from ((other.tensor.label, None, other.fields(), None) for other in self._alone[1])

    def _join(self) -> None:
        """Pair tensors that lie in files of other names: the shards of a model may be cut anew."""
        names = [Counter((t.tensor.member, t.tensor.name) for t in side) for side in self._alone]
        only = {name for name, count in names[0].items() if count == names[1][name] == 1}
        there = [{(t.tensor.member, t.tensor.name): t for t in side} for side in self._alone]
        self._both += [(there[0][name], there[1][name]) for name in there[0] if name in only]
        for side in self._alone:
            side[:] = [t for t in side if (t.tensor.member, t.tensor.name) not in only]

    def _tensors(self, at: Entry, file: FileEntry | None) -> list[_There]:
        if file is None:
            return []
        try:
            return [_There(file.path, tensor) for tensor in contents.tensors_of(at, file)]
        except DamagedError as error:
            self.unread.append(Unread(at, file.path, error.message))
            return []

    def _change(
        self, one: _There, other: _There, numpy: Any, on_bytes: Callable[[int], None]
    ) -> tuple[bool, Change | None]:
        """Return whether two tensors are equal, and if not, by how much they differ, where that can be told."""
        with contents.held(self.a, one.path, one.tensor) as a, contents.held(self.b, other.path, other.tensor) as b:
            if one.like == other.like and tensor_changes.same_content(a, b):
                on_bytes(a.size + b.size)
                return True, None
            if one.tensor.shape == other.tensor.shape and tensor_changes.comparable(a.tensor, b.tensor):
                return False, tensor_changes.change(a, b, on_bytes, numpy=numpy)
        return False, None

    def _to_blame(self, one: _There, other: _There) -> Iterator[Unread]:
        for at, there in ((self.a, one), (self.b, other)):
            try:
                with contents.held(at, there.path, there.tensor) as held:
                    for _ in held.blocks(as_stored=True):
                        pass
            except DamagedError as own:
                yield Unread(at, there.path, own.message)


def _keyed(tensors: Sequence[_There]) -> dict[Key, _There]:
    """Return tensors by their names; of several of one name, by their number too."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for there in tensors:
        name = there.tensor.member, there.tensor.name
        found[(*name, seen[name])] = there
        seen[name] += 1
    return found
