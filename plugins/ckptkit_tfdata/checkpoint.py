"""Puts an adopted bundle into the ``tf.train.Checkpoint`` of its training, or refuses before it begins."""

import tempfile
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.tf_bundle import DT_VARIANT, Bundle

_NO_STATE = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE")


def is_checkpoint(target: object) -> bool:
    """Return whether the object is a ``tf.train.Checkpoint``; imports nothing."""
    return any(c.__name__ == "Checkpoint" and c.__module__.startswith("tensorflow.") for c in type(target).__mro__)


def put(bundle: Bundle, target: Any) -> None:
    """Read the whole bundle into a checkpoint object whose content has the same names, types and shapes.

    TensorFlow itself puts back what fits and says afterwards what did not.

    Raises:
        BackendError: it does not fit; the target is unchanged.
    """
    with tempfile.TemporaryDirectory(prefix="ckptkit-") as folder:
        prefix = Path(folder, "now")
        target.write(str(prefix))
        live = _forms(Bundle.open(prefix))
    saved = _forms(bundle)
    hint = "give the Checkpoint the same objects, built as in the training that was saved"
    for key in sorted({*saved, *live}):
        if key not in live:
            raise BackendError(f"the target has no {key}, which the checkpoint holds", hint=hint)
        if key not in saved:
            raise BackendError(f"the checkpoint holds no {key}, which the target has", hint=hint)
        if saved[key] != live[key]:
            raise BackendError(f"{key} has another type or shape in the target", hint=hint)
    target.read(str(bundle.prefix)).assert_existing_objects_matched()


def _forms(bundle: Bundle) -> dict[str, object]:
    # The shape of an iterator's state tells how much it has buffered.
    shapes = {key: None if t.dtype == DT_VARIANT else t.shape for key, t in bundle.tensors.items()}
    return {key: (t.dtype, shapes[key]) for key, t in bundle.tensors.items() if key not in _NO_STATE}
