"""Keras: files that are closed last; their names alone say the epoch, and a metric where they name it.

Source: keras/src/callbacks/model_checkpoint.py, backup_and_restore.py (``training_metadata.json``: epoch and batch),
keras/src/saving/saving_lib.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.errors import DamagedError
from ckptkit.trainers.ends import not_whole, require_closed_hdf5, require_closed_zip
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.state_files import as_count, json_object
from ckptkit.trainers.steps import told_step

_ZIP, _BACKUP = ".keras", "training_metadata.json"
_METRIC = re.compile(
    r"(?<![a-z])((?:[a-z][a-z_]*_)?(?:loss|acc|accuracy|auc|mae|mse))[=_-]?(-?\d{1,9}\.\d{1,18})", re.IGNORECASE
)
_RESUMING = Resuming(call="keras.models.load_model(PATH)")


@dataclass(frozen=True, slots=True)
class Keras:
    """``ModelCheckpoint`` and ``BackupAndRestore``: the same program goes on from a backup, without a flag."""

    kind: str = "keras"
    title: str = "Keras"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the file was closed."""
        path = seen.folder / seen.found.name
        try:
            (require_closed_zip if path.suffix == _ZIP else require_closed_hdf5)(path)
        except DamagedError as error:
            return not_whole(error)
        return Judged("complete", ("it was closed, which Keras does last",))

    def told(self, seen: Seen) -> Told:
        """Return the epoch of a backup, else of the name, and a metric that the name names."""
        metrics = dict(_named(seen.found.name))
        if _BACKUP not in seen.found.files:
            told = told_step(seen, ())
            return Told(told.step, told.step_from, metrics=metrics)
        try:
            epoch = as_count(json_object(seen.folder / _BACKUP).get("epoch"))
        except DamagedError as error:
            return Told(metrics=metrics, doubts=(error.message,))
        told = told_step(seen, (), epoch=(f"epoch in {_BACKUP}", epoch))
        return Told(told.step, told.step_from, {} if epoch is None else {"epoch": epoch}, metrics)


def _named(name: str) -> Iterator[tuple[str, float]]:
    for match in _METRIC.finditer(name.removesuffix(_ZIP).removesuffix(".weights.h5")):
        yield match[1], float(match[2])
