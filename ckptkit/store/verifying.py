"""Verify many checkpoints: which ones, how far each, and with whole runs their pins and tags."""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ckptkit.catalog import manifest_files
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import UsageError
from ckptkit.progress import Meter
from ckptkit.storage import Entry
from ckptkit.verification import LEVELS, CheckpointReport, Level, Report, Verifier
from ckptkit.verification.refs import damaged


def chosen(places: Sequence[Entry], *, latest: bool, sample: str | None) -> Sequence[Entry]:
    """Return those of the places, in order of runs and steps, that are asked for; see ``StoreReader.verify``."""
    if latest:
        places = list({at.run: at for at in places}.values())  # in order of steps: the last one stays
    return places if sample is None else _sampled(places, sample)


def verify(
    places: Sequence[Entry],
    *,
    runs: Collection[str] | None,
    level: Level | Callable[[str], Level] = "format",
    verifier: Verifier | None = None,
    ledger: Ledger,
    meter: Meter,
    each: Callable[[float, CheckpointReport], None],
    **how: Any,
) -> Report:
    """Verify checkpoints, and the pins and tags of runs; damage is in the report, never raised.

    Args:
        places: the checkpoints.
        runs: which of their runs were asked for as such, with pins and tags; None: all.
        level: how far to look, or what says it by the run's name.
        verifier: does it in its own way and on its own level.
        ledger: where what is found is kept.
        meter: told what is read.
        each: told when each was begun (monotonic seconds), and what was found.
        how: ``strict``, ``factories``, ``trust_unchanged``, ``jobs``, ``signers`` of ``Verifier``.
    """
    levels = [verifier.level if verifier else level(at.run) if callable(level) else level for at in places]
    verifiers: Mapping[Level, Verifier] = {
        one: verifier or Verifier(one, ledger=ledger, on_bytes=meter, **how) for one in set(levels)
    }
    if meter.watched and verifier is None and not how.get("trust_unchanged"):  # else nobody can tell what will be read
        meter.expect(sum(manifest_files.size(at) for one, at in zip(levels, places, strict=True) if one != "presence"))
    reports: list[CheckpointReport] = []
    with (ledger if verifier is None or verifier.ledger is None else verifier.ledger).together():
        for one, at in zip(levels, places, strict=True):
            now, began = time.time(), time.monotonic()
            found = verifiers[one].verify(at)
            reports.append(replace(found, began=now, seconds=time.monotonic() - began))
            if not reports[-1].gone:  # nothing is said about it
                each(began, reports[-1])
    otherwise = verifier.level if verifier else "format" if callable(level) else level
    lowest = min(levels, key=LEVELS.index, default=otherwise)
    return Report.of(lowest, reports, damaged(at for at in places if runs is None or at.run in runs))


def _sampled(places: Sequence[Entry], sample: str) -> Sequence[Entry]:
    number, slash, parts = sample.partition("/")
    if slash and number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts):
        return places[int(number) - 1 :: int(parts)]
    percent = sample.removesuffix("%")
    if sample.endswith("%") and percent.isdigit() and 1 <= int(percent) <= 100 and places:
        count = max(1, round(len(places) * int(percent) / 100))
        some = set(random.sample(range(len(places)), count))
        return [at for index, at in enumerate(places) if index in some]
    if not places:
        return ()
    raise UsageError(f"sample {sample!r} is neither a share nor a part", hint="for example 5% or 3/7")
