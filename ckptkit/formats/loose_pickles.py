"""What ``pickle.load`` would run of bytes that need not be a pickle at all.

No first byte tells: pickles of protocol 0 and those without a PROTO opcode begin like text. So whatever a file is, it
is followed as the unpickler would follow it, pickle after pickle. What runs before the unpickler stops counts, whether
the rest is damaged or not; bytes of which nothing would run are data.
"""

import pickle
from collections.abc import Iterator
from dataclasses import replace

from ckptkit.formats.pickle_machine import INERT, Found, Machine
from ckptkit.formats.pickle_opcodes import follow
from ckptkit.formats.pickle_stream import PickleError, PickleTooComplexError
from ckptkit.formats.pickles import check_pickle_stream, judge
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem


def check_promised(source: Source) -> list[Problem]:
    """Check what its name says is a pickle: damage counts, too."""
    source.stream.seek(0)
    return check_pickle_stream(source.stream, source.length, file=source.file, where=source.where)


def check_anything(source: Source) -> Iterator[Problem]:
    """Yield what loading the bytes as pickles would run.

    Names that are only imported count where the bytes are whole pickles up to their end, or say that they are one: by
    chance, plain text can begin with the name of a module.
    """
    marked, unmarked = Found(), Found()
    place, whole = 0, source.length > 0
    try:
        while place < source.length and whole:
            source.stream.seek(place)
            found = marked if _is_marked(source, place) else unmarked
            whole = _follow(source, found)
            place = source.stream.tell()
    except PickleTooComplexError as error:
        yield source.problem("pickle-too-complex", str(error))
    for found in (marked, unmarked):
        sure = found is marked or whole
        yield from judge(found if sure else replace(found, globals=found.called), file=source.file, where=source.where)


def _is_marked(source: Source, place: int) -> bool:
    """Return whether the pickle at the place says that it is one, as all since protocol 2 do."""
    start = source.stream.read(2)
    source.stream.seek(place)
    return len(start) == 2 and start[:1] == pickle.PROTO and 2 <= start[1] <= pickle.HIGHEST_PROTOCOL


def _follow(source: Source, found: Found) -> bool:
    """Follow one pickle, and return whether it came to its end."""
    # A persistent id means something to some loaders only: to be on the safe side it is data here.
    machine = Machine(source.stream, source.length, persistent=lambda _: INERT, found=found, stored=source.stored)
    try:
        follow(machine)
    except PickleTooComplexError:
        raise
    except PickleError:
        return False
    return True
