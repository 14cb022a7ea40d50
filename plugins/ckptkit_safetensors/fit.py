"""Decides whether saved tensors and optimizer state belong to the target, before anything of the target is changed.

torch itself puts the state of an AdamW into an SGD, and moments of one shape on parameters of another, silently.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_safetensors.capture import class_of, parameters_of
from ckptkit_safetensors.digests import digest_state
from ckptkit_safetensors.tensors import TensorSet, collect, describe, is_array

_SHOWN = 5


def fit_tensors(saved: TensorSet, target: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the saved tensor for every name of the target.

    Raises:
        BackendError: names, shapes, dtypes or ties differ; the message lists the first few and counts them all.
    """
    wanted = collect(target, what)
    names, have = wanted.names(), set(saved.names())
    tied = _groups(wanted)
    source = {n: next((m for m in tied[wanted.aliases.get(n, n)] if m in have), None) for n in names}
    findings = [
        listed("missing in the checkpoint", [repr(n) for n in names if source[n] is None]),
        listed("not in the target", [repr(n) for n in saved.names() if n not in source]),
        listed("of another shape", [_differs(n, saved, wanted, 0) for n in names if _compare(n, saved, wanted, 0)]),
        listed("of another dtype", [_differs(n, saved, wanted, 1) for n in names if _compare(n, saved, wanted, 1)]),
    ]
    fixed = [repr(name) for name, value in wanted.tensors.items() if _cannot_be_written(value)]
    findings.append(listed("read-only or expanded in the target", fixed))
    problems = "; ".join(text for text in findings if text)
    if problems:
        hint = "build the target as it was when the checkpoint was saved"
        raise BackendError(f"{what}: the checkpoint does not fit the target: {problems}", hint=hint)
    _fit_ties(saved, wanted, what)
    return {name: saved[part] for name, part in source.items() if part is not None}


def _fit_ties(saved: TensorSet, wanted: TensorSet, what: str) -> None:
    apart = [n for n, holder in saved.aliases.items() if wanted.aliases.get(n, n) != wanted.aliases.get(holder, holder)]
    if apart:
        message = f"{what}: {listed('tied in the checkpoint but not in the target', [repr(n) for n in apart])}"
        raise BackendError(message, hint="tie the weights of the target before loading")
    for holder, group in _groups(wanted).items():
        held = [n for n in group if n in saved.tensors]
        if len({digest_state(saved.tensors[n]) for n in held} if len(held) > 1 else held) > 1:
            raise BackendError(f"{what}: {holder!r} is tied in the target, but the checkpoint holds different values")


def _cannot_be_written(value: Any) -> bool:
    if is_array(value):
        return not value.flags.writeable
    return any(step == 0 and side > 1 for step, side in zip(value.stride(), value.shape, strict=True))


def _groups(tensors: TensorSet) -> dict[str, list[str]]:
    groups = {name: [name] for name in tensors.tensors}
    for alias, name in tensors.aliases.items():
        groups[name].append(alias)
    return groups


def _compare(name: str, saved: TensorSet, wanted: TensorSet, what: int) -> bool:
    known = name in saved.tensors or name in saved.aliases
    return known and describe(saved[name])[what] != describe(wanted[name])[what]


def _differs(name: str, saved: TensorSet, wanted: TensorSet, what: int) -> str:
    return f"{name!r} ({describe(saved[name])[what]}, target {describe(wanted[name])[what]})"


def listed(what: str, entries: Sequence[str]) -> str:
    """Return a count of findings and the first few of them, or an empty text."""
    if not entries:
        return ""
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return f"{len(entries)} {what}: {', '.join(entries[:_SHOWN])}{more}"


def fit_class(part: str, recorded: object, target: Any) -> None:
    """Raise BackendError if the checkpoint says that the part was of another class than the target's.

    Where in its package a class lives may change between versions; package and name may not.
    """
    now = class_of(target)
    if isinstance(recorded, str) and not _one_class(recorded, now):
        message = f"{part}: the checkpoint was saved from {recorded}, the target is a {now}"
        raise BackendError(message, hint=f"build the same {part} as the run that saved it")


def _one_class(saved: str, now: str) -> bool:
    packages = {saved.partition(".")[0], now.partition(".")[0]}  # a script is `__main__` when it runs, else a module
    return saved.rpartition(".")[2] == now.rpartition(".")[2] and (len(packages) == 1 or "__main__" in packages)


def fit_keys(part: str, state: Any, target: Any) -> None:
    """Raise BackendError unless scheduler or scaler state has the public fields that the target's own state has.

    Private ones change with the version of torch.
    """
    if not isinstance(state, dict):
        raise BackendError(f"{part}: the saved state is a {type(state).__name__}, not a dict")
    differing = sorted(key for key in {*map(str, state)} ^ {*map(str, target.state_dict())} if not key.startswith("_"))
    if differing:
        hint = f"build the same {part} as the run that saved it"
        raise BackendError(f"{part}: {listed('fields differ from those of the target', differing)}", hint=hint)


def fit_gradients(saved: TensorSet, model: Any) -> dict[str, Any]:
    """Return the saved gradients by parameter name; raises BackendError if one fits no parameter of the target."""
    parameters = parameters_of(model)
    strange = [repr(n) for n in saved.names() if n not in parameters or saved[n].shape != parameters[n].shape]
    if strange:
        raise BackendError(f"gradients: {listed('fit no parameter of the target', strange)}")
    return {name: saved[name] for name in saved.names()}
