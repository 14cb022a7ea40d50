"""The plain values of a pickle, read without running it: containers, numbers and text; of an object, only its state.

The machine of the gate forgets what is put into containers, as it looks for names alone. Here a few opcodes keep it.
"""

import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ckptkit.formats.pickle_machine import CallHook, Global, Hook, Machine
from ckptkit.formats.pickle_opcodes import OPERATIONS, Operation, follow


@dataclass(slots=True, eq=False)  # it may be the key of a dict
class Instance:
    """What a call returns: its function, its arguments, and the state that it is given afterwards."""

    of: Global
    arguments: object
    state: object = None


def plain_value(
    stream: BinaryIO, length: int, *, persistent: Hook | None = None, call: CallHook | None = None
) -> object:
    """Return the value of a pickle with a placeholder for whatever is not plain.

    Args:
        stream: seekable; the pickle starts at its position.
        length: length of the whole stream.
        persistent: gives the value of a persistent id.
        call: gives the value of a call, or None for an ``Instance``.

    Raises:
        PickleError: it is damaged, or would take too much time or memory.
    """

    def called(function: Global, arguments: object) -> object:
        value = call(function, arguments) if call else None
        if value is not None:
            return value
        return {} if function == _ORDERED else Instance(function, arguments)

    return follow(Machine(stream, length, persistent=persistent, call=called), _OPERATIONS)


_ORDERED = Global("collections", "OrderedDict")


def _push(make: Callable[[], object]) -> Operation:
    return lambda m: m.push(make())


def _float(m: Machine) -> None:
    m.push(struct.unpack(">d", m.stream.read(8))[0])


def _put_into(m: Machine, items: list[object]) -> None:
    target = m.top()
    m.kept += len(items)
    if isinstance(target, dict):
        target.update(_pairs(items))
    elif isinstance(target, list):
        target.extend(items)


def _pairs(items: list[object]) -> Mapping[Any, object]:
    known = (str, int, Instance)
    return {key: value for key, value in zip(items[::2], items[1::2], strict=False) if isinstance(key, known)}


def _item(count: int) -> Operation:
    return lambda m: _put_into(m, [m.pop() for _ in range(count)][::-1])


def _collected(make: Callable[[list[object]], object]) -> Operation:
    return lambda m: m.push(make(m.pop_mark()))


def _build(m: Machine) -> None:
    state = m.pop()
    target = m.top()
    if isinstance(target, Instance):
        target.state = state


_OPERATIONS: dict[int, Operation] = {
    **OPERATIONS,
    pickle.NONE[0]: _push(lambda: None),
    pickle.NEWTRUE[0]: _push(lambda: True),
    pickle.NEWFALSE[0]: _push(lambda: False),
    pickle.BINFLOAT[0]: _float,
    pickle.EMPTY_LIST[0]: _push(list),
    pickle.EMPTY_DICT[0]: _push(dict),
    pickle.LIST[0]: _collected(list),
    pickle.DICT[0]: _collected(_pairs),
    pickle.APPEND[0]: _item(1),
    pickle.SETITEM[0]: _item(2),
    pickle.APPENDS[0]: lambda m: _put_into(m, m.pop_mark()),
    pickle.SETITEMS[0]: lambda m: _put_into(m, m.pop_mark()),
    pickle.BUILD[0]: _build,
}
