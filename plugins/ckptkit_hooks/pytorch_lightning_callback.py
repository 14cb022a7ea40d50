"""The callback for a Trainer of the package ``pytorch_lightning``. Importing it imports that package."""

from pytorch_lightning.callbacks import Checkpoint

from ckptkit_hooks.lightning_callback import FitCallback


class CheckpointCallback(FitCallback, Checkpoint):  # type: ignore[misc]  # Lightning is optional: Any for mypy
    """See ``FitCallback``."""
