"""The state of an inert pickle machine: a real stack, real marks and a real memo, with nothing alive on them.

Globals are names, and whatever a call would return is one and the same placeholder. Reading the opcodes alone would
not do: a global's name may come out of the memo, or from text that was pushed long before.
"""

import _compat_pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from ckptkit.formats.pickle_memo import Memo
from ckptkit.formats.pickle_stream import PickleError, PickleStream

MAX_NAME = 1_000
"""Longer text is not a module, name, storage key or device, and is not kept."""
_WIDE_TUPLE = 64  # torch allows 64 dimensions; nothing wider is looked into


class Inert:
    """Placeholder for every value that is not looked at."""

    __slots__ = ()


INERT = Inert()
"""Placeholder for plain data: nothing that could be called."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that loading would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Made:
    """Placeholder for what a call returned; ``by`` which function, where that is known."""

    by: Global | None = None


MADE = Made()
"""What a call of something unknown returned."""


@dataclass(frozen=True, slots=True, order=True)
class Blob:
    """Bytes that were skipped: where they lie in the stream."""

    start: int
    size: int


LOADS = Global("torch.storage", "_load_from_bytes")
"""Unpickles the bytes it is given: what ``pickle`` writes of a tensor. They are followed as well."""

# By these an object passes for an array over any memory, or for a copy of something else.
_POSING = frozenset(
    (
        "__array__",
        "__array_interface__",
        "__array_struct__",
        "__cuda_array_interface__",
        "__deepcopy__",
        "__dlpack__",
        "__reduce__",
        "__reduce_ex__",
    )
)


_counts: Callable[[], defaultdict[Global, int]] = partial(defaultdict, int)
"""A Counter takes ten times as long to make, and several are made for every file."""


@dataclass(frozen=True, slots=True)
class Found:
    """What loading would do; one for several pickles, where a loader reads several of a file.

    Attributes:
        globals: every name that loading would import, in order (the values mean nothing).
        called: those of them that loading would call or make an instance of.
        tricks: what no honest pickler writes, one line each.
        uses: how often each name is asked for.
        made: how often an object of each was made without calling its constructor (``cls.__new__``).
        filled: names of functions and classes into whose results items are put.
        loads: how often ``LOADS`` is called with bytes that are there to be followed.
        calls: how often each name is called.
        unsure: names of functions to whose results a state is given that is not known to be a tuple of three.
    """

    globals: dict[Global, bool] = field(default_factory=dict)
    called: dict[Global, bool] = field(default_factory=dict)
    tricks: dict[str, bool] = field(default_factory=dict)
    uses: defaultdict[Global, int] = field(default_factory=_counts)
    made: defaultdict[Global, int] = field(default_factory=_counts)
    filled: dict[Global, bool] = field(default_factory=dict)
    loads: defaultdict[Global, int] = field(default_factory=_counts)
    calls: defaultdict[Global, int] = field(default_factory=_counts)
    unsure: dict[Global, bool] = field(default_factory=dict)

    def add(self, other: "Found") -> None:
        """Add what another pickle would do."""
        self.globals.update(other.globals)
        self.called.update(other.called)
        self.tricks.update(other.tricks)
        self.filled.update(other.filled)
        for mine, theirs in ((self.uses, other.uses), (self.made, other.made), (self.loads, other.loads)):
            for name, count in theirs.items():
                mine[name] += count

    def only_made(self, name: Global) -> bool:
        """Return whether objects of the name are made, and it is handed to nothing that could call it."""
        return 0 < self.uses[name] == self.made[name]

    def only_called(self, name: Global) -> bool:
        """Return whether the name is called, handed to nothing, and what it made is given states of three only."""
        return 0 < self.uses[name] == self.calls[name] and name not in self.unsure

    def only_loads(self, name: Global) -> bool:
        """Return whether the name unpickles bytes, and all that it does is to unpickle those that are followed too."""
        return 0 < self.uses[name] == self.loads[name]


Hook = Callable[[object], object]
CallHook = Callable[[Global, object], object]


class Machine:
    """The state while one pickle is followed, and what was found.

    Attributes:
        globals, called, made, tricks: those of ``found``.
        stream: the bytes.
        stored: bytes that the pickle takes on the disk: what budgets are measured by.
        memo: the values that were put away.
        kept: values in all tuples that were kept.
        blobs: the bytes that loading would unpickle again.

    Args:
        stream: seekable; the pickle starts at its position.
        length: length of the whole stream.
        persistent: gives the value of a persistent id (torch); without it, persistent ids are an error.
        call: sees every call of a global with its arguments and gives the value (torch tensors); without it, tuples
            are not even kept.
        found: where to note what loading would do; a fresh one if not given.
        stored: bytes that the pickle takes on the disk; ``length`` if not given.
    """

    def __init__(
        self,
        stream: BinaryIO,
        length: int,
        *,
        persistent: Hook | None = None,
        call: CallHook | None = None,
        found: Found | None = None,
        stored: int | None = None,
    ) -> None:
        found = found or Found()
        self.found = found
        self.globals, self.called, self.made, self.tricks = found.globals, found.called, found.made, found.tricks
        self._source, self.stream = stream, PickleStream(stream, length)
        self.stored = length if stored is None else stored
        self._follows_bytes = True
        self._posing: list[str] = []
        self._builds = False
        self._made_by: dict[Global, Made] = {}  # one placeholder for all that a function returns
        self.blobs: dict[Blob, bool] = {}
        self.memo = Memo(INERT)
        self.protocol = self.kept = 0
        self._persistent, self._call = persistent, call
        self._stack: list[object] = []
        self._below: list[list[object]] = []  # the stacks under each mark
        self._size_below = 0

    def inner(self, blob: Blob) -> "Machine":
        """Return a machine for the pickle in these bytes that begins at the stream's place; it finds for this one.

        Bytes that are in turn unpickled there are not followed, and so are none that were.
        """
        end = blob.start + blob.size
        machine = Machine(self._source, end, persistent=lambda _: INERT, found=self.found, stored=self.stored)
        machine._follows_bytes = False
        return machine

    @property
    def depth(self) -> int:
        """Values on all stacks together."""
        return len(self._stack) + self._size_below

    @property
    def marks(self) -> int:
        """Marks that are open."""
        return len(self._below)

    def push(self, value: object) -> None:
        """Push a value."""
        self._stack.append(value)

    def push_again(self, value: object) -> None:
        """Push a value that is somewhere else as well: each use of a global counts."""
        if isinstance(value, Global):
            self.found.uses[value] += 1
        self._stack.append(value)

    def push_text(self, data: bytes, encoding: str, errors: str = "strict") -> None:
        """Push text, or the placeholder if it is too long to name anything."""
        if len(data) > MAX_NAME:
            self.push(INERT)
            return
        try:
            text = data.decode(encoding, errors)
        except UnicodeDecodeError as error:
            raise PickleError("has text that cannot be decoded") from error
        if text in _POSING:
            self._posing.append(text)
            self._pose()
        self.push(text)

    def push_tuple(self, items: list[object]) -> None:
        """Push a tuple if somebody looks into tuples and it is narrow, else the placeholder."""
        argument = len(items) == 1 and isinstance(items[0], Blob)
        state = len(items) == 3 and isinstance(items[2], Made)  # of a generator of torch
        if (self._call is None and not argument and not state) or len(items) > _WIDE_TUPLE:
            self.push(INERT)
            return
        self.kept += len(items) + 1
        self.push(tuple(items))

    def pop(self) -> object:
        """Take the last value from the stack; raises PickleError if there is none."""
        if not self._stack:
            raise PickleError("pops an empty stack")
        return self._stack.pop()

    def top(self) -> object:
        """Return the last value; raises PickleError if there is none."""
        if not self._stack:
            raise PickleError("reads an empty stack")
        return self._stack[-1]

    def mark(self) -> None:
        """Open a mark."""
        self._below.append(self._stack)
        self._size_below += len(self._stack)
        self._stack = []

    def pop_mark(self) -> list[object]:
        """Close the last mark and return the values above it; raises PickleError when none is open."""
        if not self._below:
            raise PickleError("has no mark where it needs one")
        items = self._stack
        self._stack = self._below.pop()
        self._size_below -= len(self._stack)
        return items

    def find(self, module: str, name: str) -> Global:
        """Note that loading would import the name, and return it; old protocols use the names of Python 2."""
        if max(len(module), len(name)) > MAX_NAME:
            raise PickleError("has a global name of thousands of characters")
        if self.protocol < 3:
            if (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[module, name]
            else:
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        self.globals[found] = True
        self.found.uses[found] += 1
        return found

    def make(self, kind: object, arguments: object) -> object:
        """Note that loading would make an object without calling its constructor, and return the inert result."""
        if isinstance(kind, Global):
            self.made[kind] += 1
        return self.call(kind, arguments)

    def call(self, function: object, arguments: object) -> object:
        """Note that loading would call the function, and return the inert result; plain data cannot be called."""
        if isinstance(function, Made):
            self.tricks["calls a value that the pickle made itself"] = True
            return MADE
        if not isinstance(function, Global):
            raise PickleError("calls a value that cannot be called")
        self.called[function] = True
        self.found.calls[function] += 1
        if function == LOADS:
            self._load(arguments)
        value = self._call(function, arguments) if self._call else MADE
        return self._made_by.setdefault(function, Made(function)) if value is MADE else value

    def _load(self, arguments: object) -> None:
        match arguments:
            case (Blob() as blob,) if self._follows_bytes:
                self.found.loads[LOADS] += 1
                self.blobs[blob] = True

    def build(self, state: object) -> None:
        """Note that loading would set the state of the last value."""
        self.mutate("state")
        self._builds = True
        self._pose()
        target = self.top()
        if isinstance(target, Made) and target.by is not None and not (isinstance(state, tuple) and len(state) == 3):
            self.found.unsure[target.by] = True

    def _pose(self) -> None:
        # Text is text, but where objects are given a state: there it may be the name of an attribute.
        if self._builds:
            for text in self._posing:
                self.tricks[f"names {text}, which lets an object pass for another one"] = True

    def new_dict(self) -> None:
        """Push an empty dict."""
        self.push(INERT)

    def fill(self, items: list[object]) -> None:
        """Put many items into the last value: here they are forgotten, as the names in them are noted already."""

    def mutate(self, what: str) -> None:
        """Note that loading would put something into the last value: an imported one must stay as it is."""
        target = self.top()
        if isinstance(target, Global):
            self.tricks[f"would change {target} itself ({what})"] = True
        elif isinstance(target, Made) and target.by is not None and what == "items":
            self.found.filled[target.by] = True

    def persistent(self, identifier: object) -> object:
        """Return the value of a persistent id; raises PickleError where none may be."""
        if self._persistent is None:
            raise PickleError("has a persistent id, which only torch files may have")
        return self._persistent(identifier)
