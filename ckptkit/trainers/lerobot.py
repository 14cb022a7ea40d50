"""LeRobot: the link ``last`` is moved when all is written, so what is newer than it points at is not finished.

Source: lerobot/utils/train_utils.py (``save_checkpoint``, ``update_last_checkpoint``), scripts/lerobot_train.py,
configs/train.py (``--resume`` takes the file of settings, and looks for the checkpoint around it).
"""

from dataclasses import dataclass, replace

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.lerobot import MODEL, STATE
from ckptkit.trainers.ends import not_whole
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.links import link_target
from ckptkit.trainers.state_files import as_count, json_object
from ckptkit.trainers.steps import told_step

_LAST, _STEP = "last", f"{STATE}/training_step.json"
_ALWAYS = (f"{MODEL}/train_config.json", f"{MODEL}/config.json", _STEP, f"{STATE}/rng_state.safetensors")
_WEIGHTS = (f"{MODEL}/model.safetensors", f"{MODEL}/adapter_model.safetensors")
_RESUMING = Resuming((("lerobot-train", f"--config_path={{path}}/{MODEL}/train_config.json", "--resume=true"),))


@dataclass(frozen=True, slots=True)
class LeRobot:
    """``lerobot-train``."""

    kind: str = "lerobot"
    title: str = "LeRobot"
    item: str = "policy"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return what ``last`` says, once all that it always writes is there."""
        gone = [name for name in _ALWAYS if not _has(seen, name)]
        if not any(_has(seen, name) for name in _WEIGHTS):
            gone.append(_WEIGHTS[0])
        if gone:
            return Judged("incomplete", tuple(f"no {name} is in it" for name in gone))
        try:
            json_object(seen.folder / seen.found.name / _STEP)
        except DamagedError as error:
            return not_whole(error)
        return _by_last(seen)

    def told(self, seen: Seen) -> Told:
        """Return the step in ``training_step.json``."""
        try:
            said = json_object(seen.folder / seen.found.name / _STEP).get("step")
        except DamagedError as error:
            told = told_step(seen, ())
            return replace(told, doubts=(*told.doubts, error.message))
        return told_step(seen, [(f"step in {_STEP}", said)])


def _by_last(seen: Seen) -> Judged:
    if not seen.listing.has(_LAST):
        return Judged("unknown", (f"no {_LAST} lies beside it, which LeRobot moves when a checkpoint is finished",))
    target, finished = link_target(seen.folder / _LAST), None
    if target is not None:
        finished = int(target) if target.isascii() and target.isdigit() and len(target) <= 18 else None
    else:  # links become folders where they are copied
        try:
            finished = as_count(json_object(seen.folder / _LAST / _STEP).get("step"))
        except DamagedError:
            finished = None
    if finished is None:
        return Judged("unknown", (f"what {_LAST} points at is no step" + (f": {escaped(target)}" if target else ""),))
    if seen.found.step is not None and seen.found.step > finished:
        return Judged(
            "incomplete", (f"{_LAST} still points at {finished}: LeRobot moves it when a checkpoint is finished",)
        )
    return Judged("complete", (f"{_LAST} points at {finished}, which LeRobot moves when a checkpoint is finished",))


def _has(seen: Seen, name: str) -> bool:
    return seen.listing.has(f"{seen.found.name}/{name}")
