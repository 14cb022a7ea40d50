"""In which ways checkpoints lie in a folder: names only, nothing here reads or writes.

One small file for each way. ``OURS`` are those with a manifest, which every store is searched for; ``FOREIGN`` are
those of trainers, without one.
"""

from ckptkit.layouts.adopted import ADOPTED as ADOPTED
from ckptkit.layouts.flat import FLAT as FLAT
from ckptkit.layouts.foreign import ForeignLayout as ForeignLayout
from ckptkit.layouts.foreign import Found as Found
from ckptkit.layouts.foreign import claimed as claimed
from ckptkit.layouts.interface import Layout as Layout
from ckptkit.layouts.interface import Listing as Listing
from ckptkit.layouts.search import OURS as OURS
from ckptkit.layouts.search import Checkpoint as Checkpoint
from ckptkit.layouts.search import checkpoints as checkpoints
from ckptkit.layouts.search import in_order as in_order
from ckptkit.layouts.search import other_folders as other_folders
from ckptkit.layouts.sidecar import SIDECAR as SIDECAR
from ckptkit.layouts.step_folder import STEP_FOLDER as STEP_FOLDER
from ckptkit.layouts.trainers import FOREIGN as FOREIGN


def named(kind: str) -> Layout:
    """Return one of our layouts by its ``kind``; raises KeyError."""
    return {layout.kind: layout for layout in OURS}[kind]
