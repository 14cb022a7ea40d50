"""An object service that does not give up at once: requests are tried again where that may help, and fail in words."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from ckptkit.errors import CkptkitError, StoreError
from ckptkit.storage.objects import walking
from ckptkit.storage.objects.requests import Requests, SupportsDamage, SupportsPages, SupportsUnseen
from ckptkit.storage.objects.retrying import ONCE, PATIENT, Patience, insist
from ckptkit.storage.objects.service import Info, Level, Only, Power, Unmet, Written
from ckptkit.storage.objects.stream import ObjectStream
from ckptkit.storage.objects.trouble import no_bucket, understood

T = TypeVar("T")
_AT_ONCE = 1000  # keys of one request: what S3 takes


class SteadyObjects:
    """``Objects`` over a service's own requests.

    Args:
        requests: of the service.
        patience: how long and how often a request is tried.
    """

    def __init__(self, requests: Requests, patience: Patience = PATIENT) -> None:
        self.requests = requests
        self._patience = patience

    @property
    def url(self) -> str:
        """What opens it again, without credentials."""
        return self.requests.url

    @property
    def powers(self) -> frozenset[Power]:
        """What the service can do, as far as is known of its kind."""
        return self.requests.powers

    @property
    def unseen(self) -> str | None:
        """See ``SupportsUnseen.unseen``."""
        return self.requests.unseen if isinstance(self.requests, SupportsUnseen) else None

    def look(self, key: str) -> Info | None:
        """Return what is known of an object, or None."""
        try:
            return self._do(key, lambda: self.requests.look(key))
        except FileNotFoundError:
            return None

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix."""
        return self._do(prefix, lambda: self.requests.level(prefix))

    def below(self, prefix: str) -> Iterator[Info]:
        """Yield all objects whose keys begin with a prefix."""
        requests = self.requests
        if not isinstance(requests, SupportsPages):
            return walking.below(self.level, prefix)
        return self._paged(requests, prefix)

    def _paged(self, requests: SupportsPages, prefix: str) -> Iterator[Info]:
        pages: Iterator[Sequence[Info]] = iter(())

        def first() -> Sequence[Info] | None:
            nonlocal pages
            pages = iter(requests.pages(prefix))
            return next(pages, None)

        page = self._do(prefix, first)
        while page is not None:
            yield from page
            page = self._do(prefix, lambda: next(pages, None), ONCE)

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on, and what it is."""

        def attempt() -> tuple[bytes, Info]:
            data, info = self.requests.read(key, start, length)
            rest = max(info.size - start, 0)
            if len(data) != (rest if length is None else min(rest, length)):
                raise EOFError("an answer was incomplete")
            return data, info

        return self._do(key, attempt)

    def open(self, key: str) -> BinaryIO:
        """Return an unbuffered stream from the start."""
        return cast("BinaryIO", ObjectStream(self.read, key, self._named(key)))

    def write(self, key: str, data: bytes, only: Only | None = None) -> Written:
        """Write a small object, all of it or nothing.

        An answer may be lost after the write was done, and then the next attempt finds its own object in the way: what
        is there is compared with what was to be written.
        """
        unsure = False

        def attempt() -> Written:
            nonlocal unsure
            before, unsure = unsure, True
            try:
                return self.requests.write(key, data, only)
            except Unmet:
                if before and (own := self._own(key, data)):
                    return own
                raise

        return self._do(key, attempt)

    def _own(self, key: str, data: bytes) -> Info | None:
        try:
            there, info = self.requests.read(key, 0, None)
        except FileNotFoundError:
            return None
        return info if there == data else None

    def upload(self, key: str, path: Path) -> Written:
        """Write a file of any size, and check what is known of it then."""
        size = os.stat(path).st_size
        try:
            info = self._do(key, lambda: self.requests.upload(key, path))
            if info.size != size:
                told = f"{self._named(key)}: {info.size} bytes arrived where {size} were sent"
                raise StoreError(told, hint="try again; if it stays so, look at the network")
        except BaseException:
            self._take_back(key)
            raise
        return info

    def _take_back(self, key: str) -> None:
        with suppress(Exception):
            self._do(key, lambda: self.requests.delete([key]), ONCE)
        with suppress(Exception):
            for upload in self._do(key, lambda: self.requests.unfinished(key, 0.0), ONCE):
                self._do(key, partial(self.requests.abort, upload), ONCE)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, many at a time; those that are not there are no error."""
        waiting = list(keys)
        for first in range(0, len(waiting), _AT_ONCE):
            some = waiting[first : first + _AT_ONCE]
            self._do(some[0], partial(self.requests.delete, some))

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version; raises Unmet."""
        unsure = False

        def attempt() -> None:
            nonlocal unsure
            before, unsure = unsure, True
            try:
                self.requests.delete_only(key, version)
            except Unmet:
                if not before or self.look(key) is not None:
                    raise

        self._do(key, attempt)

    def copy(self, source: str, target: str) -> Info:
        """Copy an object within the service."""
        return self._do(source, lambda: self.requests.copy(source, target))

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return names of uploads in parts that were never finished."""
        return self._do(prefix, lambda: self.requests.unfinished(prefix, older))

    def abort(self, upload: str) -> None:
        """Take back an unfinished upload."""
        self._do("", lambda: self.requests.abort(upload))

    def refuses_damaged(self, key: str) -> bool | None:
        """Return whether the service refuses what does not fit its checksum; None: that cannot be tried."""
        requests = self.requests
        return self._do(key, lambda: requests.refuses_damaged(key)) if isinstance(requests, SupportsDamage) else None

    def _named(self, key: str) -> str:
        return f"{self.url}/{key}" if key else self.url

    def _do(self, key: str, attempt: Callable[[], T], patience: Patience | None = None) -> T:
        """Return what an attempt returns. What a library raised is told in words, and not kept: it may hold secrets."""
        try:
            return insist(attempt, _passing, patience or self._patience)
        except (Unmet, CkptkitError):
            raise
        except FileNotFoundError as error:
            told = understood(error).error(self._named(key)) if no_bucket(error) else None
        except Exception as error:
            told = understood(error).error(self._named(key))
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":  # a panic of obstore, which is no Exception
                raise
            told = understood(error).error(self._named(key))
        if told is not None:
            raise told
        raise FileNotFoundError(f"{self._named(key)}: there is no such object")


def _passing(error: Exception) -> bool:
    if isinstance(error, Unmet | CkptkitError | FileNotFoundError):
        return False
    return understood(error).passing
