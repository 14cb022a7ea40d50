"""Where checkpoints live: the contract of a store (``interface``), and what opens one. Only this room knows fsspec."""

from typing import TYPE_CHECKING

from ckptkit.renamed import new_name
from ckptkit.storage.checked import SupportsChecked as SupportsChecked
from ckptkit.storage.interface import Entry as Entry
from ckptkit.storage.interface import FileStat as FileStat
from ckptkit.storage.interface import Leftover as Leftover
from ckptkit.storage.interface import Lock as Lock
from ckptkit.storage.interface import Removed as Removed
from ckptkit.storage.interface import Staging as Staging
from ckptkit.storage.interface import Stamp as Stamp
from ckptkit.storage.interface import Storage as Storage
from ckptkit.storage.paths import require_path as require_path
from ckptkit.storage.paths import spot_of as spot_of
from ckptkit.storage.shared import Shared as Shared
from ckptkit.storage.shared import SupportsLinks as SupportsLinks
from ckptkit.storage.shared import SupportsSharing as SupportsSharing
from ckptkit.storage.urls import is_elsewhere as is_elsewhere
from ckptkit.storage.urls import open_storage as open_storage
from ckptkit.storage.values import Spot as Spot

if TYPE_CHECKING:
    Location = Entry
    from ckptkit.storage.local import LocalStorage as LocalStorage
else:

    def __getattr__(name: str) -> object:
        new = new_name(__name__, name, {"Location": "Entry", "LocalStorage": "local.LocalStorage"})
        from ckptkit.storage import local

        return Entry if new == "Entry" else local.LocalStorage
