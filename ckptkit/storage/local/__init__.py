"""A store on a file system: staging, one rename, a trash, locks that die with their process."""

from ckptkit.storage.local.local_storage import LocalStorage as LocalStorage
