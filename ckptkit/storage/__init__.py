"""Where checkpoints live: the contract of a store (``interface``), and what opens one. Only this room knows fsspec."""

from ckptkit.storage.interface import Entry as Entry
from ckptkit.storage.interface import FileStat as FileStat
from ckptkit.storage.interface import Leftover as Leftover
from ckptkit.storage.interface import Lock as Lock
from ckptkit.storage.interface import Removed as Removed
from ckptkit.storage.interface import Staging as Staging
from ckptkit.storage.interface import Stamp as Stamp
from ckptkit.storage.interface import Storage as Storage
from ckptkit.storage.urls import open_storage as open_storage

Location = Entry
"""The name of ``Entry`` before stores were more than folders; kept for one version."""
