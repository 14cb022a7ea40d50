"""How a run of Trainer or Lightning proves itself: what is noted after a step, and what a rehearsal leaves alone."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from ckptkit_numpy import GlobalRng
from ckptkit_torchdata import probe

import ckptkit
from ckptkit.backend import Captured

_SILENCED = {"WANDB_MODE": "disabled", "COMET_MODE": "DISABLED", "DISABLE_MLFLOW_INTEGRATION": "TRUE"}


def noted(model: Any, optimizers: Iterable[Any], schedulers: Iterable[Any], **told: Any) -> dict[str, Any]:
    """Return what an observer compares after a step.

    Args:
        model: the module.
        optimizers: with a ``state_dict``.
        schedulers: with a ``state_dict``.
        told: other JSON values, by part.
    """
    parts: dict[str, str] = {"model": probe.digest(dict(model.state_dict()))}
    for kind, items in (("optimizer", optimizers), ("scheduler", schedulers)):
        for number, item in enumerate(items):
            parts[f"{kind} {number}" if number else kind] = _digest(item.state_dict())
    for name, value in told.items():
        parts |= _by_holder(name, value)
    return {"training": Written({}, Captured(), digests=parts), "rng": GlobalRng()}


def _digest(state: Any) -> str:
    """Return the digest of a ``state_dict``, without what is code in it."""
    try:
        return probe.digest(state)
    except probe.UnprovableError:
        return probe.digest({key: value for key, value in state.items() if not _is_code(value)})


def _is_code(value: Any) -> bool:
    try:
        probe.digest(value)
    except probe.UnprovableError:
        return True
    return False


def _by_holder(name: str, value: Any) -> dict[str, str]:
    """Return one digest for each object whose attributes changed, so that a difference names it."""
    if isinstance(value, Mapping) and "attributes" in value and "generators" in value:
        parts = {f"{name}: {place}": _text(nodes) for place, nodes in value["attributes"].items()}
        return parts | {f"{name}: {place}": _text(leaf) for place, leaf in value["generators"].items()}
    if isinstance(value, Mapping):
        return {part: said for key, entry in value.items() for part, said in _by_holder(f"{name} {key}", entry).items()}
    return {name: _text(value)}


def _text(value: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"


def silence() -> None:
    """In a rehearsal, report nothing to experiment trackers."""
    if ckptkit.rehearsing() is not None:
        os.environ.update(_SILENCED)
        os.environ.pop("TENSORBOARD_LOGGING_DIR", None)


def keep_trainer_apart(args: Any) -> None:
    """In a rehearsal, make a Hugging Face Trainer write and rotate its folders in the scratch folder."""
    scratch = ckptkit.rehearsing()
    if scratch is not None:
        args.output_dir, args.push_to_hub = str(scratch / "trainer"), False


def keep_lightning_apart(trainer: Any) -> None:
    """In a rehearsal, make Lightning log nothing, and write its own checkpoints into the scratch folder."""
    scratch = ckptkit.rehearsing()
    if scratch is None:
        return
    trainer.loggers = []
    trainer._default_root_dir = str(scratch)
    for number, callback in enumerate(trainer.callbacks):
        if getattr(callback, "dirpath", None) is not None:
            callback.dirpath = str(Path(scratch, "callbacks", str(number)))
