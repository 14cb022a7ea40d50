"""What ``pickle.load`` and ``joblib.load`` would run from bytes that need not be a pickle at all.

The first byte does not decide: pickles of protocol 0 and those without a PROTO opcode begin like text. So whatever a
file is, it is followed as the unpickler would follow it, pickle after pickle. What runs before the unpickler stops
counts, whether the rest is damaged or not; bytes from which nothing would run are data.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ckptkit.formats.joblib_pickles import WRAPPER, ArrayUnknownError, JoblibMachine
from ckptkit.formats.pickle_machine import INERT, Found, Machine
from ckptkit.formats.pickle_opcodes import follow
from ckptkit.formats.pickle_stream import PickleError, PickleTooComplexError
from ckptkit.formats.pickles import judge
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem


@dataclass(slots=True)
class _Followed:
    """What one loader would do with the bytes.

    Attributes:
        marked: what those whole pickles would do that begin by saying that they are pickles.
        unmarked: what the other whole ones would do.
        broken: what would run from one that does not come to its end.
        broken_is_marked: whether that one says that it is a pickle.
        whole: how many came to their end.
        place: where the last whole one ends.
        error: why the next one does not, if there are bytes left.
    """

    marked: Found = field(default_factory=Found)
    unmarked: Found = field(default_factory=Found)
    broken: Found = field(default_factory=Found)
    broken_is_marked: bool = False
    whole: int = 0
    place: int = 0
    error: PickleError | None = None

    @property
    def names_arrays(self) -> bool:
        """Whether any of them refers to arrays that joblib would read."""
        return any(WRAPPER in found.globals for found in (self.marked, self.unmarked, self.broken))


def check_anything(source: Source) -> Iterator[Problem]:
    """Yield what loading the bytes as pickles would run; not being pickles is no problem."""
    for followed in reversed(list(_every_loader(source))):  # joblib reads further
        yield from _judged(source, followed)


def check_promised(source: Source) -> Iterator[Problem]:
    """Yield the same for a file that its name says is a pickle: not being whole is a problem, too."""
    told = list(_every_loader(source))
    for followed in reversed(told):
        yield from _judged(source, followed)
    first = told[0]
    if all(followed.error for followed in told) and not isinstance(first.error, PickleTooComplexError):
        unknown = next((each.error for each in told if isinstance(each.error, ArrayUnknownError)), None)
        if unknown is not None:
            yield source.problem("pickle-too-complex", str(unknown))
        elif not first.whole:
            yield source.problem("pickle-damaged", str(first.error))
        else:
            left = source.length - first.place
            yield source.problem("pickle-trailing-data", f"{left} bytes follow its end; a second load would read them")


def _every_loader(source: Source) -> Iterator[_Followed]:
    followed = _follow_all(source, Machine)
    yield followed
    if followed.names_arrays:
        yield _follow_all(source, JoblibMachine)


def _follow_all(source: Source, machine: type[Machine]) -> _Followed:
    """Follow one pickle after the other, as far as they go."""
    followed = _Followed()
    while True:
        source.stream.seek(followed.place)
        start = source.stream.read(2)
        if not start and followed.place:
            return followed
        source.stream.seek(followed.place)
        found, marked = Found(), _is_mark(start)
        # A persistent id means something to some loaders only: to be on the safe side it is data here.
        one = machine(source.stream, source.length, persistent=lambda _: INERT, found=found, stored=source.stored)
        try:
            follow(one)
        except PickleError as error:
            followed.error, followed.broken, followed.broken_is_marked = error, found, marked
            return followed
        (followed.marked if marked else followed.unmarked).add(found)
        followed.whole += 1
        followed.place = source.stream.tell()


def _is_mark(start: bytes) -> bool:
    """Return whether a pickle begins by saying that it is one, as all since protocol 2 do."""
    return len(start) == 2 and start[:1] == pickle.PROTO and 2 <= start[1] <= pickle.HIGHEST_PROTOCOL


def _judged(source: Source, followed: _Followed) -> Iterator[Problem]:
    """Yield what there is to say about the names.

    In a whole pickle every name counts. Bytes that do not come to an end may be anything, and text can begin with the
    name of a module by chance: in those, only what is called, or runs as soon as it is imported, counts.
    """
    yield from judge(followed.marked, file=source.file, where=source.where)
    if followed.error is None:
        yield from judge(followed.unmarked, file=source.file, where=source.where)
        return
    for found, sure in ((followed.unmarked, False), (followed.broken, followed.broken_is_marked)):
        for problem in judge(_running(found), file=source.file, where=source.where):
            if sure or problem.severity == "unsafe":
                yield problem
    if isinstance(followed.error, PickleTooComplexError):
        yield source.problem("pickle-too-complex", str(followed.error))
    elif isinstance(followed.error, ArrayUnknownError):
        yield source.problem("not-looked-into", f"not looked into to its end: {followed.error}", "warning")


def _running(found: Found) -> Found:
    if not found.globals and not found.called:
        return found
    programs = {name: True for name in found.globals if name.module.endswith(".__main__")}
    return replace(found, globals={**found.called, **programs})
