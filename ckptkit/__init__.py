"""ckptkit: save, list, verify, prune and resume training state of any framework as one verified checkpoint."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckptkit.scratch import rehearsing as rehearsing
    from ckptkit.store import CheckpointStore as CheckpointStore

__all__ = ["CheckpointStore", "__version__", "rehearsing"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy, so that `import ckptkit.errors` in a plugin or a light command does not pay for the whole store.
    if name == "CheckpointStore":
        from ckptkit.store import CheckpointStore

        return CheckpointStore
    if name == "rehearsing":
        from ckptkit.scratch import rehearsing

        return rehearsing
    raise AttributeError(f"module 'ckptkit' has no attribute {name!r}")
