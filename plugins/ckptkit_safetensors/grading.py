"""How much of an item was captured, and what was not."""

from ckptkit.backend import Captured
from ckptkit_safetensors.capture import Snapshot

_MOST_REASONS = 20


def grade(captured: Snapshot) -> Captured:
    """Return the grade: ``complete`` with an optimizer, or where nothing is trained; else ``weights-only``."""
    reasons = list(captured.modules.reasons) if captured.modules is not None else []
    if len(reasons) > _MOST_REASONS:
        reasons[_MOST_REASONS - 1 :] = [f"and {len(reasons) - _MOST_REASONS + 1} more attributes"]
    if captured.trains and "optimizer" not in captured.states:
        return Captured("partial" if reasons else "weights-only", ["the item has no optimizer", *reasons])
    return Captured("partial" if reasons else "complete", reasons)
