"""Turns said values back into live ones; mutable objects of the target are changed in place, all or none of them.

``Putter.value`` only plans: it returns what a place shall hold, and notes what is to be written into what stays. A
class is looked up by its name in a file only in the packages that the target's own modules come from, and none of its
code is run.
"""

import base64
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_safetensors import generators
from ckptkit_safetensors.attributes import class_name, same_class
from ckptkit_safetensors.kinds import is_module
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.named import find
from ckptkit_safetensors.not_state import is_code, is_device
from ckptkit_safetensors.tensors import TensorSet, is_array

MISSING: Any = object()
"""What a place of the target holds that is not there."""

Write = Callable[[], Callable[[], None]]


class NotThereError(BackendError):
    """The target has nothing that could take a value, and none can be made."""


class Putter:
    """Plans how the said values of one item go into a target.

    Args:
        tensors: those that the values name.
        homes: names of the modules of Python that the target's own modules come from; only classes of their packages
            are made again.
        device: of tensors that the target does not have yet.
        known: modules and tensors of the target by their names.
        made: ids of modules that this load made.
    """

    def __init__(
        self, tensors: TensorSet, homes: set[str], device: Any, known: Mapping[str, Any], made: set[int]
    ) -> None:
        self.tensors = tensors
        self.homes = homes
        self.device = device
        self.known = known
        self.made = made
        self.left: list[str] = []
        self.writes: list[Write] = []
        self.modules: list[tuple[Any, Any, str]] = []
        self._made: dict[str, Any] = {}

    def attempt(self, said: Any, current: Any, place: str) -> Any:
        """Return what the place shall hold: where the target cannot take it, what it has there; the place is noted."""
        writes, modules, made = len(self.writes), len(self.modules), len(self._made)
        try:
            return self.value(said, current, place)
        except NotThereError as error:
            self.left.append(f"{error.message}: left as it is")
            del self.writes[writes:], self.modules[modules:]
            for name in list(self._made)[made:]:
                del self._made[name]
            return current

    def value(self, said: Any, current: Any, place: str) -> Any:
        """Return what the place shall hold.

        Args:
            said: the value in JSON.
            current: what the target has there, or ``MISSING``.
            place: for messages, and for values that point here.

        Raises:
            NotThereError: the target has nothing there that could take it.
            DamagedError: it is not what ``Sayer`` writes.
        """
        if not isinstance(said, dict):
            if isinstance(said, list):
                raise DamagedError(f"{place}: is a bare list")
            return said
        tag = next((tag for tag in _TAGS if tag in said), None)
        if tag is None:
            raise DamagedError(f"{place}: is of an unknown kind")
        made = _TAGS[tag](self, said, current, place)
        self._made[place] = made
        return made

    def _kept(self, said: Any, current: Any, place: str) -> Any:
        if current is MISSING:
            raise _misfit(place, "something that only the program itself can make", current)
        return current

    def _part(self, said: Any, current: Any, place: str) -> Any:
        if said["part"] not in self.known:
            raise _misfit(place, f"a reference to {said['part']}", current)
        return self.known[said["part"]]

    def _global(self, said: Any, current: Any, place: str) -> Any:
        found = find(said["global"], self.homes)
        if found is None or not is_code(found):
            raise _misfit(place, said["global"].replace(":", "."), current)
        return found

    def _where(self, said: Any, current: Any, place: str) -> Any:
        here = isinstance(current, str) and is_device(current) and is_device(said["where"])
        return current if here else said["where"]

    def _same(self, said: Any, current: Any, place: str) -> Any:
        if said["same"] not in self._made:
            if said["same"].startswith(tuple(line.partition(":")[0] for line in self.left)):
                raise _misfit(place, f"what {said['same']} has", current)
            raise DamagedError(f"{place}: points to {said['same']!r}, which is not before it")
        return self._made[said["same"]]

    def _list(self, said: Any, current: Any, place: str) -> Any:
        new = self._entries(said["list"], current, place, list)
        return self._in_place(current, new, list, lambda value: current.__setitem__(slice(None), value))

    def _tuple(self, said: Any, current: Any, place: str) -> Any:
        of = said.get("of")
        new = self._entries(said["tuple"], current, place, tuple)
        if of is None or of == "torch:Size":
            return tuple(new) if of is None else lazy_import("torch").Size(new)
        return tuple.__new__(self._class(of, current, place, tuple), new)

    def _entries(self, said: Any, current: Any, place: str, kind: Any) -> list[Any]:
        have: list[Any] = list(current) if isinstance(current, kind) else []
        here = [have[i] if i < len(have) else MISSING for i in range(len(said))]
        return [self.value(entry, here[i], f"{place}[{i}]") for i, entry in enumerate(said)]

    def _deque(self, said: Any, current: Any, place: str) -> Any:
        new = deque(self._entries(said["deque"], current, place, deque), said["longest"])
        if type(current) is deque and current.maxlen == new.maxlen:
            return self._in_place(current, new, deque, lambda value: _refill(current, value))
        return new

    def _set(self, said: Any, current: Any, place: str) -> Any:
        new = {self.value(entry, MISSING, f"{place}[{i}]") for i, entry in enumerate(said["set"])}
        return self._in_place(current, new, set, lambda value: _refill(current, value))

    def _frozenset(self, said: Any, current: Any, place: str) -> Any:
        return frozenset(self.value(entry, MISSING, f"{place}[{i}]") for i, entry in enumerate(said["frozenset"]))

    def _dict(self, said: Any, current: Any, place: str) -> Any:
        of = said.get("of", "dict")
        have = current if isinstance(current, dict) else {}
        new = {}
        for key_said, entry in said["dict"]:
            key = self.value(key_said, MISSING, f"{place} key")
            new[key] = self.value(entry, have.get(key, MISSING), f"{place}[{key!r:.60}]")
        kinds: dict[str, Any] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
        kinds["defaultdict"] = lambda pairs: defaultdict(None, pairs)
        if isinstance(current, dict) and (of == type(current).__name__ or same_class(of, class_name(current))):
            return self._in_place(current, new, type(current), lambda value: _refill(current, value), dict)
        if of not in kinds:
            raise _misfit(place, f"a {of}", current)
        return kinds[of](new)

    def _object(self, said: Any, current: Any, place: str) -> Any:
        name, pairs = said["object"]
        cls = self._class(name, current, place, object)
        item = current if type(current) is cls else object.__new__(cls)
        for attribute, entry in pairs:
            have = getattr(item, attribute, MISSING)
            new = self.value(entry, have, f"{place}.{attribute}")
            if new is not have:
                self.set_attribute(item, attribute, have, new)
        return item

    def set_attribute(self, item: Any, name: str, have: Any, new: Any) -> None:
        """Note that an attribute is to be set, past the class's own ``__setattr__``, and how it is taken back."""
        own = getattr(item, "__dict__", None)

        def put(value: Any) -> None:
            if own is not None and not hasattr(type(item), name):
                own.pop(name, None) if value is MISSING else own.__setitem__(name, value)
            elif value is MISSING:
                object.__delattr__(item, name)
            else:
                object.__setattr__(item, name, value)

        self.writes.append(_write(put, new, lambda: have))

    def _enum(self, said: Any, current: Any, place: str) -> Any:
        import enum

        name, member = said["enum"]
        return self._class(name, current, place, enum.Enum)[member]  # type: ignore[index]  # it is a class of enums, which a name picks from

    def _tensor(self, said: Any, current: Any, place: str) -> Any:
        saved = self.tensors[said["tensor"]]
        torch = lazy_import("torch")
        if _same_tensor(current, saved):
            self.writes.append(
                _write(lambda value: _copy_into(current, value), saved, lambda: current.detach().clone())
            )
            return current
        device = current.device if _is_torch(current) else self.device if "device" in said else "cpu"
        new = torch.empty_like(saved, device=device).copy_(saved)
        return new.requires_grad_() if said.get("trained") else new

    def _array(self, said: Any, current: Any, place: str) -> Any:
        saved = self.tensors[said["array"]]
        if (
            is_array(current)
            and current.flags.writeable
            and (current.shape, current.dtype) == (saved.shape, saved.dtype)
        ):
            self.writes.append(_write(lambda value: current.__setitem__(..., value), saved, current.copy))
            return current
        return saved.copy()

    def _generator(self, said: Any, current: Any, place: str) -> Any:
        leaf = said["generator"]
        generators.judge(leaf, place)
        if generators.kind_of(current) is not None and generators.same_kind(current, leaf):
            generators.build(leaf)  # what fails, fails on a new object
            write = _write(lambda value: generators.put(current, value), leaf, lambda: generators.capture(current))
            self.writes.append(write)
            return current
        return generators.build(leaf)

    def _module(self, said: Any, current: Any, place: str) -> Any:
        name, record = said["module"]
        if not is_module(current) or not same_class(name, class_name(current)):
            raise _misfit(place, f"a {name}", current)
        self.modules.append((current, record, place))
        return current

    def _number(self, said: Any, current: Any, place: str) -> Any:
        dtype, value = said["number"]
        return lazy_import("numpy").dtype(dtype).type(self.value(value, MISSING, place))

    def _class(self, name: str, current: Any, place: str, base: type) -> type:
        """Return the class of that name: the one of the target's object, or of the package of the target's modules."""
        if current is not MISSING and same_class(name, class_name(current)):
            return type(current)
        found = find(name, self.homes)
        if isinstance(found, type) and issubclass(found, base) and not is_module_class(found):
            return found
        raise _misfit(place, f"a {name.replace(':', '.')}", current)

    def _in_place(self, current: Any, new: Any, kind: type, put: Callable[[Any], Any], copy: Any = None) -> Any:
        if type(current) is not kind:
            return new
        if not _identical(current, new):
            self.writes.append(_write(put, new, lambda: (copy or kind)(current)))
        return current


def is_module_class(cls: type) -> bool:
    """Return whether a class is one of modules: those are never made without their own code."""
    return any(base.__module__ == "torch.nn.modules.module" for base in cls.__mro__)


def _scalar(self: Putter, said: Any, current: Any, place: str) -> Any:
    if "complex" in said:
        return complex(*said["complex"])
    data = base64.b64decode(said.get("bytes", said.get("bytearray")), validate=True)
    return bytearray(data) if "bytearray" in said else data


_TAGS: dict[str, Callable[[Putter, Any, Any, str], Any]] = {
    "kept": Putter._kept, "same": Putter._same, "list": Putter._list, "tuple": Putter._tuple, "deque": Putter._deque,
    "set": Putter._set, "frozenset": Putter._frozenset, "dict": Putter._dict, "object": Putter._object,
    "enum": Putter._enum, "tensor": Putter._tensor, "array": Putter._array, "generator": Putter._generator,
    "part": Putter._part, "global": Putter._global, "where": Putter._where,
    "module": Putter._module, "number": Putter._number, "complex": _scalar, "bytes": _scalar, "bytearray": _scalar,
}  # fmt: skip


def _write(put: Callable[[Any], Any], new: Any, before: Callable[[], Any]) -> Write:
    def act() -> Callable[[], None]:
        old = before()
        put(new)

        def undo() -> None:
            put(old)

        return undo

    return act


def _misfit(place: str, saved: str, current: Any) -> NotThereError:
    has = "nothing" if current is MISSING or current is None else f"a {type(current).__qualname__}"
    hint = "build the target as it was when the checkpoint was saved, with the objects that its modules hold"
    return NotThereError(f"{place}: the checkpoint has the attributes of {saved}, the target has {has}", hint=hint)


def _is_torch(value: Any) -> bool:
    return any((c.__module__, c.__name__) == ("torch", "Tensor") for c in type(value).__mro__)


def _same_tensor(current: Any, saved: Any) -> bool:
    """Return whether the elements of a live tensor can be overwritten with the saved ones."""
    if not _is_torch(current) or current.is_inference() or current.layout != lazy_import("torch").strided:
        return False
    spread = any(step == 0 and side > 1 for step, side in zip(current.stride(), current.shape, strict=True))
    return not spread and (current.shape, current.dtype) == (saved.shape, saved.dtype) and current.grad_fn is None


def _copy_into(current: Any, value: Any) -> None:
    with lazy_import("torch").no_grad():
        current.copy_(value)


def _identical(current: Any, new: Any) -> bool:
    """Return whether a container has the very objects already."""
    if isinstance(current, dict):
        return list(current) == list(new) and all(current[key] is new[key] for key in new)
    if isinstance(current, (set, frozenset)):
        return bool(current == new)
    return len(current) == len(new) and all(a is b for a, b in zip(current, new, strict=True))


def _refill(current: Any, value: Any) -> None:
    """Give a dict, set or deque other entries, past the methods of a class of the user's."""
    if isinstance(current, dict):
        dict.clear(current)
        dict.update(current, value)
    elif isinstance(current, set):
        set.clear(current)
        set.update(current, value)
    else:
        deque.clear(current)
        deque.extend(current, value)
