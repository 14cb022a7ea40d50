"""``loader.json``: where a loader is in its data, and the generators from which that place can be reached again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured
from ckptkit.errors import DamagedError, NewerFormatError
from ckptkit.formats import strict_json
from ckptkit_torchdata.rules import leaf_fault
from ckptkit_torchdata.values import fault as value_fault

FILE_NAME = "loader.json"
STATE_NAME = "state.pth"
FORMAT = "ckptkit.torch-data"
FORMAT_VERSION = 2
"""Version 1 had one ``reason`` where there are ``reasons`` now, and no ``attributes``."""
MODES = ("refetch", "sampler", "stateful")
PARTS = ("batch_sampler", "sampler", "dataset", "loader")
_GLOBALS = ("python", "numpy", "torch")


@dataclass(frozen=True, slots=True)
class Inner:
    """Random state inside a loader's parts.

    Attributes:
        generators: state of each generator, by place (``generator``, ``dataset.rng``).
        epochs: ``epoch`` of samplers with ``set_epoch``, by place.
        attributes: values that changed since the loader was built, as ``values`` says them, by place and name.
    """

    generators: Mapping[str, Any] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a loader is.

    Attributes:
        epoch: epochs that have ended.
        batches: batches given in this epoch.
        batches_seen: batches given in all epochs.
        order: digest of the indices of this epoch's batches; None when there are none to note.
        globals: the global generators right before this epoch's ``iter(loader)``; None before it.
        start: the loader's own random state at that moment; None before it.
        now: the loader's own random state at the save.
    """

    epoch: int = 0
    batches: int = 0
    batches_seen: int = 0
    order: str | None = None
    globals: Mapping[str, Any] | None = None
    start: Inner | None = None
    now: Inner = field(default_factory=Inner)


@dataclass(frozen=True, slots=True)
class StateFile:
    """The contents of ``loader.json``.

    Attributes:
        torch: version that wrote it.
        mode: how the place is reached again: ``refetch``, ``sampler`` or ``stateful``.
        fields: of the loader's definition.
        position: where it is.
        interleaved: no second pass can be the same; see ``definition.grade``.
        states: parts with a ``state_dict`` in ``state.pth``.
        captured: grade of the item.
        hazards: one line each.
    """

    torch: str
    mode: str
    fields: Mapping[str, Any]
    position: Position
    interleaved: bool = False
    states: Sequence[str] = ()
    captured: Captured = field(default_factory=Captured)
    hazards: Sequence[str] = ()

    def write(self, directory: Path, create: Callable[[Path], BufferedIOBase]) -> None:
        """Write the file, which ``create`` opens, into the item's folder."""
        place = self.position
        value = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "torch": self.torch,
            "mode": self.mode,
            "epoch": place.epoch,
            "batches": place.batches,
            "batches_seen": place.batches_seen,
            "order": place.order,
            "definition": dict(self.fields),
            "epoch_start": None if place.start is None else {"globals": place.globals, **to_json(place.start)},
            "now": to_json(place.now),
            "interleaved": self.interleaved,
            "states": list(self.states),
            "grade": self.captured.grade,
            "reasons": list(self.captured.reasons),
            "hazards": list(self.hazards),
        }
        # No newline at the end: without the last byte it must not be JSON any more.
        with create(directory / FILE_NAME) as stream:
            stream.write(strict_json.dumps(value))


def to_json(inner: Inner) -> dict[str, Any]:
    """Return random state and attributes as JSON."""
    attributes = {place: dict(nodes) for place, nodes in inner.attributes.items()}
    return {"generators": dict(inner.generators), "epochs": dict(inner.epochs), "attributes": attributes}


def read(directory: Path) -> StateFile:
    """Return the content of a folder's ``loader.json``, every field of it judged, without torch or NumPy.

    Raises:
        DamagedError: a field is not valid; the message names it.
        NewerFormatError: a newer version of this backend wrote it.
    """
    try:
        value = strict_json.load(directory / FILE_NAME)
    except OSError as error:
        raise DamagedError(f"{FILE_NAME}: cannot be read ({error.strerror})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DamagedError(f"{FILE_NAME}: is not of the format {FORMAT}")
    version = value.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise NewerFormatError(f"{FILE_NAME}: format_version {version} is newer than {FORMAT_VERSION}")
    if version == 1:
        value = _as_version_2(value)
    reason = _fault(value)
    if reason is not None:
        raise DamagedError(f"{FILE_NAME}: {reason}")
    start = value["epoch_start"]
    position = Position(
        epoch=value["epoch"],
        batches=value["batches"],
        batches_seen=value["batches_seen"],
        order=value["order"],
        globals=None if start is None else start["globals"],
        start=None if start is None else _as_inner(start),
        now=_as_inner(value["now"]),
    )
    captured = Captured.read(value["grade"], value["reasons"])
    return StateFile(
        torch=value["torch"],
        mode=value["mode"],
        fields=value["definition"],
        position=position,
        interleaved=value["interleaved"],
        states=value["states"],
        captured=captured,
        hazards=value["hazards"],
    )


def from_json(value: Any, where: str) -> Inner:
    """Return what ``to_json`` wrote, every field of it judged. Raises DamagedError."""
    if (fault := _inner_fault(value, where, ())) is not None:
        raise DamagedError(fault)
    return _as_inner(value)


def globals_from_json(value: Any, where: str) -> Mapping[str, Any]:
    """Return judged states of the global generators. Raises DamagedError."""
    if (fault := _globals_fault(value, where)) is not None:
        raise DamagedError(fault)
    states: Mapping[str, Any] = value
    return states


def _as_inner(value: Mapping[str, Any]) -> Inner:
    return Inner(value["generators"], value["epochs"], value["attributes"])


def _as_version_2(value: Mapping[str, Any]) -> dict[str, Any]:
    newer = {name: entry for name, entry in value.items() if name != "reason"}
    if "reason" in value:
        newer["reasons"] = [] if value["reason"] is None else [value["reason"]]
    for name in ("epoch_start", "now"):
        if isinstance(value.get(name), dict):
            newer[name] = {**value[name], "attributes": {}}
    return newer


_KEYS = {
    "format", "format_version", "torch", "mode", "epoch", "batches", "batches_seen", "order", "definition",
    "epoch_start", "now", "interleaved", "states", "grade", "reasons", "hazards",
}  # fmt: skip


def _fault(value: Mapping[str, Any]) -> str | None:
    if value.keys() != _KEYS:
        return f"{ascii(min(_KEYS ^ value.keys()))[:60]} is missing or unknown"
    faults = (*_simple_faults(value), _inner_fault(value["now"], "now", ()), _start_fault(value))
    return next((fault for fault in faults if fault is not None), None)


def _simple_faults(value: Mapping[str, Any]) -> list[str]:
    right = {
        "format_version": type(value["format_version"]) is int and 1 <= value["format_version"] <= FORMAT_VERSION,
        "torch": isinstance(value["torch"], str),
        "mode": value["mode"] in MODES,
        "epoch": _count(value["epoch"]),
        "batches": _count(value["batches"]),
        "batches_seen": _count(value["batches_seen"]) and _count(value["batches"])
        and value["batches_seen"] >= value["batches"],
        "order": value["order"] is None or isinstance(value["order"], str),
        "definition": isinstance(value["definition"], dict),
        "interleaved": isinstance(value["interleaved"], bool),
        "states": _texts(value["states"]) and set(value["states"]) <= set(PARTS),
        "grade": _grade(value["grade"]),
        "reasons": _texts(value["reasons"]),
        "hazards": _texts(value["hazards"]),
    }  # fmt: skip
    return [f"{name} is not valid" for name, fine in right.items() if not fine]


def _grade(value: Any) -> bool:
    try:
        return isinstance(value, str) and Captured.read(value) is not None
    except ValueError:
        return False


def _start_fault(value: Mapping[str, Any]) -> str | None:
    start = value["epoch_start"]
    if start is None:
        return "batches were given, but epoch_start is missing" if value["batches"] else None
    fault = _inner_fault(start, "epoch_start", ("globals",))
    if fault is not None:
        return fault
    return _globals_fault(start["globals"], "epoch_start.globals")


def _globals_fault(states: Any, place: str) -> str | None:
    if not isinstance(states, dict) or not {"python", "torch"} <= states.keys() <= set(_GLOBALS):
        return f"{place} does not hold the generators of python and torch"
    kinds = {"python": "python", "torch": "torch", "numpy": "numpy-random-state"}
    for name, leaf in states.items():
        where = f"{place}.{name}"
        if (fault := leaf_fault(leaf, where)) is not None:
            return fault
        if leaf["kind"] != kinds[name]:
            return f"{where}: is a {leaf['kind']}"
    return None


def _inner_fault(value: Any, where: str, more: Sequence[str]) -> str | None:
    names = ("generators", "epochs", "attributes")
    if not isinstance(value, dict) or value.keys() != {*names, *more}:
        return f"{where} does not hold {', '.join(names)}"
    if not all(isinstance(value[name], dict) for name in names):
        return f"{where} does not hold {', '.join(names)}"
    if not all(map(_count, value["epochs"].values())):
        return f"{where}.epochs holds something other than counts"
    for place, nodes in value["attributes"].items():
        if not isinstance(nodes, dict):
            return f"{where}.{ascii(place)[1:-1][:60]} holds no attributes"
        for name, node in nodes.items():
            if (reason := value_fault(node)) is not None:
                return f"{where}.{ascii(place)[1:-1][:60]}: {ascii(name)[1:-1][:60]} {reason}"
    faults = (leaf_fault(leaf, f"{where}.{ascii(name)[1:-1][:60]}") for name, leaf in value["generators"].items())
    return next((fault for fault in faults if fault is not None), None)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
