"""From what a person types to references: REFs, patterns and prefixes of runs, and paths; the only place that does.

A run that exists in the opened store wins over everything else that a word could mean; then come patterns (``ppo/*``)
and prefixes (``ppo/``) of runs, then paths.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property

from ckptkit.errors import CkptkitError, NotFoundError, UsageError
from ckptkit.manifest.names import is_run, step_of_name
from ckptkit.storage import Entry, Spot, Storage, open_storage, spot_of
from ckptkit.storage.newest_first import newest_of
from ckptkit.store import nearest_run
from ckptkit.store.reference import Ref, selected


@dataclass(frozen=True, slots=True)
class Selection:
    """What words name, all of it in one store.

    Attributes:
        url: opens the store.
        refs: in the order of the words, none twice.
    """

    url: str
    refs: Sequence[Ref]


def select(words: Sequence[str], url: str, *, given: bool = False, removed: bool = False) -> Selection:
    """Return what words name, and in which store: a path may lie in another one than the opened one.

    Args:
        words: ``RUN``, ``RUN@STEP``, ``RUN@latest``, ``RUN@best``; the same with a pattern (``ppo/*``) or a prefix
            (``ppo/``) of runs; or a path or URL of a run, a checkpoint, anything in one, or in the trash.
        url: the store to look in first.
        given: a person named that store: no word may lie in another one.
        removed: ask for what is in the trash.

    Raises:
        UsageError: a word can name nothing, or they lie in several stores.
        NotFoundError: a pattern or a path names nothing.
    """
    opened = _Words(open_storage(url), removed=removed, given=given)
    stores: dict[str, list[Ref]] = {}
    for word in words:
        elsewhere, refs = opened.find(word)
        if elsewhere is not None and given:
            raise UsageError(
                f"{word}: lies in the store {elsewhere}, not in {url}", hint="leave --store out, or name that store"
            )
        stores.setdefault(elsewhere or url, []).extend(refs)
    if len(stores) > 1:
        first, second, *_ = stores
        raise UsageError(f"the words name checkpoints of two stores, {first} and {second}", hint="ask once for each")
    return Selection(*next(((store, tuple(dict.fromkeys(refs))) for store, refs in stores.items()), (url, ())))


def refs_of(storage: Storage, words: Iterable[str | Ref], *, removed: bool = False) -> list[Ref]:
    """Return what words name in one store; raises as ``select``, and NotFoundError for a path in another store."""
    known = _Words(storage, removed=removed, given=True)
    return list(dict.fromkeys(ref for word in words for ref in _in_this(known, word)))


def _in_this(known: "_Words", word: str | Ref) -> list[Ref]:
    if isinstance(word, Ref):
        return [word]
    with contextlib.suppress(UsageError):
        ref = Ref.parse(word)
        if not is_pattern(ref.run):  # whatever lies at such a path, in the folder of a program that asks for a run
            return [ref]
    elsewhere, refs = known.find(word)
    if elsewhere is not None:
        raise NotFoundError(f"{word}: lies in the store {elsewhere}, not in {known.storage.url}")
    return refs


def one(refs: Sequence[Ref], word: str, what: str) -> Ref:
    """Return the only reference; raises UsageError where a word means several, or is a pattern that may."""
    if len(refs) == 1 and not is_pattern(word):
        return refs[0]
    raise UsageError(
        f"{what} takes one run or checkpoint, and {word} means {nearest_run.some(map(str, refs))}",
        hint=f"name one of them, for example {refs[0]}",
    )


def is_name(word: str) -> bool:
    """Return whether a word can be the name of a run, which it then is where a store was opened by name."""
    return is_run(word) and not is_pattern(word)


def is_pattern(word: str) -> bool:
    """Return whether a word has what makes it match names: ``*``, ``?`` or ``[``."""
    return any(sign in word for sign in "*?[")


class _Words:
    """Looks words up in one store; the names of its runs are read once, and only if a word asks for them."""

    def __init__(self, storage: Storage, *, removed: bool, given: bool) -> None:
        self.storage, self._removed, self._given = storage, removed, given

    def find(self, word: str) -> tuple[str | None, list[Ref]]:
        """Return the references that a word stands for, and the store they are in; None where it is this one."""
        try:
            ref, wrong = Ref.parse(word), None
        except UsageError as error:
            ref, wrong = None, error
        if wrong is not None and not word.strip("@"):
            raise wrong
        if "://" in word:
            if (found := self._at(word)) is None:
                raise _nowhere(word, there=False)
            return found
        is_path = os.path.lexists(word)
        if ref is not None and self.storage.has_run(ref.run) and not (is_path and self._is_empty(ref.run)):
            return None, [ref]
        name, choose = _parted(word)
        if (is_pattern(name) or name.endswith("/")) and (refs := self._matching(name, choose)):
            return None, refs
        if (is_path or "/" in word or ref is None) and (found := self._at(word)) is not None:
            return found
        if self._given:
            self.storage.require()
        if is_path or word.startswith(("/", "./", "../")) or (not self._is_there and _has_folder(word)):
            raise _nowhere(word, there=is_path)
        if is_pattern(name) or name.endswith("/"):
            self.storage.require()
            hint = nearest_run.among(name, self._steps)
            raise NotFoundError(f"{word}: matches no run in {self.storage.url}", hint=hint)
        if ref is None and wrong is not None:
            raise wrong
        return None, [Ref.parse(word)]

    @cached_property
    def _is_there(self) -> bool:
        try:
            self.storage.require()
        except CkptkitError:  # a path may lie in another store, which is there
            return False
        return True

    @cached_property
    def _steps(self) -> Mapping[str, set[int | None]]:
        """The steps of each run, in order of names: of what is there, or of what is in the trash."""
        return self._steps_below(".")

    def _steps_below(self, folder: str) -> Mapping[str, set[int | None]]:
        """Return the same of the runs in a folder only, of which alone anything is read."""
        found: dict[str, set[int | None]] = {}
        if not self._is_there:
            return found
        there: Iterable[tuple[str, int | None]] = (
            ((one.run, one.step) for one in self.storage.removed())
            if self._removed
            else ((at.run, at.step) for at in self.storage.scan(below=folder))
        )
        for run, step in there:
            if is_run(run):
                found.setdefault(run, set()).add(step)
        return found

    def _is_empty(self, run: str) -> bool:
        return not any(True for _ in newest_of(self.storage, run))

    def _matching(self, name: str, choose: "_Choice") -> list[Ref]:
        """Return the runs that a pattern matches, or those that begin with a prefix, else the one it is itself."""
        fits: Callable[[str], bool]
        if is_pattern(name):
            pattern = f"{name}*" if name.endswith("/") else name
            fits = lambda run: fnmatchcase(run, pattern)  # noqa: E731 - one of two
        else:
            fits = lambda run: run.startswith(name)  # noqa: E731 - one of two
        steps = self._steps_below(_folder_of(name))
        refs = [choose(Ref(run)) for run in steps if fits(run)]
        if not refs and is_run(itself := name.rstrip("/")) and itself in steps:
            refs = [choose(Ref(itself))]
        return [ref for ref in refs if ref.step is None or ref.step in steps[ref.run]]

    def _at(self, word: str) -> tuple[str | None, list[Ref]] | None:
        """Return what lies at a path, else what lies at what stands before its ``@``."""
        # Where the manifests of what a trainer wrote lie in a store of their own, nothing beside it tells of them.
        if self._given and (ref := self._from_elsewhere(word)) is not None:
            return None, [ref]
        if (found := self._on_spot(spot_of(word, self.storage))) is not None:
            return found
        if (ref := self._from_elsewhere(word)) is not None:
            return None, [ref]
        name, choose = _parted(word)
        found = None if name == word else self._on_spot(spot_of(name, self.storage))
        if found is None or not all(ref.whole for ref in found[1]):
            return None
        return found[0], [choose(ref) for ref in found[1]]

    def _on_spot(self, spot: Spot | None) -> tuple[str | None, list[Ref]] | None:
        if spot is None:
            return None
        here = spot_of(self.storage.url, self.storage)
        if here is not None and here.store == spot.store:
            refs = list(self._on(spot))
            return (None, refs) if refs else None
        other = _Words(open_storage(spot.store), removed=self._removed, given=True)
        refs = list(other._on(spot))
        return (spot.store, refs) if refs else None

    def _on(self, spot: Spot) -> Iterator[Ref]:
        """Yield what a spot of this store means: a checkpoint, a run, or all runs below a folder."""
        run = spot.run
        if spot.removed is not None:
            steps = (one.step for one in self.storage.removed(run) if one.key == spot.removed)
            yield Ref(run, next(steps, None), removed=spot.removed)
        elif spot.name is not None:
            yield Ref(run, step_of_name(spot.name), name=spot.name)
        elif is_run(run) and not self._is_empty(run):
            yield Ref(run)
        elif (listed := self._listing(run)) is not None:
            yield listed
        elif below := [name for name in self._steps if run == "." or f"{name}/".startswith(f"{run}/")]:
            yield from map(Ref, below)

    def _listing(self, path: str) -> Ref | None:
        """Return the newest checkpoint whose manifest, beside others' files, lists a path or what is below it."""
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            run = "/".join(parts[:depth]) or "."
            if is_run(run) and (found := self._listing_in(run, "/".join(parts[depth:]))) is not None:
                return found
        return None

    def _listing_in(self, run: str, path: str) -> Ref | None:
        found = [at for at in self.storage.scan(run) if at.layout.shared]
        found.reverse()
        # That of a trainer's file is named after it: the others are read only if that one does not list it.
        first = path.partition("/")[0]
        for at in sorted(found, key=lambda at: not at.name.startswith(first)):
            if _lists(at, path):
                return Ref(run, at.step, name=at.name)
        return None

    def _from_elsewhere(self, path: str) -> Ref | None:
        """Return the checkpoint of this store that was adopted from a path outside it."""
        if not os.path.lexists(path) or not self._is_there:
            return None
        real, tried = os.path.realpath(path), set()
        for at in self.storage.scan(skip_unreadable=True):
            if at.layout.kind != "adopted" or at.run in tried:
                continue
            tried.add(at.run)
            with contextlib.suppress(CkptkitError):  # what cannot be told where it is from
                around = os.path.realpath(at.folder)
                if real.startswith(f"{around}/") and (found := self._listing_in(at.run, os.path.relpath(real, around))):
                    return found
        return None


_Choice = Callable[[Ref], Ref]


def _folder_of(name: str) -> str:
    """Return the folder of all runs that a pattern can match, or that begin with a prefix: ``a/b`` of ``a/b/c*``."""
    sure = re.split(r"[*?\[]", name, maxsplit=1)[0].rpartition("/")[0]
    return sure if is_run(sure) else "."


def _parted(word: str) -> tuple[str, _Choice]:
    """Return what stands before the last ``@``, and what makes a whole run what stands behind it."""
    name, at, selector = word.rpartition("@")
    found = selected(selector) if at and name else None
    if found is None:
        return word, lambda ref: ref
    return name, lambda ref: replace(ref, step=found[0], word=found[1])


def _lists(at: Entry, path: str) -> bool:
    from ckptkit.catalog import manifests  # takes longer to import than a listing takes

    manifest, _ = manifests.read(at)
    items = () if manifest is None else manifest.items.values()
    return any(f.path == path or f.path.startswith(f"{path}/") for item in items for f in item.files)


def _has_folder(path: str) -> bool:
    """Return whether there could have been something at a path."""
    return os.path.isdir(os.path.dirname(path) or "\0")


def _nowhere(path: str, *, there: bool) -> NotFoundError:
    if not there:
        return NotFoundError(f"{path}: there is nothing at this path, and no run has this name")
    return NotFoundError(
        f"{path}: is in no checkpoint and no run of a store, and no manifest lists it",
        hint="`ckptkit list` shows what is there; `ckptkit adopt` takes in what a trainer wrote",
    )
