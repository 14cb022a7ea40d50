"""Guest of ckptkit: files of any kind, kept byte for byte; the last resort if no backend knows their format."""

from ckptkit_files.backend import FilesBackend
from ckptkit_files.written import Content, Written

__all__ = ["Content", "FilesBackend", "Written"]
