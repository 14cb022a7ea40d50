"""What a disk may hold after the power failed: a model that promises what POSIX promises, and nothing more.

A file lasts as it was at its last fsync. Of what was written to it since, any blocks may be there, in any order; the
others are as they were, or zeros; its end may be cut. A folder lasts as it was at its own last fsync. Of the names that
came or went since, any may be kept and any lost, whatever became of the files behind them: an fsync of a file keeps no
name of it, and one of a folder keeps nothing that lies in the files.

Of one rename the two names are kept or lost together, as on every file system with a journal or with copies on write
(ext4, XFS, Btrfs, ZFS, APFS, NTFS). Where they are *torn* not even that is so, which POSIX allows as well.
"""

import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from disk_calls import Call

BLOCK = 512  # bytes: what a disk writes at once
Data = Literal["lost", "zeros", "cut", "mixed", "kept"]
"""What is left of what was written to a file since its last fsync."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a file, or of a link, of which the content is the target.

    Attributes:
        content: its bytes.
        is_link: whether it is a link.
        written: when, in nanoseconds since 1970.
    """

    content: bytes
    is_link: bool = False
    written: int = field(default=0, compare=False)


Tree = dict[str, Left | None]
"""By relative path; None for a folder."""


@dataclass(eq=False)
class File:
    """A file: as it lasts, as it is, and when it was written. Links are files that hold their target."""

    lasting: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    is_link: bool = False
    written: int = field(default_factory=time.time_ns)

    def after(self, data: Data, chance: random.Random) -> bytes:
        """Return what may be left of it."""
        now, before = bytes(self.now), self.lasting
        if data == "kept" or now == before or self.is_link:
            return now
        if data == "lost":
            return before
        if data == "cut":
            return now[: chance.randrange(len(now) + 1)]
        blocks = []
        for start in range(0, len(now), BLOCK):
            new, old = now[start : start + BLOCK], before[start : start + BLOCK]
            zeros = old if new == old else bytes(len(new))
            blocks.append(zeros if data == "zeros" else chance.choice([new, old.ljust(len(new), b"\0"), zeros]))
        whole = b"".join(blocks)
        return whole if data == "zeros" or chance.random() < 0.7 else whole[: chance.randrange(len(whole) + 1)]


@dataclass(eq=False)
class Folder:
    """A folder: the names that last, and those that there are."""

    lasting: "dict[str, Thing]" = field(default_factory=dict)
    now: "dict[str, Thing]" = field(default_factory=dict)


Thing = File | Folder


@dataclass(frozen=True, slots=True)
class Change:
    """A name that came (``thing``) or went (None), and which operation it belongs to."""

    folder: Folder
    name: str
    thing: Thing | None
    operation: int


class Disk:
    """A folder of a real disk, of which all lasts, and then what is done in it.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._inodes: dict[int, Thing] = {}
        self._pending: list[Change] = []
        self._half_lasting: set[int] = set()
        self._operations = 0
        top = self._loaded(root)
        assert isinstance(top, Folder)
        self.top = top

    def _loaded(self, path: Path) -> Thing:
        status = path.lstat()
        if (known := self._inodes.get(status.st_ino)) is not None:
            return known
        thing: Thing
        if path.is_symlink():
            target = os.fsencode(os.readlink(path))
            thing = File(target, bytearray(target), is_link=True)
        elif path.is_dir():
            inside = {one.name: self._loaded(one) for one in path.iterdir()}
            thing = Folder(dict(inside), inside)
        else:
            thing = File(path.read_bytes(), bytearray(path.read_bytes()), written=status.st_mtime_ns)
        self._inodes[status.st_ino] = thing
        return thing

    # --- what is done ---

    def apply(self, call: Call) -> None:
        """Do what a call did."""
        self._operations += 1
        getattr(self, f"_{call.what}")(call)

    def _place(self, path: str) -> tuple[Folder, str] | None:
        """Return the folder and the name in it; None outside the root."""
        relative = os.path.relpath(os.path.normpath(path), self._root)
        if relative.startswith(".."):
            return None
        *parents, name = relative.split("/")
        folder: Thing = self.top
        for parent in parents:
            assert isinstance(folder, Folder)
            folder = folder.now[parent]
        assert isinstance(folder, Folder)
        return folder, name

    def _put(self, path: str, thing: Thing | None) -> None:
        place = self._place(path)
        if place is None:
            return
        folder, name = place
        if thing is None:
            del folder.now[name]
        else:
            folder.now[name] = thing
        self._pending.append(Change(folder, name, thing, self._operations))

    def _at(self, path: str) -> Thing:
        place = self._place(path)
        assert place is not None, f"{path}: came from outside"
        return place[0].now[place[1]]

    def _create(self, call: Call) -> None:
        self._inodes[call.inode] = File()
        self._put(call.one, self._inodes[call.inode])

    def _mkdir(self, call: Call) -> None:
        self._inodes[call.inode] = Folder()
        self._put(call.one, self._inodes[call.inode])

    def _symlink(self, call: Call) -> None:
        target = os.fsencode(call.one)
        self._put(call.other, File(target, bytearray(target), is_link=True))

    def _link(self, call: Call) -> None:
        self._put(call.other, self._at(call.one))

    def _remove(self, call: Call) -> None:
        self._put(call.one, None)

    def _rename(self, call: Call) -> None:
        thing, there = self._at(call.one), self._place(call.other)
        if there is None or there[0].now.get(there[1]) is not thing:  # two names of one file both stay
            self._put(call.one, None)
            self._put(call.other, thing)

    def _exchange(self, call: Call) -> None:
        one, other = self._at(call.one), self._at(call.other)
        self._put(call.one, other)
        self._put(call.other, one)

    def _file(self, call: Call) -> File | None:
        found = self._inodes.get(call.inode)  # one without a name is of no interest
        assert not isinstance(found, Folder)
        return found

    def _write(self, call: Call) -> None:
        if (file := self._file(call)) is not None:
            file.now.extend(bytes(max(0, call.number - len(file.now))))
            file.now[call.number : call.number + len(call.data)] = call.data

    def _truncate(self, call: Call) -> None:
        if (file := self._file(call)) is not None:
            del file.now[call.number :]
            file.now.extend(bytes(call.number - len(file.now)))

    def at(self, call: Call) -> Thing | None:
        """Return what a flush is of; None where that never had a name."""
        return self._inodes.get(call.inode)

    def _flush(self, call: Call) -> None:
        thing = self.at(call)
        if isinstance(thing, File):
            thing.lasting = bytes(thing.now)
        elif isinstance(thing, Folder):
            thing.lasting = dict(thing.now)
            self._half_lasting |= {change.operation for change in self._pending if change.folder is thing}
            self._pending = [change for change in self._pending if change.folder is not thing]

    # --- what may be left ---

    def unsure(self) -> list[int]:
        """Return the operations of which a name is not sure to last."""
        return list(dict.fromkeys(change.operation for change in self._pending))

    def whole(self) -> Tree:
        """Return what there is while the power is on."""
        return self.after(self.unsure(), "kept", random.Random(0))

    def after(self, kept: Iterable[int], data: Data, chance: random.Random, *, torn: bool = False) -> Tree:
        """Return what may be left when the power fails now.

        Args:
            kept: of which operations the names are kept that are not sure to last.
            data: what is left in the files.
            chance: chooses.
            torn: whether of a rename one name may be kept and the other one lost.
        """
        chosen = set(kept) if torn else {*kept, *self._half_lasting}
        names: dict[Folder, dict[str, Thing | None]] = {}
        for change in self._pending:
            if change.operation in chosen and not (torn and chance.random() < 0.4):
                names.setdefault(change.folder, {})[change.name] = change.thing
        tree: Tree = {}
        waiting = [("", self.top)]
        while waiting:
            prefix, folder = waiting.pop()
            for name, thing in sorted({**folder.lasting, **names.get(folder, {})}.items()):
                if isinstance(thing, Folder):
                    tree[prefix + name] = None
                    waiting.append((f"{prefix}{name}/", thing))
                elif thing is not None:
                    tree[prefix + name] = Left(thing.after(data, chance), thing.is_link, thing.written)
        return tree


def read(root: Path) -> Tree:
    """Return what a folder holds."""
    tree: Tree = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            tree[name] = Left(os.fsencode(os.readlink(path)), is_link=True)
        else:
            tree[name] = None if path.is_dir() else Left(path.read_bytes())
    return tree


def write(tree: Tree, root: Path) -> None:
    """Write a tree to a folder; of it only folders may be there."""
    for name in sorted(tree):
        left, path = tree[name], f"{root}/{name}"
        if left is None:
            os.makedirs(path, exist_ok=True)
        elif left.is_link:
            os.symlink(os.fsdecode(left.content), path)
        else:
            with open(path, "wb") as stream:
                stream.write(left.content)
            os.utime(path, ns=(left.written, left.written))
