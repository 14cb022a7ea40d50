"""Guest of ckptkit: files of any kind, kept byte for byte; the last resort if no backend knows their format."""

from ckptkit_files.backend import FilesBackend
from ckptkit_files.one_by_one import read_into_memory
from ckptkit_files.written import Content, Contents, Create, Written

__all__ = ["Content", "Contents", "Create", "FilesBackend", "Written", "read_into_memory"]
