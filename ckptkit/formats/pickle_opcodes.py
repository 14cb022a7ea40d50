"""What each of the 68 pickle opcodes does to the inert machine, and the loop that follows them within a budget.

Source: Lib/pickle.py and Modules/_pickle.c (semantics; frames are no boundaries, as in the C unpickler), and
Lib/pickletools.py (the opcodes of protocols 0 to 5).
"""

import codecs
import pickle
import warnings
from collections.abc import Callable, Mapping

from ckptkit.formats.pickle_machine import INERT, LOADS, MAX_NAME, Blob, Global, Machine
from ckptkit.formats.pickle_stream import PickleError, PickleTooComplexError

MAX_OPCODES = 10_000_000
"""Opcodes of a packed pickle; of one that is not packed as many are followed as it has bytes."""
MAX_STACK = 500_000
MAX_MEMO = 1_000_000
MAX_MARKS = 10_000  # a pickler of Python nests no deeper
MAX_GLOBALS = 10_000
MAX_KEPT = 2_000_000
_MOST = 16_000_000
"""Values that are held at once, however large the pickle is: about two gigabytes."""
_EVERY = 1_024
_LONG = 16
_SHORTEST = 24  # fewer bytes hold no five pickles
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PICKLES = 5
"""Magic number, protocol version, system info, object, storage keys: the old form of ``torch.save``."""

Operation = Callable[[Machine], object]


def follow(machine: Machine, operations: Mapping[int, Operation] | None = None) -> object:
    """Follow one pickle up to its STOP opcode, and return its value (or the placeholder for it).

    Args:
        machine: at the beginning of the pickle.
        operations: what each opcode does, by its byte, for a reader of values; ``OPERATIONS`` when left out.

    Raises:
        PickleTooComplexError: it would take too much time or memory.
        PickleError: it is damaged. Either way, what was found until then stays in the machine.
    """
    if operations is not None:
        return _follow(machine, operations)
    try:
        return _follow(machine)
    finally:
        _follow_inside(machine)


def _follow_inside(machine: Machine) -> None:
    """Follow the bytes that loading would hand to ``torch.load``: what it finds counts as found in this pickle.

    Whatever is not torch's old form of stacked pickles, which is all that torch writes there, is a trick.
    """
    place = machine.stream.place
    for blob in sorted(machine.blobs):
        machine.stream.go(blob.start)
        try:
            values = [_follow(machine.inner(blob)) for _ in range(TORCH_PICKLES)]
        except PickleError:
            values = []
        if values[:1] != [TORCH_MAGIC]:
            machine.tricks[f"hands bytes to {LOADS} that cannot be followed"] = True
            break
    machine.stream.go(place)


def _follow(machine: Machine, operations: Mapping[int, Operation] | None = None) -> object:
    count, table = 0, OPERATIONS if operations is None else operations
    while True:
        code = machine.stream.read(1)[0]
        if code == pickle.STOP[0]:
            return machine.pop()
        operation = table.get(code)
        if operation is None:
            raise PickleError(f"has an unknown opcode {code:#04x} at byte {machine.stream.place - 1}")
        operation(machine)
        count += 1
        if not count % _EVERY:
            _check_budget(machine, count)


def _check_budget(machine: Machine, count: int) -> None:
    """Hold what is used against what the bytes on the disk warrant: a large honest pickle has many of everything."""
    stored = machine.stored
    for what, used, most in (
        ("opcodes", count, max(MAX_OPCODES, stored)),
        ("values on the stack", machine.depth, max(MAX_STACK, min(stored, 4 * _MOST))),
        ("memo entries", machine.memo.cost, max(MAX_MEMO, min(stored // 4, _MOST))),
        ("marks", machine.marks, MAX_MARKS),
        ("global names", len(machine.globals), MAX_GLOBALS),
        ("values in tuples", machine.kept, max(MAX_KEPT, min(stored // 8, _MOST))),
    ):
        if used > most:
            raise PickleTooComplexError(f"has more than {most} {what}")


# -- the stream


def _protocol(m: Machine) -> None:
    m.protocol = m.stream.number("<B")
    if m.protocol > pickle.HIGHEST_PROTOCOL:
        raise PickleError(f"has an unknown protocol {m.protocol}")


def _frame(m: Machine) -> None:
    size = m.stream.number("<Q")
    if size > m.stream.left:
        raise PickleError(f"has a frame of {size} bytes, but only {m.stream.left} are left")


def _no_buffers(_: Machine) -> None:
    raise PickleError("needs buffers that are not in the file")


# -- names and calls


def _named_in_lines(m: Machine) -> Global:
    try:
        module, name = m.stream.line().decode("utf-8"), m.stream.line().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PickleError("has a global name that is not UTF-8") from error
    return m.find(module, name)


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("names a global by something that is not text")
    m.push(m.find(module, name))


def _inst(m: Machine) -> None:
    found = _named_in_lines(m)
    m.push(m.call(found, tuple(m.pop_mark())))


def _obj(m: Machine) -> None:
    items = m.pop_mark()
    if not items:
        raise PickleError("makes an object of nothing")
    m.push(m.call(items[0], tuple(items[1:])))


def _reduce(m: Machine) -> None:
    arguments, function = m.pop(), m.pop()
    m.push(m.call(function, arguments))


def _newobj(m: Machine) -> None:
    arguments, kind = m.pop(), m.pop()
    m.push(m.make(kind, arguments))


def _newobj_ex(m: Machine) -> None:
    m.pop()
    _newobj(m)


def _build(m: Machine) -> None:
    m.build(m.pop())


def _extension(form: str) -> Operation:
    def operation(m: Machine) -> None:
        # Which name the code stands for is decided by the process that loads it: it may be any.
        m.push(m.find("copyreg", f"_inverted_registry[{m.stream.number(form)}]"))

    return operation


# -- values


def _inert(m: Machine) -> None:
    m.push(INERT)


def _inert_line(m: Machine) -> None:
    m.stream.line()
    m.push(INERT)


def _inert_double(m: Machine) -> None:
    m.stream.skip(8)
    m.push(INERT)


def _integer(form: str) -> Operation:
    return lambda m: m.push(m.stream.number(form))


def _long1(m: Machine) -> None:
    data = m.stream.read(m.stream.number("<B"))
    m.push(int.from_bytes(data, "little", signed=True) if len(data) <= _LONG else INERT)


def _blob(form: str) -> Operation:
    def operation(m: Machine) -> None:
        size = m.stream.number(form)
        start = m.stream.place
        m.stream.skip(size)
        m.push(Blob(start, size) if size >= _SHORTEST else INERT)

    return operation


def _text(form: str, encoding: str, errors: str = "strict") -> Operation:
    def operation(m: Machine) -> None:
        size = m.stream.number(form)
        if 0 <= size <= MAX_NAME:
            m.push_text(m.stream.read(size), encoding, errors)
        else:
            m.stream.skip(size)
            m.push(INERT)

    return operation


def _quoted(m: Machine) -> None:
    line = m.stream.line()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b'"', b"'"):
        raise PickleError("has a string without quotes")
    m.push_text(_unescape(line[1:-1]), "latin-1")


def _unescape(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    try:
        with warnings.catch_warnings(action="ignore"):
            return bytes(codecs.escape_decode(text)[0])
    except ValueError as error:
        raise PickleError("has a string that cannot be decoded") from error


# -- containers: what is put into them is forgotten, the names in it are noted already


def _tuple(count: int) -> Operation:
    return lambda m: m.push_tuple([m.pop() for _ in range(count)][::-1])


def _collect(m: Machine) -> None:
    m.pop_mark()
    m.push(INERT)


def _add(count: int) -> Operation:
    def operation(m: Machine) -> None:
        for _ in range(count):
            m.pop()
        m.mutate("items")

    return operation


def _add_many(m: Machine) -> None:
    items = m.pop_mark()
    m.mutate("items")
    m.fill(items)


def _pop(m: Machine) -> None:
    try:
        m.pop()
    except PickleError:
        m.pop_mark()


# -- the memo


def _get(m: Machine, index: int) -> None:
    try:
        m.push_again(m.memo.get(index))
    except KeyError as error:
        raise PickleError(f"asks for memo entry {index}, which was never put") from error


def _put(m: Machine, index: int) -> None:
    if index < 0:
        raise PickleError("has a negative memo index")
    m.memo.put(index, m.top())


_TABLE: dict[bytes, Operation] = {
    pickle.PROTO: _protocol,
    pickle.FRAME: _frame,
    pickle.NEXT_BUFFER: _no_buffers,
    pickle.READONLY_BUFFER: Machine.top,
    pickle.MARK: Machine.mark,
    pickle.POP: _pop,
    pickle.POP_MARK: Machine.pop_mark,
    pickle.DUP: lambda m: m.push_again(m.top()),
    pickle.GLOBAL: lambda m: m.push(_named_in_lines(m)),
    pickle.STACK_GLOBAL: _stack_global,
    pickle.INST: _inst,
    pickle.OBJ: _obj,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _newobj,
    pickle.NEWOBJ_EX: _newobj_ex,
    pickle.BUILD: _build,
    pickle.EXT1: _extension("<B"),
    pickle.EXT2: _extension("<H"),
    pickle.EXT4: _extension("<i"),
    pickle.PERSID: lambda m: m.push(m.persistent(m.stream.short_line().decode("latin-1"))),
    pickle.BINPERSID: lambda m: m.push(m.persistent(m.pop())),
    pickle.NONE: _inert,
    pickle.NEWTRUE: _inert,
    pickle.NEWFALSE: _inert,
    pickle.INT: _inert_line,
    pickle.LONG: _inert_line,
    pickle.FLOAT: _inert_line,
    pickle.BININT: _integer("<i"),
    pickle.BININT1: _integer("<B"),
    pickle.BININT2: _integer("<H"),
    pickle.LONG1: _long1,
    pickle.LONG4: _blob("<i"),
    pickle.BINFLOAT: _inert_double,
    pickle.STRING: _quoted,
    pickle.UNICODE: lambda m: m.push_text(m.stream.line(), "raw-unicode-escape"),
    # Text of Python 2 is ASCII for the default loader and Latin-1 for lenient ones: Latin-1 is both.
    pickle.BINSTRING: _text("<i", "latin-1"),
    pickle.SHORT_BINSTRING: _text("<B", "latin-1"),
    pickle.SHORT_BINUNICODE: _text("<B", "utf-8", "surrogatepass"),
    pickle.BINUNICODE: _text("<I", "utf-8", "surrogatepass"),
    pickle.BINUNICODE8: _text("<Q", "utf-8", "surrogatepass"),
    pickle.SHORT_BINBYTES: _blob("<B"),
    pickle.BINBYTES: _blob("<I"),
    pickle.BINBYTES8: _blob("<Q"),
    pickle.BYTEARRAY8: _blob("<Q"),
    pickle.EMPTY_LIST: _inert,
    pickle.EMPTY_DICT: lambda m: m.new_dict(),
    pickle.EMPTY_SET: _inert,
    pickle.LIST: _collect,
    pickle.DICT: _collect,
    pickle.FROZENSET: _collect,
    pickle.EMPTY_TUPLE: _tuple(0),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.TUPLE: lambda m: m.push_tuple(m.pop_mark()),
    pickle.APPEND: _add(1),
    pickle.SETITEM: _add(2),
    pickle.APPENDS: _add_many,
    pickle.SETITEMS: _add_many,
    pickle.ADDITEMS: _add_many,
    pickle.GET: lambda m: _get(m, m.stream.decimal()),
    pickle.BINGET: lambda m: _get(m, m.stream.number("<B")),
    pickle.LONG_BINGET: lambda m: _get(m, m.stream.number("<I")),
    pickle.PUT: lambda m: _put(m, m.stream.decimal()),
    pickle.BINPUT: lambda m: _put(m, m.stream.number("<B")),
    pickle.LONG_BINPUT: lambda m: _put(m, m.stream.number("<I")),
    pickle.MEMOIZE: lambda m: _put(m, len(m.memo)),
}
OPERATIONS: dict[int, Operation] = {code[0]: operation for code, operation in _TABLE.items()}
"""What each opcode does, by its byte (STOP ends the loop)."""
