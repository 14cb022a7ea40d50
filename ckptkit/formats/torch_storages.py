"""The storages that a torch pickle refers to: that each is there, is long enough, and that no tensor reaches beyond it.

Source: torch/serialization.py (``persistent_id``), torch/_utils.py (``_rebuild_tensor_v2``, ``_rebuild_tensor_v3``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ckptkit.formats import dtypes
from ckptkit.formats.escaped import escaped
from ckptkit.formats.pickle_machine import INERT, MADE, Global

_MOST = 20
_ITEM_BYTES = {
    **{kind: dtypes.WIDTHS[dtype] for kind, dtype in dtypes.TORCH.items()},
    **dict.fromkeys(("QUInt4x2Storage", "QUInt2x4Storage"), 1),
}


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as a persistent id describes it: ``count`` items of ``item_bytes`` (None: of unknown length)."""

    key: str
    count: int
    item_bytes: int | None


class Storages:
    """Collects the storages of one pickle; its two methods are the hooks of the inert machine.

    Attributes:
        complaints: pairs of code and message.
    """

    def __init__(self) -> None:
        self.complaints: list[tuple[str, str]] = []
        self._storages: dict[str, Storage] = {}

    def persistent(self, identifier: object) -> object:
        """Return the storage that a persistent id names."""
        match identifier:
            case ("storage", Global() as kind, str(key), str(), int(count), *_) if count >= 0:
                storage = Storage(key, count, _ITEM_BYTES.get(kind.name))
                known = self._storages.setdefault(key, storage)
                if known != storage:
                    self._complain("torch-damaged", f"storage {escaped(key)!r}: described in two ways")
                return storage
            case ("module", *_):  # source code of a module, beside the module: torch only compares it
                self._complain("torch-damaged", "holds the source code of a module (torch before 1.0)")
            case _:
                self._complain("torch-damaged", "has a persistent id that is not a storage")
        return INERT

    def call(self, function: Global, arguments: object) -> object:
        """Check a tensor that is put together from a storage."""
        if function.module == "torch._utils" and function.name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            self._check_tensor(arguments, typed=function.name == "_rebuild_tensor_v2")
        return MADE

    def _check_tensor(self, arguments: object, *, typed: bool) -> None:
        match arguments:
            case (Storage() as storage, int(offset), tuple(size), tuple(stride), *rest):
                dimensions = [*size, *stride]
                if offset < 0 or len(size) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in dimensions):
                    message = f"storage {escaped(storage.key)!r}: a tensor of it has no real shape"
                    self._complain("torch-damaged", message)
                    return
                count = storage.count
                if not typed:
                    dtype = rest[2] if len(rest) > 2 else None
                    wide = dtypes.WIDTHS.get(dtype.name) if isinstance(dtype, Global) else None
                    if wide is None or storage.item_bytes is None:
                        return
                    count = storage.count * storage.item_bytes // wide
                reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
                if 0 not in size and reach > count:
                    message = f"storage {escaped(storage.key)!r}: a tensor reaches to item {reach} of {count}"
                    self._complain("torch-storage-size", message)

    def compare(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Yield what is wrong, given the bytes of each storage member by key."""
        yield from self.complaints
        for storage in list(self._storages.values()):
            name, size = f"storage {escaped(storage.key)!r}", sizes.get(storage.key)
            if size is None:
                yield "torch-missing-storage", f"{name}: is missing"
            elif storage.item_bytes is not None and size != storage.count * storage.item_bytes:
                wanted = storage.count * storage.item_bytes
                yield "torch-storage-size", f"{name}: has {size} bytes where {wanted} are needed"

    def legacy_bytes(self) -> int | None:
        """Return how many bytes the storages take after the pickles of the old format: 8 plus the content, each.

        None if one is of a type of unknown length.
        """
        total = 0
        for storage in self._storages.values():
            if storage.item_bytes is None:
                return None
            total += 8 + storage.count * storage.item_bytes
        return total

    def _complain(self, code: str, message: str) -> None:
        if len(self.complaints) < _MOST:
            self.complaints.append((code, message))
