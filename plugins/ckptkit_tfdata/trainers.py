"""What a TensorFlow training needs to continue from a bundle: the table of the ``tf-data`` backend.

Source: the keys that ``tf.train.Checkpoint`` gives (tensorflow/python/checkpoint), Keras 3 and older optimizers.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ckptkit.formats.tf_shard import Tensor
from ckptkit.pieces import Piece, Trainer

_OPTIMIZER = ("*_iterations/.ATTRIBUTES/*", "*optimizer/iter/.ATTRIBUTES/*", "*/.OPTIMIZER_SLOT/*")
_GENERATOR = ("*/_state_var/.ATTRIBUTES/*",)
_ITERATOR = ("*/.ATTRIBUTES/ITERATOR_STATE",)
_OTHER = "any other variable"
_INTEGERS = (3, 9)  # DT_INT32, DT_INT64

CHECKPOINT = Trainer(
    "tf.train.Checkpoint",
    ("_CHECKPOINTABLE_OBJECT_GRAPH",),
    (
        Piece("model", (_OTHER,), "nothing can be resumed", weights=True, carrier="model="),
        Piece("optimizer", _OPTIMIZER, "it starts over; give it to the Checkpoint", carrier="optimizer="),
        Piece("data position", _ITERATOR, "the data begins again; give it to the Checkpoint", carrier="iterator="),
        Piece(
            "generators of the process and of Keras layers",
            (),
            "a Checkpoint holds none, so dropout draws different numbers",
        ),
    ),
)
"""What is looked for are the keys of the bundle. An iterator alone has no kind here: it is all that it needs."""

TRAINERS = (CHECKPOINT,)


def names(tensors: Iterable[Tensor]) -> list[str]:
    """Return the keys of a bundle, and ``any other variable`` where there is one that is nobody's but the model's."""
    there = list(tensors)
    keys = [tensor.key for tensor in there]
    return [*keys, *([_OTHER] if any(map(_is_of_the_model, there)) else [])]


def _is_of_the_model(tensor: Tensor) -> bool:
    key = tensor.key
    if not key.endswith("/.ATTRIBUTES/VARIABLE_VALUE") or (tensor.shape == () and tensor.dtype in _INTEGERS):
        return False  # counters of steps and saves
    if any(fnmatchcase(key, pattern) for pattern in (*_OPTIMIZER, *_GENERATOR)):
        return False
    return "_trainable_variables/" in key or not any(part.endswith("optimizer") for part in key.split("/"))
