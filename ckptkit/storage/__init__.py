"""Where checkpoints live: finding, staging, committing and removing them. The only room that knows fsspec."""

from ckptkit.storage.local import LocalStorage as LocalStorage
from ckptkit.storage.location import Location as Location
from ckptkit.storage.urls import open_storage as open_storage
