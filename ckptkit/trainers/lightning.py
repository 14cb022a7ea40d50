"""Lightning: a file of ``torch.save``, moved to its name when it is written; its callbacks say the monitored metric.

Source: lightning/pytorch/trainer/connectors/checkpoint_connector.py (``dump_checkpoint``),
callbacks/model_checkpoint.py, cli.py (``SaveConfigCallback``), lightning/fabric/utilities/cloud_io.py
(``_atomic_save``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.lightning import epoch_of, step_of
from ckptkit.trainers import dcp
from ckptkit.trainers.ends import reading
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.links import file_of
from ckptkit.trainers.state_files import as_count, as_number
from ckptkit.trainers.steps import told_step
from ckptkit.trainers.torch_file import judged_zip, value_of

_VERSION = "pytorch-lightning_version"
_MODE = re.compile(r"'mode': '(min|max)'")
"""In the key of a ``ModelCheckpoint``'s state, which is made of its arguments."""
_META = "meta.pt"
"""In a folder of sharded weights: all that is no tensor."""
CLI = "lightning_cli"
"""In what is told: the file of settings, from the checkpoint's folder."""
_SETTINGS = ("config.yaml", "../config.yaml")
"""In the folder of the log, of which ``checkpoints`` is a part."""
_MARK = re.compile(rb"# (lightning\.pytorch|pytorch_lightning)==")
_RESUMING = Resuming(
    (("python", "train.py", "fit", "--config", f"{{checkpoint}}/{{config.{CLI}}}", "--ckpt_path", "{path}"),),
    guess="train.py is a guess: no file says which program it was; its flags are of the LightningCLI in config.yaml",
    without="has a command only where a LightningCLI left its config.yaml",
    call="trainer.fit(model, ckpt_path=PATH)",
)


@dataclass(frozen=True, slots=True)
class Lightning:
    """``ModelCheckpoint``; ``last.ckpt`` may be a link to one of the others."""

    kind: str = "lightning"
    title: str = "Lightning"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the file has its end; of a folder, whether all of it is there."""
        if seen.found.name in seen.listing.folders:
            if not seen.listing.has(f"{seen.found.name}/{_META}"):
                return Judged("incomplete", (f"no {_META} is in it, which Lightning writes",))
            return dcp.judged_folder(seen)
        return judged_zip(seen)

    def told(self, seen: Seen) -> Told:
        """Return ``global_step``, ``epoch``, and the score of this checkpoint by what ``ModelCheckpoint`` monitors."""
        return replace(self._said(seen), config=dict(_cli(seen.folder)))

    def _said(self, seen: Seen) -> Told:
        try:
            content = _content(seen)
        except DamagedError as error:
            told = told_step(seen, ())
            return replace(told, doubts=(*told.doubts, error.message))
        told = told_step(seen, [("global_step in it", content.get("global_step"))])
        doubts, epoch, named = list(told.doubts), as_count(content.get("epoch")), epoch_of(seen.found.name)
        if epoch is not None and named not in (None, epoch):
            doubts.append(f"epoch in it is {epoch}, its name says {named}")
        if _VERSION not in content:
            doubts.append(f"holds no {_VERSION}: not of Lightning's Trainer")
        metrics = dict(_scores(content, seen.found.name, told.step, epoch))
        counters = {} if epoch is None else {"epoch": epoch}
        return replace(told, counters=counters, metrics=metrics, best=_best(content), doubts=tuple(doubts))


def _cli(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield where the settings are that ``LightningCLI`` wrote. A program of another kind leaves none."""
    for name in _SETTINGS:
        try:
            with reading(folder / name) as (stream, _):
                found = _MARK.match(stream.read(32)) is not None
        except DamagedError:
            continue
        if found:
            yield CLI, name
            return


def _content(seen: Seen) -> Mapping[Any, Any]:
    folder = seen.found.name in seen.listing.folders
    path = seen.folder / seen.found.name / _META if folder else file_of(seen)
    value = value_of(path)
    if not isinstance(value, dict):
        raise DamagedError(f"{escaped(path.name)} holds no dict")
    return value


def _scores(content: Mapping[Any, Any], name: str, step: int | None, epoch: int | None) -> Iterator[tuple[str, float]]:
    """Yield what each ``ModelCheckpoint`` monitors, with the score that it noted for this checkpoint.

    Its ``current_score`` will not do: in a ``last.ckpt`` it is that of the last one that was among the best.
    """
    callbacks = content.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        match state:
            case {"monitor": str(monitor), "best_k_models": dict(scores)}:
                own = [as_number(score) for path, score in scores.items() if _is_own(path, name, step, epoch)]
                if own and own[-1] is not None:
                    yield monitor, own[-1]


def _best(content: Mapping[Any, Any]) -> tuple[str, Literal["min", "max"]] | None:
    """Return what the first ``ModelCheckpoint`` that monitors something monitors, and which way is better."""
    callbacks = content.get("callbacks")
    for key, state in callbacks.items() if isinstance(callbacks, dict) else ():
        match key, state:
            case str(), {"monitor": str(monitor), "best_k_models": dict()} if mode := _MODE.search(key):
                return monitor, cast("Literal['min', 'max']", mode[1])
    return None


def _is_own(path: object, name: str, step: int | None, epoch: int | None) -> bool:
    if not isinstance(path, str):
        return False
    own = PurePosixPath(path.replace("\\", "/")).name
    named = step_of(own)
    if named is not None:
        return named == step
    return own == name or (epoch is not None and epoch_of(own) == epoch)
