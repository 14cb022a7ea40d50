"""The conductor: save, restore, list, verify and prune checkpoints of a store."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckptkit.store.adoption import Adopted as Adopted
    from ckptkit.store.arriving import Arrival as Arrival
    from ckptkit.store.checkpoint_store import CheckpointStore as CheckpointStore
    from ckptkit.store.choosing import Chosen as Chosen
    from ckptkit.store.choosing import Ranking as Ranking
    from ckptkit.store.committed import Committed as Committed
    from ckptkit.store.copying_to import Transfer as Transfer
    from ckptkit.store.describing import Description as Description
    from ckptkit.store.details import DetailFields as DetailFields
    from ckptkit.store.details import Details as Details
    from ckptkit.store.differences import Comparison as Comparison
    from ckptkit.store.differences import Difference as Difference
    from ckptkit.store.files import Files as Files
    from ckptkit.store.finding import Hit as Hit
    from ckptkit.store.finding import Wanted as Wanted
    from ckptkit.store.in_flight import SaveHandle as SaveHandle
    from ckptkit.store.listed import Listed as Listed
    from ckptkit.store.listing import Listing as Listing
    from ckptkit.store.pruning import Pruned as Pruned
    from ckptkit.store.pruning import PruneSurvey as PruneSurvey
    from ckptkit.store.reader import StoreReader as StoreReader
    from ckptkit.store.reference import Ref as Ref
    from ckptkit.store.restoring import Restored as Restored
    from ckptkit.store.resuming import ResumeCommand as ResumeCommand
    from ckptkit.store.stranger_item import Wrote as Wrote

    Pruning = PruneSurvey

_HOMES = {
    "Adopted": "adoption",
    "Arrival": "arriving",
    "Transfer": "copying_to",
    "Wrote": "stranger_item",
    "CheckpointStore": "checkpoint_store",
    "Committed": "committed",
    "DetailFields": "details",
    "Chosen": "choosing",
    "Ranking": "choosing",
    "Listed": "listed",
    "Listing": "listing",
    "Pruned": "pruning",
    "PruneSurvey": "pruning",
    "Ref": "reference",
    "Restored": "restoring",
    "SaveHandle": "in_flight",
    "ResumeCommand": "resuming",
    "StoreReader": "reader",
    "Details": "details",
    "Files": "files",
    "Wanted": "finding",
    "Hit": "finding",
    "Difference": "differences",
    "Description": "describing",
    "Comparison": "differences",
}
_RENAMED = {"Pruning": "PruneSurvey"}


def __getattr__(name: str) -> Any:
    # Lazy: `ckptkit list` needs the listing alone, and the rest takes longer to import than a listing takes.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"ckptkit.store.{_HOMES[name]}"), name)
    from ckptkit.renamed import new_name

    return __getattr__(new_name(__name__, name, _RENAMED))
