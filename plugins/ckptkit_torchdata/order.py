"""Notes which indices a loader takes from its sampler, so that a second pass can be held against the first."""

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_torchdata.definition import is_iterable
from ckptkit_torchdata.generators import globals_fingerprint
from ckptkit_torchdata.loader_kinds import is_stateful, is_torchs_own

_EMPTY = "sha256:" + hashlib.sha256().hexdigest()


class NotedOrder:
    """Stands in for a loader's sampler while ``iter(loader)`` asks for it, and is that iterator from then on.

    Workers make a loader sample ahead of what it has given: ``given`` says which of the sampled batches is given now.

    Args:
        sampler: the loader's ``batch_sampler``, or its ``sampler`` where it does not batch.
        skip: so many first batches are sampled and dropped, right before the first one is given out.

    Attributes:
        digest: of all indices up to the last given batch; None when they are no plain values.
        interleaved: the sampler drew from the global generators after its first batch, so in between of what training
            drew: no second pass can be the same.
        skipped: how many batches could be dropped; fewer than wanted when the epoch is shorter.
    """

    def __init__(self, sampler: Any, *, skip: int = 0) -> None:
        self._sampler = sampler
        self._inner: Iterator[Any] | None = None
        self._skip = skip
        self._hasher = hashlib.sha256()
        self._plain = True
        self._sampled = 0
        self._ahead: deque[str] = deque()
        self._watched = not (is_torchs_own(sampler) and is_torchs_own(getattr(sampler, "sampler", sampler)))
        self.digest: str | None = _EMPTY
        self.interleaved = False
        self.skipped = 0

    def __iter__(self) -> "NotedOrder":
        self._inner = iter(self._sampler)
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __next__(self) -> Any:
        self.drop()
        return self._sample()

    @property
    def started(self) -> bool:
        """Whether the loader asked for the sampler at all; a loader of a class of its own may not."""
        return self._inner is not None

    def drop(self) -> None:
        """Sample and drop the batches to skip, now."""
        wanted, self._skip = self._skip, 0
        for _ in range(wanted):
            try:
                self._sample()
            except StopIteration:
                return
            self.skipped += 1
            self.given()

    def given(self) -> None:
        """Note that the next of the sampled batches has been given to the training loop."""
        if self._ahead:
            self.digest = self._ahead.popleft() if self._plain else None

    def _sample(self) -> Any:
        if self._inner is None:
            raise StopIteration
        before = globals_fingerprint() if self._watched and self._sampled else None
        indices = next(self._inner)
        self.interleaved = self.interleaved or (before is not None and globals_fingerprint() != before)
        self._sampled += 1
        try:
            self._hasher.update(repr(_plain(indices)).encode() + b"\n")
        except TypeError:
            self._plain = False
        self._ahead.append(f"sha256:{self._hasher.hexdigest()}")
        return indices


def iterate(loader: Any, *, skip: int = 0) -> tuple[Iterator[Any], NotedOrder | None]:
    """Return a new iterator of the loader, and what notes the order of its indices, where there are any.

    Raises:
        BackendError: batches are to be skipped, but the loader does not ask its sampler.
    """
    if is_stateful(loader):
        return iter(loader), None
    if getattr(loader, "_iterator", None) is not None:
        loader._iterator = None  # persistent workers go on with the generators they have; new ones are seeded
    role = "batch_sampler" if loader.batch_sampler is not None else "sampler"
    attributes = vars(loader)
    if is_iterable(loader) or role not in attributes:
        return iter(loader), None
    sampler = attributes[role]
    noted = NotedOrder(sampler, skip=skip)
    attributes[role] = noted  # only while the iterator is made: it keeps what it finds
    try:
        iterator = iter(loader)
    finally:
        attributes[role] = sampler
    if noted.started:
        return iterator, noted
    if skip:
        raise BackendError("torch-data: this DataLoader does not ask its sampler in iter()", hint="use skip='refetch'")
    return iterator, None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError("not a plain value")
    return to_list()
