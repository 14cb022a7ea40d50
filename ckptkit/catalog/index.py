"""The index: what a listing found in a store, so that the next one need not read what is still the same.

It lies beside the ledger, and may be lost at any time. Nothing in it is believed without a look at the store: names
only while the run's folder has the stamp that they were read with, a summary only while its manifest has. Whatever is
decided about a checkpoint is decided by its content; only listings read the index.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, overload

from ckptkit.catalog.cache_folder import index_file
from ckptkit.catalog.table import Line, Table
from ckptkit.manifest import limits, redaction, summary
from ckptkit.manifest.summary import Summary
from ckptkit.storage import Stamp
from ckptkit.storage.remembering import FolderNames

_FEW = 64  # changes: fewer are read again as fast as a line is written anew
_PART = 64  # so is less than one in so many
_ONE = ""  # the name of the only line that a run has in each table
_FIELDS = attrgetter(*(field.name for field in fields(Summary)))

Kept = Mapping[str, tuple[Stamp, Summary]]
"""By name of the checkpoint: the stamp of its manifest, and what was in it then."""


class Index:
    """What was found in one store, or in one run of it; a ``FolderMemory``. Nothing is written before ``flush``.

    Args:
        store: tells this store from any other, at any time.
        file: where it is kept.
        run: nothing else will be asked for.
    """

    def __init__(self, store: str, file: Path, run: str | None = None) -> None:
        self._store, self._run = store, run
        self._folders, self._summaries = Table(file, "folders"), Table(file, "summaries")
        self._new: dict[str, str] = {}
        self._gone: set[str] = set()
        self._recalled: dict[str, tuple[Stamp | None, FolderNames] | None] = {}

    @classmethod
    def of(cls, store: str, run: str | None = None, *, cache: bool = True) -> "Index | None":
        """Return the index of a store in the user's cache folder; None where there is to be none."""
        file = index_file() if cache else None
        return None if file is None else cls(store, file, run)

    # --- the names in the folders of runs ---

    @cached_property
    def _known(self) -> dict[str, str]:
        if self._run is None:
            return self._folders.of_store(self._store, _ONE)
        text = self._folders.of_run(self._store, self._run, {_ONE}).get(_ONE)
        return {} if text is None else {self._run: text}

    @property
    def runs(self) -> Iterable[str]:
        """The runs of which names are kept."""
        return self._known.keys()

    def recall(self, run: str) -> tuple[Stamp | None, FolderNames] | None:
        """See ``FolderMemory.recall``."""
        if run not in self._recalled:
            text = None if run in self._gone else self._known.get(run)
            self._recalled[run] = None if text is None else _names(text)
        return self._recalled[run]

    def keep(self, run: str, stamp: Stamp | None, names: FolderNames) -> None:
        """See ``FolderMemory.keep``."""
        self._new[run] = _text([stamp, " ".join(names.plain), names.folders, names.files, names.links])
        self._recalled[run] = stamp, names

    def forget(self, runs: Iterable[str]) -> None:
        """See ``FolderMemory.forget``."""
        for run in runs:
            self._new.pop(run, None)
            self._recalled.pop(run, None)
            self._gone.add(run)

    # --- what manifests say ---

    def summaries(self, run: str) -> Kept:
        """Return what is kept of the manifests of a run."""
        text = self._summaries.of_run(self._store, run, {_ONE}).get(_ONE)
        return {} if text is None else kept_of(text, _form())

    def keep_summaries(self, run: str, now: Kept, changed: int, few: int = _FEW) -> None:
        """Keep what the manifests of a run say, if enough has changed to be worth it.

        Args:
            run: the run.
            now: all that is to be known of it from now on.
            changed: how many of these were not known, or were known otherwise.
            few: so many are not worth it, however few there are.
        """
        if is_worth(changed, len(now), few):
            self.replace_summaries(run, now)

    def replace_summaries(self, run: str, now: Kept) -> None:
        """Keep what the manifests of a run say, whatever is kept."""
        self._summaries.put(self._store, [(run, _ONE, text_of(now, _form()))])

    def flush(self) -> None:
        """Write what came and drop what went."""
        lines: list[Line] = [(run, _ONE, text) for run, text in self._new.items()]
        if lines:
            self._folders.put(self._store, lines)
        for run in self._gone - self._new.keys():
            self._folders.drop(self._store, run, [_ONE])
            self._summaries.drop(self._store, run, [_ONE])
        self._new.clear()
        self._gone.clear()


class _Words(Sequence[str]):
    """Names with spaces between them, taken apart when one of them is asked for."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError
        self._text = text

    @cached_property
    def _parts(self) -> list[str]:
        return self._text.split()

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...

    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        return self._parts[at]

    def __len__(self) -> int:
        return self._text.count(" ") + 1 if self._text else 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)


def _names(text: str) -> tuple[Stamp | None, FolderNames] | None:
    try:
        stamp, plain, *others = json.loads(text)
        return None if stamp is None else _stamp(stamp), FolderNames(_Words(plain), *others)
    except (ValueError, TypeError):
        return None


def is_worth(changed: int, of: int, few: int) -> bool:
    """Return whether so many changes are worth writing all summaries of a run anew."""
    return changed > max(few, of // _PART)


def kept_of(text: str | bytes, form: str) -> Kept:
    """Return the summaries in a text, if code of this form has written it."""
    try:
        wrote, kept = json.loads(text)
        if wrote != form:
            return {}
        return {name: (_stamp(stamp), Summary(*said)) for name, (stamp, said) in kept.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def text_of(kept: Kept, form: str) -> str:
    """Return summaries as text."""
    return _text([form, {name: (stamp, _FIELDS(one)) for name, (stamp, one) in kept.items()}])


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _stamp(value: Any) -> Stamp:
    size, modified, changed, inode = value
    return size, modified, changed, inode


@cache
def _form() -> str:
    """Return what tells the code that makes summaries from any other: another one may say more, or mask more."""
    found = (os.stat(str(module.__file__)) for module in (summary, redaction, limits))
    return " ".join(f"{one.st_size}:{one.st_mtime_ns}" for one in found)
