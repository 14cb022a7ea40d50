"""The definition of a dataset: a fingerprint of its graph that survives processes, and a summary that can name changes.

The fingerprint is a Merkle hash from the returned node down. Names, shared names, containers, devices and tokens are
left out, function bodies are followed, attributes at their default are dropped (so that an op which gained an attribute
in a newer TensorFlow still hashes the same). Constants count by value: seeds, buffer sizes, file names, data held in
memory, the contents of lookup tables.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit_tfdata.error_text import one_line
from ckptkit_tfdata.graph import Graph, Op, texts_in
from ckptkit_tfdata.lazy_import import tensorflow

_MAX_NAMED = 6
_IGNORE, _FAIL = 1, 2  # tensorflow/core/framework/dataset_options.proto: ExternalStatePolicy


@dataclass(frozen=True, slots=True)
class Definition:
    """What a dataset is.

    Attributes:
        fingerprint: ``sha256:hex``.
        element_spec: structure, dtypes and shapes of a batch, as text.
        ops: the summary, inputs before what uses them.
        texts: strings in the graph (some of them are paths of record files).
        stateful: TensorFlow's word on why the iterator cannot be saved (``PyFunc is stateful``), or None.
        symbolic: whether the user switched symbolic checkpointing on.
        deterministic: what the user set in the options; None is TensorFlow's default (deterministic).
    """

    fingerprint: str
    element_spec: str
    ops: Sequence[Op]
    texts: Sequence[str]
    stateful: str | None = None
    symbolic: bool = False
    deterministic: bool | None = None


def define(dataset: Any) -> Definition:
    """Return the definition of a ``tf.data.Dataset``. Runs nothing of the pipeline."""
    tf = tensorflow()
    variant = tf.data.experimental.to_variant(dataset)
    stateful = None
    try:
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=variant, external_state_policy=_FAIL, strip_device_assignment=True
        )
    except tf.errors.FailedPreconditionError as error:
        stateful = one_line(error).removeprefix("Failed to serialize the input pipeline graph: ").rstrip(". ")
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=variant, external_state_policy=_IGNORE, strip_device_assignment=True
        )
    graph = Graph(tf.compat.v1.GraphDef.FromString(serialized.numpy()))
    options = dataset.options()
    return Definition(
        fingerprint=f"sha256:{graph.digest()}",
        element_spec=repr(dataset.element_spec),
        ops=graph.ops(),
        texts=texts_in(graph),
        stateful=stateful or graph.unsaved(),
        symbolic=bool(options.experimental_symbolic_checkpoint),
        deterministic=options.deterministic,
    )


def differences(saved: Sequence[Op], now: Sequence[Op]) -> list[str]:
    """Return one phrase for each difference between two summaries, for example ``RepeatDataset count 2 -> 3``."""
    found: list[str] = []
    matcher = difflib.SequenceMatcher(a=[op.name for op in saved], b=[op.name for op in now], autojunk=False)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind == "equal":
            for old, new in zip(saved[a:a_end], now[b:b_end], strict=True):
                found += _parameters(old, new)
        else:
            gone = ", ".join(op.name for op in saved[a:a_end]) or "nothing"
            came = ", ".join(op.name for op in now[b:b_end]) or "nothing"
            found.append(f"{gone} -> {came}")
    if len(found) > _MAX_NAMED:
        found[_MAX_NAMED:] = [f"and {len(found) - _MAX_NAMED} more"]
    return found


def _parameters(old: Op, new: Op) -> list[str]:
    return [
        f"{old.name} {name} {old.parameters.get(name, 'default')} -> {new.parameters.get(name, 'default')}"
        for name in sorted({*old.parameters, *new.parameters})
        if old.parameters.get(name) != new.parameters.get(name)
    ]
