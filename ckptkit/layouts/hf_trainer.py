"""Hugging Face Trainer: ``checkpoint-500/``, written in place, ``trainer_state.json`` last.

Source: transformers/trainer.py (``_save_checkpoint``), trainer_utils.py (``get_last_checkpoint``).
"""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, there
from ckptkit.layouts.interface import Listing

STATE = "trainer_state.json"
SIGNS = (STATE,)
_EARLIER = (
    *("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "config.json"),
    *("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "adapter_config.json"),
)
"""Files that it writes before the last one: a checkpoint that was cut has some of them."""
_ACCELERATE = ("random_states_0.pkl", "optimizer.bin", "scheduler.bin")
"""Of programs that call their folders so, and save with accelerate."""
_NAME = re.compile(r"checkpoint-(\d{1,18})")


class HfTrainer:
    """The layout of ``transformers.Trainer``; it keeps no pointer, the highest number is the newest."""

    kind = "hf_trainer"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders named by the step that hold a file of its."""
        for name in listing.folders:
            if not (match := _NAME.fullmatch(name)) or not there(listing, name, (*SIGNS, *_EARLIER)):
                continue
            if there(listing, name, SIGNS) or not there(listing, name, _ACCELERATE):
                yield Found(name, (name,), step=int(match[1]), marker=f"{name}/{STATE}")
