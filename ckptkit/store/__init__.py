"""The conductor: save, restore, list, verify and prune checkpoints of a store."""

from ckptkit.store.checkpoint_store import CheckpointStore as CheckpointStore
from ckptkit.store.checkpoint_store import Committed as Committed
from ckptkit.store.choosing import Chosen as Chosen
from ckptkit.store.choosing import Ranking as Ranking
from ckptkit.store.listing import Listed as Listed
from ckptkit.store.pruning import Pruned as Pruned
from ckptkit.store.pruning import Pruning as Pruning
from ckptkit.store.refs import Ref as Ref
from ckptkit.store.restoring import Restored as Restored
from ckptkit.store.saving import Details as Details
from ckptkit.store.writing import Files as Files
