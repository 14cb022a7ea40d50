"""What a loader is made of, as plain fields: compared before any state is put back, and graded at save."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.backend import Captured
from ckptkit.errors import BackendError
from ckptkit.formats import strict_json
from ckptkit_torchdata.loader_kinds import is_stateful, is_torchs_own

Fields = dict[str, Any]
_SCALARS = (bool, int, float, str, type(None))
_STATE = {"epoch", "generator"}  # they change as training goes on, or are compared elsewhere


def fields_of(loader: Any, *, version: str | None = None) -> Fields:
    """Return what two loaders must have in common so that one can continue where the other was."""
    fields: Fields = {
        "loader": type(loader).__qualname__,
        "kind": "iterable" if is_iterable(loader) else "map",
        "dataset": type(loader.dataset).__qualname__,
        "dataset_length": length_of(loader.dataset),
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "num_workers": loader.num_workers,
        "in_order": getattr(loader, "in_order", True),
        "collate": _name(loader.collate_fn),
        "worker_init": _name(loader.worker_init_fn),
        "version": version,
    }
    for role in ("batch_sampler", "sampler"):
        part = getattr(loader, role, None)
        fields[role] = None if part is None else type(part).__qualname__
        if part is not None and is_torchs_own(part):
            fields |= {f"{role}.{name}": value for name, value in _scalars(part).items()}
    if loader.num_workers and not draws_at_once(loader):
        fields["prefetch_factor"] = loader.prefetch_factor  # then it decides how far ahead the sampler is
    return fields


def fingerprint_of(fields: Mapping[str, Any]) -> str:
    """Return the digest of the fields."""
    return f"sha256:{hashlib.sha256(strict_json.dumps(fields)).hexdigest()}"


def changes(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one line for each field that is not the same."""
    return [
        f"{name} {_shown(saved, name)} -> {_shown(now, name)}"
        for name in sorted({*saved, *now})
        if saved.get(name) != now.get(name) or (name in saved) != (name in now)
    ]


def refuse_changed(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise BackendError unless the fields are equal; the message names each that changed."""
    if changed := changes(saved, now):
        raise BackendError(
            f"torch-data: the loader is not the one that was saved: {'; '.join(changed)}",
            hint="build the loader exactly as it was at the save, or start the data over",
        )


def is_iterable(loader: Any) -> bool:
    """Return whether the dataset is an ``IterableDataset``, which no sampler reaches."""
    return any(cls.__name__ == "IterableDataset" for cls in type(loader.dataset).__mro__)


def length_of(sized: Any) -> int | None:
    """Return ``len`` of a dataset or loader, or None if it has none."""
    try:
        return len(sized)
    except (TypeError, NotImplementedError):
        return None


def samplers_are_torchs(loader: Any) -> bool:
    """Return whether the order comes from torch's own sampler classes alone, which keep no state between epochs."""
    parts = [part for part in (loader.batch_sampler, loader.sampler) if part is not None]
    inner = getattr(loader.batch_sampler, "sampler", None)
    return all(map(is_torchs_own, [*parts, *([] if inner is None else [inner])]))


def draws_at_once(loader: Any) -> bool:
    """Return whether the samplers draw all random numbers of an epoch with its first batch."""
    if is_iterable(loader):
        return True
    inner = getattr(loader.batch_sampler, "sampler", None) or loader.sampler
    if not samplers_are_torchs(loader):
        return False
    if type(inner).__name__ != "RandomSampler":
        return True
    return not inner.replacement and inner.num_samples <= (length_of(loader.dataset) or 0)


def grade(loader: Any, *, unrepeated: str | None, missing: Sequence[str], random_items: bool) -> Captured:
    """Return how much of what the next batches depend on is captured, and what is not."""
    workers, reasons = loader.num_workers > 0, list(missing)
    if unrepeated is not None:
        reasons.insert(0, unrepeated)
    if workers and not getattr(loader, "in_order", True):
        reasons.append("in_order=False: batches come in the order in which workers finish")
    if is_stateful(loader) and workers and random_items:
        reasons.append("the order goes on exactly; the random generators of the workers do not")
    return Captured("partial", reasons) if reasons else Captured()


def hazards_of(loader: Any) -> list[str]:
    """Return what may make a resume differ without anything here being able to see it, one line each."""
    if is_iterable(loader) and not is_stateful(loader):
        return ["IterableDataset: a resume passes over it again, and nothing here sees whether it gives the same"]
    return []


def _scalars(part: Any) -> Fields:
    values = {name: value for name, value in vars(part).items() if isinstance(value, _SCALARS)}
    return {name: value for name, value in values.items() if not name.startswith("_") and name not in _STATE}


def _name(function: Any) -> str | None:
    if function is None:
        return None
    # Without its module: that of a training script is another one when it is not the main program.
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _shown(fields: Mapping[str, Any], name: str) -> str:
    text = repr(fields[name]) if name in fields else "none"
    return text if len(text) <= 60 else f"{text[:57]}..."
