"""Says the values of attributes in JSON and named tensors, piece by piece, and names each piece that cannot be said.

A value that JSON has no word for is an object with one key: ``{"tuple": [...]}``, ``{"tensor": "model.hidden"}``,
``{"generator": {...}}``, ``{"object": ["pkg:Memory", [["count", 3]]]}``. ``{"kept": null}`` stands for what is no
state: a load leaves what the target has there. ``{"same": "model.memory"}`` is an object that another place holds too.
What a program puts there itself is kept only as long as it is what the program built: if training put something else
there, it is said by its name (``{"global": "torch.nn.functional:silu"}``, ``{"part": "model.body.3"}``), or named as
missing.
"""

import base64
import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit.formats.safetensors_header import HeaderError, check_name
from ckptkit_safetensors import generators
from ckptkit_safetensors.kinds import is_module, is_tensor
from ckptkit_safetensors.lazies import is_lazy
from ckptkit_safetensors.named import MAIN, find, name_of
from ckptkit_safetensors.not_state import is_code, is_installed, is_no_state, says_where
from ckptkit_safetensors.tensors import is_array, why_not

KEPT: Mapping[str, Any] = {"kept": None}
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_MAX_DEPTH = 12
_MAX_PIECES = 200_000
_MAX_TEXT = 1 << 20
_SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": None}
_MAPPINGS = ("dict", "OrderedDict", "Counter", "defaultdict")


@dataclass(slots=True, eq=False)
class Sayer:
    """Says values one after the other and remembers what they share.

    Attributes:
        known: what other files hold (parameters, buffers, modules, the optimizer), its name by its id.
        homes: modules of Python in which functions and classes may be found again by their names.
        built: by place, what the program put there itself when the ``Policy`` was built; None if that is not known.
        fresh: places of modules that the program did not build.
        imported: names of the modules of Python that were imported then; None if that is not known.
        tensors: by name, every tensor and array that was met.
        reasons: one line for each piece that cannot be said.
        on_module: says a module that no other module has registered; set by the walk over modules.
    """

    known: dict[int, str]
    homes: set[str] = field(default_factory=set)
    built: Mapping[str, Any] | None = None
    fresh: tuple[str, ...] = ()
    imported: Collection[str] | None = None
    left: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    on_module: Callable[[Any, str], Any] | None = None
    _places: dict[int, tuple[str, Any]] = field(default_factory=dict)  # the object too: its id must stay its own
    _pieces: int = 0
    _failed: int = 0
    _full: bool = False

    def say(self, value: Any, place: str, depth: int = 0) -> Any:
        """Return the value in JSON; a piece that cannot be said is kept as the target has it, and named."""
        kind = type(value)
        self._pieces += 1
        if self._pieces > _MAX_PIECES or (kind in (str, bytes, bytearray) and len(value) > _MAX_TEXT):
            return self._too_much(place)
        if value is None or kind in (bool, float):
            return value
        if kind is int:
            return value if value.bit_length() < 9000 else self._cannot(place, "an integer of thousands of digits")
        if kind is str:
            return self._text(value, place)
        if id(value) in self.known or is_no_state(value):
            return self._leave(value, place)
        if id(value) in self._places:
            return {"same": self._places[id(value)][0]}
        if depth > _MAX_DEPTH:
            return self._cannot(place, f"{_named(value)}, nested too deeply")
        return self._composed(value, place, depth)

    def _leave(self, value: Any, place: str) -> Any:
        """Say what the program puts there itself: nothing, if it did; else by name, if it has one."""
        known, code = self.known.get(id(value)), is_code(value)
        token = value if type(value) is str else id(value) if known or code else type(value).__name__
        if self._was_built(place, token):
            return dict(KEPT)
        if known is not None:
            return {"part": known}
        if type(value) is str:
            return {"where": value}
        if code:
            name = name_of(value, self.homes, self.imported)
            return {"global": name} if name else self._cannot(place, f"{_code(value)} that training put there")
        if place.endswith("]") or place.startswith(self.fresh):
            return self._cannot(place, f"{_named(value)} that training put there")
        return dict(KEPT)  # a logger, a lock, the trainer: an attribute that is not the module's own

    def _was_built(self, place: str, token: Any) -> bool:
        """Note what stands there, and return whether it did when the Policy was built, as far as that is known."""
        self.left[place] = token
        return self.built is None or self.built.get(place) == token

    def _can_be_made(self, value: Any, place: str) -> bool:
        """Return whether a load can make an object of that class, or the program builds one there."""
        built = self._was_built(place, name := class_name(value))
        return built or find(name, self.homes, self.imported) is type(value)

    def _composed(self, value: Any, place: str, depth: int) -> Any:
        name = type(value).__name__
        if isinstance(value, enum.Enum):
            sayable = value.name and self._can_be_made(value, place)
            return {"enum": [class_name(value), value.name]} if sayable else self._cannot(place, _named(value))
        if is_tensor(value):
            return self.say_tensor(value, place)
        if generators.kind_of(value) is not None:
            why = generators.refusal(value)
            self._places[id(value)] = (place, value)
            return {"generator": generators.capture(value)} if why is None else self._cannot(place, why)
        if is_module(value):
            assert self.on_module is not None
            if not self._was_built(place, f"{class_name(value)} {shapes_of(value)}"):
                return self._cannot(place, f"{_named(value)} that training put there or changed")
            self._places[id(value)] = (place, value)
            return self.on_module(value, place)
        if type(value) in (bytes, bytearray, complex):
            return _scalar(value)
        if type(value).__module__ == "numpy" and hasattr(value, "item"):
            return self._numpy_number(value, place)
        if isinstance(value, (tuple, dict)) or (
            name in _SEQUENCES and type(value).__module__ in ("builtins", "collections")
        ):
            return self._container(value, name, place, depth)
        return self._object(value, place, depth)

    def _container(self, value: Any, name: str, place: str, depth: int) -> Any:
        """Say a container with all that is in it, or not at all: a load could not make the rest."""
        if not self._has_a_kind(value, name, place):
            return self._cannot(place, f"{_named(value)} that training put there")
        failed, tensors, places = self._failed, len(self.tensors), len(self._places)
        if isinstance(value, dict):
            said = self._mapping(value, name if name in _MAPPINGS else class_name(value), place, depth)
        elif name in _SEQUENCES:
            said = self._sequence(value, name, place, depth)
        else:
            entries = [self.say(entry, f"{place}[{i}]", depth + 1) for i, entry in enumerate(value)]
            said = {"tuple": entries, "of": class_name(value)}
        if self._failed == failed:
            return said
        for tensor in list(self.tensors)[tensors:]:
            del self.tensors[tensor]
        for key in list(self._places)[places:]:
            del self._places[key]
        return dict(KEPT)

    def _has_a_kind(self, value: Any, name: str, place: str) -> bool:
        """Return whether a load can make a container of that class, or the program builds one there."""
        if type(value) is tuple or name in (*_SEQUENCES, *_MAPPINGS, "Size"):
            return True
        if isinstance(value, dict):
            return self._was_built(place, class_name(value))
        return self._can_be_made(value, place)

    def _text(self, value: str, place: str) -> Any:
        if says_where(value):
            return self._leave(value, place)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return self._cannot(place, "text with half a character")
        return value

    def say_tensor(self, value: Any, place: str) -> Any:
        """Return the word for a tensor or array, also for one that is known, and take it in."""
        why = why_not(value)
        if why is not None:
            return self._cannot(place, f"a tensor that {why}")
        self._places[id(value)] = (place, value)
        name = self._name(value, place)
        if is_array(value):
            return {"array": name}
        more = {"device": str(value.device)} if value.device.type != "cpu" else {}
        return {"tensor": name, **more, **({"trained": True} if value.requires_grad and value.is_leaf else {})}

    def _name(self, value: Any, place: str) -> str:
        name = place.replace("'", "")
        try:
            check_name(name)
        except HeaderError:
            name = "unnamed"
        found, count = name, 1
        while found in self.tensors:
            count += 1
            found = f"{name}~{count}"
        self.tensors[found] = value
        return found

    def _numpy_number(self, value: Any, place: str) -> Any:
        plain = value.item()
        if type(plain) not in (bool, int, float, complex, str, bytes):
            return self._cannot(place, _named(value))
        return {"number": [value.dtype.name, _scalar(plain) if type(plain) in (complex, bytes) else plain]}

    def _sequence(self, value: Any, name: str, place: str, depth: int) -> Any:
        if name in ("list", "set", "deque"):
            self._places[id(value)] = (place, value)
        entries = sorted(value, key=repr) if name in ("set", "frozenset") else value
        said = [self.say(entry, f"{place}[{i}]", depth + 1) for i, entry in enumerate(entries)]
        if name in ("set", "frozenset") and KEPT in said:
            # A set has no places, so nothing in it can be left as the target has it.
            return dict(KEPT) if all(entry == KEPT for entry in said) else self._cannot(place, "a set of objects")
        return {name: said, **({"longest": value.maxlen} if name == "deque" else {})}

    def _mapping(self, value: dict[Any, Any], name: str, place: str, depth: int) -> Any:
        self._places[id(value)] = (place, value)
        pairs = []
        for key, entry in value.items():
            where = f"{place}[{key!r:.60}]"
            if not _is_key(key):
                if (id(entry) in self.known or is_no_state(entry)) and self._was_built(where, id(entry)):
                    continue
                return self._cannot(place, f"a dict with {_named(key)} as a key")
            pairs.append(
                [self.say(key, where, depth + 1) if type(key) is not str else key, self.say(entry, where, depth + 1)]
            )
        return {"dict": pairs, **({"of": name} if name != "dict" else {})}

    def _object(self, value: Any, place: str, depth: int) -> Any:
        cls = type(value)
        if cls.__module__.startswith(("torch.optim", "torch.amp", "torch.cuda.amp")):
            return self._cannot(place, f"{_named(value)} that is not part of the Policy")
        if (built_in := _built_in_base(cls)) is not None:
            return self._cannot(place, f"{_named(value)}, a kind of {built_in.__qualname__}")
        if not self._can_be_made(value, place):
            return self._cannot(place, f"{_named(value)} that training put there")
        attributes = dict(_attributes_of(value))
        if not attributes and not hasattr(value, "__dict__") and not _has_slots(cls):
            return self._cannot(place, _named(value))
        self._places[id(value)] = (place, value)
        hidden = is_installed(cls)  # a library's private bookkeeping is no state of ours
        said = [
            [name, self.say(entry, f"{place}.{name}", depth + 1)]
            for name, entry in attributes.items()
            if not (hidden and name.startswith("_"))
        ]
        return {"object": [class_name(value), [pair for pair in said if pair[1] != KEPT]]}

    def _too_much(self, place: str) -> Any:
        """Name the attribute once: all that comes after it is too much as well."""
        self._failed += 1
        if not self._full:
            self._full = True
            self.reasons.append(f"{place} and what comes after it is too large for a record of attributes")
        return dict(KEPT)

    def _cannot(self, place: str, what: str) -> Any:
        self._failed += 1
        self.reasons.append(f"{place} is {what}, which cannot be saved")
        return dict(KEPT)


def class_name(value: Any) -> str:
    """Return ``module:QualifiedName`` of the object's class."""
    return name_of_class(type(value))


def name_of_class(cls: type) -> str:
    """Return ``module:QualifiedName`` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def shapes_of(module: Any) -> str:
    """Return the names and shapes of all parameters and buffers of a module, as one text."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return " ".join(f"{name} {'' if is_lazy(value) else tuple(value.shape)}" for name, value in tensors)


def same_class(saved: str, now: str) -> bool:
    """Return whether two names are of one class, which may have moved in its package, or to or from a main program."""
    (home, _, name), (place, _, other) = saved.partition(":"), now.partition(":")
    packages = {home.partition(".")[0], place.partition(".")[0]}
    return name == other and (len(packages) == 1 or MAIN in packages)


def _code(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"the {'class' if isinstance(value, type) else 'function'} {name!r}"


def _named(value: Any) -> str:
    name = class_name(value).removeprefix("builtins:").replace(":", ".")
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _is_key(key: Any) -> bool:
    if type(key) is tuple:
        return all(_is_key(part) for part in key)
    return key is None or type(key) in (str, int, float, bool, bytes) or isinstance(key, enum.Enum)


def _scalar(value: Any) -> Any:
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return {type(value).__name__: base64.b64encode(value).decode("ascii")}


def _built_in_base(cls: type) -> type | None:
    """Return a class in C below a class of Python, if there is one: it may hold what no attribute shows."""
    in_c = [base for base in cls.__mro__[1:] if not base.__flags__ & _HEAP_TYPE and base is not object]
    return in_c[0] if in_c else None


def _has_slots(cls: type) -> bool:
    return any(vars(base).get("__slots__") for base in cls.__mro__)


def _attributes_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object: those in its ``__dict__`` and those in slots."""
    yield from getattr(value, "__dict__", {}).items()
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            full = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, full):
                yield full, getattr(value, full)
