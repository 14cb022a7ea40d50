"""Counts the pickle gate: how many running payloads it flags, how many honest files it leaves alone.

    python -m benchmarks.gate_counts [--live] [--only dangerous|honest] [--verbose]

Each payload is saved (what is refused?) and, with the refusal switched off, verified. Nothing of it may run: the marker
that every payload touches must not be there afterwards. ``--live`` first loads each payload with the loader that people
use, in a process of its own, and counts how many do run.
"""

import argparse
import contextlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.gate_corpus import honest, loading
from benchmarks.gate_corpus.placements import Placement, placements, write
from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError, InconsistentSetError, UnsafeContentError
from ckptkit.store import Files

RUN = "gate/run"
WORDS = ("unsafe", "refused", "warned of", "nothing said")


@contextlib.contextmanager
def nothing_refused() -> Iterator[None]:
    """Let a save commit what it would refuse, so that a verification can be asked."""
    with mock.patch("ckptkit.store.item_entries.refuse"):
        yield


def _save(store: CheckpointStore, path: Path, backend: str | None, trust: list[Path], step: int = 1) -> None:
    options: dict[str, Any] = {"trust": trust} if trust else {}
    try:
        store.save(RUN, step, {"item": Files(path, backend)}, replace=True, **options)
    except InconsistentSetError as error:  # the files know their step
        told = re.search(r"item .*? at step (\d+)", error.message)
        if told is None or int(told[1]) == step:
            raise
        _save(store, path, backend, trust, int(told[1]))


def at_save(store: CheckpointStore, path: Path, backend: str | None, trust: list[Path]) -> tuple[str, str]:
    """Return a word for what a save does with the files, and its reason."""
    try:
        _save(store, path, backend, trust)
    except UnsafeContentError as error:
        return "unsafe", error.message
    except CkptkitError as error:
        return "refused", error.message
    return "nothing said", ""


def at_verify(store: CheckpointStore, path: Path, backend: str | None, trust: list[Path]) -> tuple[str, str]:
    """Return a word for what a verification says of the files, and its first problem."""
    with nothing_refused():
        _save(store, path, backend, trust)
    problems = [problem for report in store.verify(RUN).checkpoints for problem in report.problems]
    for severity, word in (("unsafe", "unsafe"), ("error", "refused"), ("warning", "warned of")):
        for problem in problems:
            if problem.severity == severity:
                return word, f"{problem.code}: {problem.file}: {problem.message}"
    return "nothing said", ""


def dangerous(folder: Path, *, live: bool, verbose: bool) -> bool:
    """Print how many payloads are flagged; returns whether all are, and none ran."""
    marker = folder / "marker"
    told: dict[str, Counter[str]] = {"save": Counter(), "verify": Counter()}
    ran = tried = count = 0
    for count, placement in enumerate(placements(str(marker)), 1):
        path = write(placement, folder / f"item{count}")
        if live and placement.loader:
            tried += 1
            loading.load_elsewhere(str(folder / f"item{count}" / placement.file), placement.loader)
            ran += marker.exists()
            if verbose and not marker.exists():
                print(f"  does not run: {placement.label}")
            marker.unlink(missing_ok=True)
        _judge(placement, path, CheckpointStore(folder / f"store{count}"), told, verbose=verbose)
    if live:
        print(f"payloads that run, loaded with the loader that people use: {ran} of {tried}")
    for level, words in told.items():
        flagged = words["unsafe"] + words["refused"]
        rest = ", ".join(f"{words[word]} {word}" for word in WORDS)
        print(f"dangerous flagged at {level}: {flagged} of {count} ({rest})")
    print(f"marker touched while saving and verifying: {'yes' if marker.exists() else 'no'}")
    return all(words["unsafe"] + words["refused"] == count for words in told.values()) and not marker.exists()


def _judge(
    placement: Placement, path: Path, store: CheckpointStore, told: dict[str, Counter[str]], *, verbose: bool
) -> None:
    for level, ask in (("save", at_save), ("verify", at_verify)):
        word, _ = ask(store, path, placement.backend, [])
        told[level][word] += 1
        if verbose and word != "unsafe":
            print(f"  {level}: {word}: {placement.label}")


def honest_files(folder: Path, *, verbose: bool) -> bool:
    """Print how many honest files and folders are saved and verified without a word; returns whether all are."""
    clean: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for count, case in enumerate(honest.cases(), 1):
        place = folder / f"honest{count}"
        place.mkdir()
        path, trust = case.write(place)
        store = CheckpointStore(folder / f"honest-store{count}")
        told = [ask(store, path, case.backend, trust) for ask in (at_save, at_verify)]
        tried[case.family] += case.files
        expected = tuple(f"{code}: " for code in case.told) or ("nothing",)
        bad = [reason for word, reason in told if word != "nothing said" and not reason.startswith(expected)]
        clean[case.family] += 0 if bad else case.files
        if verbose or bad:
            print(f"  {case.family}: {case.label}: {'; '.join(bad) or 'clean'}")
    for family in tried:
        print(f"honest clean, {family}: {clean[family]} of {tried[family]}")
    print(f"honest clean: {clean.total()} of {tried.total()}")
    return clean == tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", action="store_true", help="first show that the payloads run")
    parser.add_argument("--only", choices=("dangerous", "honest"))
    parser.add_argument("--verbose", action="store_true", help="name what is not flagged, and what is clean")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "honest":
            good = dangerous(Path(folder), live=options.live, verbose=options.verbose) and good
        if options.only != "dangerous":
            good = honest_files(Path(folder), verbose=options.verbose) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
