"""Checkpoints that a trainer has written into a run since it was adopted: they have no manifest yet, nor count."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ckptkit.errors import CkptkitError
from ckptkit.layouts import Found
from ckptkit.layouts.adopted import main_of
from ckptkit.layouts.numbered import stem_of
from ckptkit.layouts.own_names import STEP_FOLDER as OWN_NAME
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry, Storage

_NUMBER = re.compile(r"\d+")


def of(
    storage: Storage, run: str, *, newer_than: Entry | None = None, there: Iterable[Entry] | None = None
) -> Sequence[Path]:
    """Return where they lie, the oldest first; nothing but names is read, and what cannot be read is left out.

    Pointers such as ``last.ckpt`` are none. What only ends in a number is one where a checkpoint of the run is named
    alike.

    Args:
        storage: the store.
        run: the run.
        newer_than: only those that are newer than this one, by their numbers.
        there: what is in the run, where it was scanned already.
    """
    try:
        names = _left(os.listdir(storage.adopted_from(run)), newer_than)
        if not names:
            return []
        mains = {main_of(at.name) or at.name for at in (storage.scan(run) if there is None else there)}
        if all(name in mains for name in names):
            return []
        from ckptkit.trainers import finding  # most stores need none of it

        alike = mains if newer_than is None else {main_of(newer_than.name) or newer_than.name}
        found = [
            (_numbers(one.seen.found.name), one.path)
            for one in finding.below(storage.adopted_from(run), deep=False)
            if one.seen.found.name not in mains
            and _counts(one.seen.found, one.kind == finding.NOBODYS, alike, newer_than)
        ]
    except (CkptkitError, OSError):  # whoever reads checkpoints there says so
        return []
    return [path for _, path in sorted(found)]


def _left(names: Sequence[str], newer_than: Entry | None) -> list[str]:
    """Return the names that may be of one: of thousands that ``save`` gave, none that is older is looked at."""
    step = None if newer_than is None else newer_than.step
    own = () if step is None else filter(OWN_NAME.fullmatch, names)
    older = {name for name in own if step is not None and int(name[len("step-") :]) <= step}
    return [name for name in names if name not in older and not name.startswith(".")]


def told(paths: Sequence[Path]) -> str:
    """Return their names, for people; of many the first and the last."""
    names = [path.name for path in paths]
    return ", ".join(names if len(names) < 6 else [*names[:2], "...", *names[-2:]])


def adopt_command(storage: Storage, run: str, folder: Path) -> str:
    """Return the command that judges what lies in a folder of the run, and gives what is whole a manifest."""
    if folder == storage.run_folder(run):
        return f"ckptkit adopt {quote_word(str(folder))}"
    apart = f"--manifests store --run {quote_word(run)}"
    return f"ckptkit --store {quote_word(storage.url)} adopt {quote_word(str(folder))} {apart}"


def _counts(found: Found, nobodys: bool, alike: Collection[str], newer_than: Entry | None) -> bool:
    if found.moves or found.number is None:
        return False
    patterns = (_pattern(found.name), _pattern(stem_of(found.name)))
    same = next((name for name in alike if _pattern(name) in patterns), None)
    if newer_than is None:
        return same is not None or not nobodys
    if same is not None:
        return _numbers(found.name)[: len(_numbers(same))] > _numbers(same)
    return not nobodys and found.step is not None and newer_than.step is not None and found.step > newer_than.step


def _pattern(name: str) -> str:
    return _NUMBER.sub("0", name)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(name)]
