"""All layouts of trainers, the telling ones first: each folder or file goes to the first layout that finds it."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from ckptkit.layouts import accelerate, dcp, deepspeed, hf_trainer, lerobot, lightning, orbax, sb3_callback
from ckptkit.layouts.foreign import ForeignLayout
from ckptkit.layouts.keras import Keras
from ckptkit.layouts.numbered import Numbered
from ckptkit.layouts.numbers import step_by_word
from ckptkit.layouts.rl_zoo import RlZoo
from ckptkit.layouts.tf_train import TfTrain
from ckptkit.layouts.torch_file import TorchFile

FOREIGN: tuple[ForeignLayout, ...] = (
    hf_trainer.HfTrainer(),
    lerobot.LeRobot(),
    orbax.Orbax(),
    lightning.Lightning(),  # before DCP: its sharded checkpoints hold one
    deepspeed.DeepSpeed(),
    dcp.Dcp(),
    accelerate.Accelerate(),
    RlZoo(),
    sb3_callback.Sb3Callback(),
    TfTrain(),
    Keras(),
    TorchFile(),
    Numbered(),
)
_NUMBERED = (*hf_trainer.SIGNS, *lerobot.SIGNS, *orbax.SIGNS)
"""Of writers that name their folders by the step; trainers of one's own do it too, and write safetensors."""
_OWN_FOLDER = (*hf_trainer.SIGNS, lerobot.STATE, *orbax.SIGNS, *dcp.SIGNS, *deepspeed.SIGNS)
"""By which a folder among others is a checkpoint."""


def step_of_file(name: str) -> int | None:
    """Return the step in the name that Lightning or SB3 gives a file."""
    step = lightning.step_of(name)
    return sb3_callback.step_of(name) if step is None else step


def step_of_item(name: str, files: Sequence[str], *, folder: bool) -> int | None:
    """Return the step that a name gives; None where its number may be another's.

    A number alone, and ``checkpoint-N``, is a step only for a folder of a writer that is known to mean one: Keras and
    others count epochs so, and accelerate counts its saves (``checkpoint_2``).

    Args:
        name: of a folder or file.
        files: the names in it; of a file, its own.
        folder: whether it is one.
    """
    own = folder and (_holds(files, _NUMBERED) or any(fnmatchcase(file, "*.safetensors") for file in files))
    return _step(name, files, own or name.endswith(".safetensors"))


def step_of_folder(name: str, files: Sequence[str]) -> int | None:
    """Return the step that the name of a folder gives which lies among others; None where it is no checkpoint.

    Args:
        name: of the folder, or its path.
        files: names relative to it.
    """
    return _step(name.rpartition("/")[2], files, True) if _holds(files, _OWN_FOLDER) else None


def _step(name: str, files: Sequence[str], steps: bool) -> int | None:
    step = step_of_file(name)
    return step_by_word(name, steps=steps, saves=_holds(files, accelerate.SIGNS)) if step is None else step


def _holds(files: Sequence[str], signs: Sequence[str]) -> bool:
    return any(file == sign or file.startswith(f"{sign}/") for file in files for sign in signs)
