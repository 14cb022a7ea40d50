"""``tf.train.Checkpoint``: the index is written when all data is; variables in it say the step.

Source: tensorflow/core/util/tensor_bundle (``MergeBundles``: the index last), python/checkpoint/checkpoint.py
(``save_counter``), checkpoint_management.py (the file ``checkpoint``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.tf_bundle import Bundle
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.steps import Said, told_step

_INDEX, _VALUE = ".index", "/.ATTRIBUTES/VARIABLE_VALUE"
STEPS = ("step", "global_step", "optimizer/_iterations", "optimizer/iter", "model/optimizer/_iterations")
"""Variables that hold a step, in the order in which they are believed."""
SAVES = "save_counter"
_RESUMING = Resuming(call="checkpoint.restore(PREFIX)")


@dataclass(frozen=True, slots=True)
class TfTrain:
    """``Checkpoint`` and ``CheckpointManager``; the program that made it restores it, with flags of its own."""

    kind: str = "tf_train"
    title: str = "tf.train.Checkpoint"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the index is there and whole, and all data files that it counts."""
        if not seen.found.name.endswith(_INDEX):
            return Judged("incomplete", (f"no {_INDEX} lies beside its data, which is written last",))
        try:
            shards = _bundle(seen).shards
        except (DamagedError, OSError) as error:
            return Judged("incomplete", (f"{error}",))
        gone = [path.name for path in shards if not seen.listing.has(path.name)]
        if gone:
            return Judged("incomplete", (f"{escaped(gone[0])} is not there",))
        return Judged("complete", (f"its {_INDEX}, written last, is whole",))

    def told(self, seen: Seen) -> Told:
        """Return the step in a variable of that name, else the count of saves."""
        said: list[Said] = []
        doubts = []
        if seen.found.name.endswith(_INDEX):
            try:
                said = list(_said(_bundle(seen)))
            except (DamagedError, OSError) as error:
                doubts.append(f"{error}")
        told = told_step(seen, said)
        return Told(told.step, told.step_from, doubts=(*told.doubts, *doubts))


def _bundle(seen: Seen) -> Bundle:
    name = seen.found.name
    if (seen.folder / name).is_symlink():
        raise DamagedError(f"{escaped(name)} is a link")
    return Bundle.open(seen.folder / name.removesuffix(_INDEX))


def _said(bundle: Bundle) -> Iterator[Said]:
    for key in (*STEPS, SAVES):
        yield (f"the variable {key}", bundle.integer(f"{key}{_VALUE}"))
