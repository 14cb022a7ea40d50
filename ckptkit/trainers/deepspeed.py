"""DeepSpeed: the file ``latest`` is written when all ranks have saved, so what is newer than it names is not finished.

Source: deepspeed/runtime/engine.py (``save_checkpoint``, ``_save_checkpoint``: ``global_steps`` in the model states).
"""

from dataclasses import dataclass

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.torch_values import torch_table
from ckptkit.layouts.deepspeed import POINTER, SIGNS
from ckptkit.layouts.numbers import end_number
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.state_files import content
from ckptkit.trainers.steps import told_step

_MOST_BYTES = 4096
_RESUMING = Resuming(call="engine.load_checkpoint(FOLDER, TAG)")


@dataclass(frozen=True, slots=True)
class DeepSpeed:
    """``engine.save_checkpoint``; the program that called it loads it too, with flags of its own."""

    kind: str = "deepspeed"
    title: str = "DeepSpeed"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return what ``latest`` says; of tags that are no numbers it tells only of the newest."""
        if POINTER not in seen.listing.files:
            return Judged(
                "unknown", (f"no {POINTER} lies beside it, which DeepSpeed writes when all ranks have saved",)
            )
        try:
            tag = content(seen.folder / POINTER, _MOST_BYTES).decode("utf-8", "replace").strip()
        except DamagedError as error:
            return Judged("unknown", (error.message,))
        if not tag:
            return Judged("unknown", (f"{POINTER} is empty",))
        if tag == seen.found.name:
            return Judged("complete", (f"{POINTER} names it, which DeepSpeed writes when all ranks have saved",))
        newest, own = end_number(tag), end_number(seen.found.name)
        if newest is None or own is None:
            return Judged("unknown", (f"{POINTER} names {escaped(tag)}: whether that is older cannot be told",))
        if own > newest:
            return Judged("incomplete", (f"{POINTER} still names {escaped(tag)}: DeepSpeed writes it last",))
        return Judged("complete", (f"{POINTER} names {escaped(tag)}, which is newer",))

    def told(self, seen: Seen) -> Told:
        """Return ``global_steps`` of the model's states; a tag of the user's own need not be one."""
        folder = seen.folder / seen.found.name
        states = next((name for name in SIGNS if seen.listing.has(f"{seen.found.name}/{name}")), None)
        steps = torch_table(folder / states).get("global_steps") if states else None
        return told_step(seen, [(f"global_steps in {states}", steps)])
