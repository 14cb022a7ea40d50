"""Take in what a trainer wrote: judge each checkpoint, and write a manifest for each that is whole."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.errors import (
    CkptkitError,
    ConflictError,
    DamagedError,
    RunNameError,
    StoreError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import adopted_name, main_of
from ckptkit.manifest.names import check_step
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry
from ckptkit.store import adoption, best_by
from ckptkit.store.foreign import content, judging, one_by_one, watched
from ckptkit.store.foreign.judging import Judgement
from ckptkit.store.foreign.outcome import Action, Outcome
from ckptkit.store.foreign.places import Places
from ckptkit.store.foreign.standing_in import StandIn
from ckptkit.store.stranger_item import Wrote, require_whole
from ckptkit.trainers.finding import NOBODYS, Sighting, training_within

if TYPE_CHECKING:
    from ckptkit.store.checkpoint_store import CheckpointStore

_TWO = "two claim one step: move one of them to a folder of its own and adopt that, as another run"
_ACTIONS: Mapping[str, Action] = {"new": "adopted", "again": "replaced", "known": "kept"}


@dataclass(slots=True)
class TakingIn:
    """One way of taking in: into which store, and with what.

    Attributes:
        store: where the manifests go.
        places: what its runs are called.
        resume: template of the command that resumes, for every checkpoint.
        cwd: folder to run it in.
        step: of a single checkpoint whose step nobody can tell.
        named: whether a person named a single checkpoint: then what nobody can tell to be whole is taken as it is.
        dry: whether nothing is written.
        copies: of files on a service: what has a checkpoint's bytes on this machine.
        on_bytes: called with the size of each block that is digested.
    """

    store: "CheckpointStore"
    places: Places
    resume: Sequence[str] | None = None
    cwd: str | None = None
    step: int | None = None
    named: bool = False
    dry: bool = False
    copies: StandIn | None = None
    on_bytes: Callable[[int], None] | None = None

    def take(self, sightings: Iterable[Sighting]) -> Iterator[Outcome]:
        """Yield what came of each, run by run; nothing that goes wrong with one keeps another from its turn."""
        ordered = sorted(sightings, key=lambda one: one.seen.folder)
        for folder, group in groupby(ordered, key=lambda one: one.seen.folder):
            try:
                run = self.places.run_of(folder)
            except RunNameError as error:
                yield from (_without_run(one, error) for one in sorted(map(judging.judge, group), key=_order))
                continue
            yield from _InRun(self, run, folder).take(self._judged(run, group))

    def _judged(self, run: str, group: Iterable[Sighting]) -> Iterator[Judgement]:
        """Yield what each of a run is worth, in the order in which they are taken in."""
        if self.copies is None:
            judged: Iterable[Judgement] = sorted(map(judging.judge, group), key=_order)
        else:
            judged = one_by_one.judged(self.store, run, group, self.copies)
        for one in judged:
            yield one if self.step is None else one.at_step(check_step(self.step))

    def clear(self, runs: Iterable[str]) -> Iterator[str]:
        """Take away the manifests of what its trainer has removed from runs; yield one line for each."""
        for run in runs:
            if not self.dry and self.store.storage.has_run(run):
                yield from self.store.clear(run)

    def runs_of(self, folders: Iterable[Path]) -> Iterator[str]:
        """Yield the runs of folders, of those that can be one."""
        for folder in folders:
            with contextlib.suppress(RunNameError, ValueError):
                yield self.places.run_of(folder)


def _order(one: Judgement) -> tuple[bool, int, str]:
    return one.order


def _without_run(one: Judgement, error: RunNameError) -> Outcome:
    action: Action = "left" if one.state == "incomplete" else "refused"
    error = RunNameError(error.message, hint="keep the manifests apart from the files: --manifests store --run NAME")
    return Outcome(one, one.state, action, one.reasons, step=one.told.step, error=error)


@dataclass(slots=True)
class _InRun:
    """What one run has, while its checkpoints are taken in."""

    how: TakingIn
    run: str
    folder: Path
    steps: dict[int, str] = field(default_factory=dict)

    def take(self, judged: Iterable[Judgement]) -> Iterator[Outcome]:
        """Yield what came of each. Those that are adopted already keep their steps."""
        try:
            self._read()
        except CkptkitError as error:
            yield from (self._failed(one, error) for one in judged)
            return
        for one in judged:
            yield self._one(one)

    def _read(self) -> None:
        """Note which step is whose, but not what a trainer has written over since: its name says nothing."""
        storage = self.how.store.storage
        if storage.has_run(self.run):
            for at in storage.scan(self.run):
                if at.step is not None:
                    self.steps[at.step] = main_of(at.name) or at.name

    def _failed(self, one: Judgement, error: CkptkitError) -> Outcome:
        return Outcome(one, one.state, "refused", one.reasons, self.run, one.told.step, error=error)

    def _one(self, one: Judgement) -> Outcome:
        out = Outcome(one, one.state, "left", one.reasons, self.run, one.told.step)
        if one.error is not None:
            return replace(out, action="refused", error=one.error)
        unknown = one.state == "unknown" and one.sighting.kind != NOBODYS and not self.how.named
        if one.state == "incomplete" or unknown:
            return self._withdrawn(out) if one.state == "incomplete" else out
        if (step := one.told.step) is None:
            path = quote_word(self.how.places.told(one.path))
            told = "its step is not known: no name and no file tells it"
            error = UsageError(told, hint=f"give its step: ckptkit adopt {path} --step N")
            return replace(out, action="refused", error=error)
        if (inner := training_within(one.sighting)) is not None:
            apart = quote_word(self.how.places.told(inner.seen.folder))
            error = UsageError(
                f"{one.path.name}: holds another training: {inner.path.relative_to(one.path)}",
                hint=f"move it out, or adopt it by itself: ckptkit adopt {apart}",
            )
            return replace(out, action="refused", error=error)
        name = one.sighting.seen.found.name
        other = self.steps.get(step, name)
        try:
            if self.how.dry and other != name:
                raise ConflictError(f"{name}: step {step} is that of {other} already", hint=_TWO)
            done = self._adopted(one, out, step)
        except ConflictError as error:
            return (
                replace(out, action="refused", error=error) if other == name else self._second(one, out, other, error)
            )
        except DamagedError as error:
            return self._withdrawn(replace(out, state="incomplete", reasons=(error.message,), error=error))
        except UnsafeContentError as error:
            if "--trust" in error.hint:
                error.hint = "do not load it; if you wrote it yourself, `ckptkit save` copies it with --trust FILE"
            return replace(out, state="unknown", action="refused", reasons=(), error=error)
        except CkptkitError as error:
            return replace(out, action="refused", error=error)
        except OSError as error:  # its trainer removed it, or it may not be read
            told = f"{error.filename or name}: {error.strerror or error}"
            return replace(out, action="refused", error=StoreError(told, hint="adopt it again when it can be read"))
        self.steps[step] = name
        return done

    def _withdrawn(self, out: Outcome) -> Outcome:
        """Return what came of half a checkpoint, without the manifest that it got before there was a further part."""
        sighting, storage = out.judgement.sighting, self.how.store.storage
        if (step := out.step) is None:
            return out
        main = sighting.seen.found.name
        try:
            if not self.how.dry:
                now = {path: size for path, (size, *_) in watched.stamps(sighting).items()}
                out = replace(out, cleared=adoption.withdraw(storage, self.run, main, step, now))
        except CkptkitError as error:
            return replace(out, action="refused", error=error)
        if self.steps.get(step) != main or out.cleared:
            return out
        damaged = Entry(self.run, adopted_name(main, step), ADOPTED, storage)
        return replace(out, manifest=storage.where(damaged, damaged.manifest_file))

    def _second(self, one: Judgement, out: Outcome, other: str, error: ConflictError) -> Outcome:
        """Return what is said of one whose step another has, which verifies."""
        twin = Entry(self.run, adopted_name(other, one.told.step or 0), ADOPTED, self.how.store.storage)
        is_copy = content.is_copy(one.sighting, self.folder / other, twin)
        if not is_copy and not one.moves:
            return replace(out, action="refused", error=ConflictError(error.message, hint=_TWO))
        what = "a copy of" if is_copy else "of the same step as"
        return replace(out, state="complete", action="copy", reasons=(f"{what} {other}, which has a manifest",))

    def _adopted(self, one: Judgement, out: Outcome, step: int) -> Outcome:
        found = one.sighting.seen.found
        item = one.item or content.item_of(one.sighting)
        wrote = Wrote(content.main(one.sighting), found.files)
        away = None if self.how.places.beside else self.folder
        store = self.how.store
        told = adoption.known(
            store.storage, self.run, found.name, step, {item: wrote}, folder=away, ledger=store.ledger
        )
        if told is not None:
            return replace(out, state="complete", action="kept", manifest=told.storage.where(told, told.manifest_file))
        content.require_not_damaged(
            one.sighting, Entry(self.run, adopted_name(found.name, step), ADOPTED, store.storage)
        )
        if self.how.dry:
            require_whole(self.folder, {item: wrote}, step)
            return replace(out, state="complete", action="new")
        done = store.adopt(
            self.run,
            found.name,
            step,
            {item: wrote},
            trainer=None if one.sighting.kind == NOBODYS else one.sighting.kind,
            folder=away,
            copy=None if self.how.copies is None else self.folder,
            on_bytes=self.how.on_bytes,
            metrics=one.told.metrics,
            counters=one.told.counters,
            config=best_by.config_of(one.told),
            resume=self.how.resume,
            cwd=self.how.cwd,
        )
        return replace(
            out,
            state="complete",
            action=_ACTIONS[done.how],
            manifest=done.at.storage.where(done.at, done.at.manifest_file),
            backend=done.manifest.items[item].backend,
            cleared=done.cleared,
            warnings=[problem.message for problem in done.warnings],
        )
