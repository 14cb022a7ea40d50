"""The callback for a Trainer of the package ``lightning``. Importing it imports that package."""

from lightning.pytorch.callbacks import Checkpoint

from ckptkit_hooks.lightning_callback import FitCallback


class CheckpointCallback(FitCallback, Checkpoint):  # type: ignore[misc]  # Lightning is optional: Any for mypy
    """See ``FitCallback``."""
