"""What in a dataset's definition may make a resume differ: hazards as lines, and the grade that they leave."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ckptkit.backend import GRADES, Captured
from ckptkit.errors import BackendError
from ckptkit_tfdata.definition import Definition
from ckptkit_tfdata.graph import Op

_READERS = ("TFRecordDataset", "TextLineDataset", "FixedLengthRecordDataset", "ReadFile")
_OUTSIDE = ("CacheDataset", "SnapshotDataset", "SaveDataset")


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard.

    Attributes:
        text: one line for people.
        captured: what it leaves of the state that can be captured.
    """

    text: str
    captured: Captured = field(default_factory=Captured)


def refuse_external_state(definition: Definition) -> None:
    """Raise BackendError if the iterator depends on state that its file cannot hold; the message names the op.

    TensorFlow makes the same check, but not where symbolic checkpointing is on: it would save, and resume wrong.
    """
    if definition.stateful is None:
        return
    op = definition.stateful.partition(" ")[0]
    raise BackendError(f"tf.data: {definition.stateful}, so the iterator cannot be saved", hint=_remedy(op))


def hazards_of(definition: Definition, *, reads_known_files: bool) -> list[Hazard]:
    """Return the hazards of a dataset that can be saved.

    Args:
        definition: of the dataset.
        reads_known_files: whether the contents of the record files are digested beside it.
    """
    found = [*_unseeded(definition), *_untimed(definition)]
    if definition.symbolic:
        found.append(Hazard("symbolic checkpointing is on: TensorFlow's own check for stateful ops is off"))
    found += [
        Hazard(f"{op.name} keeps files outside the checkpoint ({op.parameters['filename']})")
        for op in definition.ops
        if writes_files(op) and "filename" in op.parameters
    ]
    if any(op.kind.startswith("DataServiceDataset") for op in definition.ops):
        reason = "a tf.data service holds part of the state"
        found.append(Hazard(f"DataServiceDataset: {reason}", Captured("partial", [reason])))
    if not reads_known_files and any(_reads(op) for op in definition.ops):
        found.append(Hazard("the dataset reads files whose contents are not digested: pass record_files=[...]"))
    return found


def worst(hazards: Iterable[Hazard]) -> Captured:
    """Return the least that the hazards leave, with the reasons of all that leave less than everything."""
    lesser = [hazard.captured for hazard in hazards if hazard.captured.grade != "complete"]
    if not lesser:
        return Captured()
    reasons = dict.fromkeys(reason for captured in lesser for reason in captured.reasons)
    return Captured(max((captured.grade for captured in lesser), key=GRADES.index), list(reasons))


def writes_files(op: Op) -> bool:
    """Return whether the op keeps files that two iterators would fight over."""
    return op.kind.startswith(_OUTSIDE) and op.parameters.get("filename", "x") != ""


def order_is_free(definition: Definition) -> bool:
    """Return whether thread timing decides the order of elements."""
    return any(True for _ in _untimed(definition))


def _unseeded(definition: Definition) -> Iterator[Hazard]:
    for op in definition.ops:
        if not op.kind.startswith(("Shuffle", "RandomDataset")):
            continue
        if op.parameters.get("seed") != "0" or op.parameters.get("seed2") != "0":
            continue
        size = f" (buffer_size {op.parameters['buffer_size']})" if "buffer_size" in op.parameters else ""
        reason = f"{op.name}{size} has no seed: its order is new in each epoch and each process"
        if definition.symbolic:
            yield Hazard(reason, Captured("partial", [f"{reason}, and symbolic checkpointing does not keep it"]))
        else:
            yield Hazard(reason, Captured("until", [f"end of the epoch: {reason}"]))


def _untimed(definition: Definition) -> Iterator[Hazard]:
    names = [op.name for op in definition.ops if op.parameters.get("deterministic") == "false"]
    names += [op.name for op in definition.ops if op.parameters.get("sloppy") == "true"]
    if definition.deterministic is False:
        names.append("the dataset's options")
    for name in names:
        text = f"{name}: deterministic=False, thread timing decides the order of elements"
        yield Hazard(text, Captured("partial", [text]))


def _reads(op: Op) -> bool:
    return op.kind.startswith(_READERS) or any("ReadFile" in value for value in op.parameters.values())


def _remedy(op: str) -> str:
    if op in ("PyFunc", "EagerPyFunc", "PyFuncStateless", "GeneratorDataset"):
        return (
            "write the Python function (py_function, numpy_function, from_generator) with TensorFlow ops, or read "
            "TFRecord files; a deterministic pipeline can also be resumed by dataset.skip(batches_seen)"
        )
    if "Random" in op or "Multinomial" in op or op == "TruncatedNormal":
        return (
            "use tf.random.stateless_* with seeds from tf.data.Dataset.random(seed=...) or from a counter in the data; "
            "instead of rejection_resample, which draws inside of TensorFlow: "
            "sample_from_datasets([dataset.filter(...) for each class], weights=target_dist, seed=...); "
            "a pipeline whose draws are all seeded can also be resumed by dataset.skip(batches_seen)"
        )
    if op.startswith(("Mutable", "Resource")):
        return "use a tf.lookup.StaticHashTable, or map with constants: the contents of these are in no checkpoint"
    if op == "DummySeedGenerator":
        return "shuffle outside of the function given to interleave or flat_map, with a seed"
    if "Variable" in op or "VarHandle" in op:
        return "pass the value into the dataset as a constant or as an element instead of a tf.Variable"
    return "move the op out of the dataset; a deterministic pipeline can also be resumed by dataset.skip(batches_seen)"
