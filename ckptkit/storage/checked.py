"""A power of a store that checks what arrives: what it commits is known, without being read again."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ckptkit.storage.values import Stamp


@runtime_checkable
class SupportsChecked(Protocol):
    """A power of a ``Staging``."""

    @property
    def checked(self) -> Mapping[str, Stamp]:
        """By path, the stamps of those files of which the store has checked, as it took them, that they arrived whole.

        By a checksum of all their bytes: a size is not enough.
        """
        ...
