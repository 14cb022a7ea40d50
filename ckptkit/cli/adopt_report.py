"""How `ckptkit adopt` says what it found and did: one row for each checkpoint, then what to type next."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptkit.cli import output
from ckptkit.errors import StoreError

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.store.foreign import Outcome, Places, Sought, TakingIn

COLUMNS = ("STATE", "STEP", "CHECKPOINT", "MANIFEST", "TRAINER", "WHY")
_WORDS = {
    "new": "would be written",
    "adopted": "written",
    "replaced": "written anew",
    "kept": "is there",
    "copy": "needs none",
    "left": "none",
    "refused": "cannot be written",
}


def report(
    session: "Session", taking: "TakingIn", sought: "Sought", outcomes: "Sequence[Outcome]", format_: str | None
) -> int:
    """Print what came of all that was found, and return the exit code."""
    from ckptkit.store import foreign

    runs = {one.run for one in outcomes if one.run} | set(taking.runs_of(folder for folder, _ in sought.looked.stale))
    cleared = [*(line for one in outcomes for line in one.cleared), *taking.clear(sorted(runs))]
    if not outcomes:
        for line in cleared:
            output.echo(output.safe(line), quiet=session.quiet)
        return 0 if cleared else _nothing(session, sought, taking.places)
    following = _next(session, taking, outcomes)
    extra = {
        "store": taking.store.storage.url,
        "manifests": "beside" if taking.places.beside else "store",
        "written": not taking.dry,
        "cleared": cleared,
        "links": {str(path): target for path, target in sought.looked.links.items()},
        "next": following,
    }
    output.rows(
        output.chosen(format_),
        "checkpoints",
        COLUMNS,
        _records(taking, outcomes),
        extra,
        spare=("TRAINER", "MANIFEST"),
        names=("CHECKPOINT",),
        quiet=session.quiet,
    )
    for line in (*cleared, *_lines(taking, sought, outcomes)):
        output.echo(output.safe(line), quiet=session.quiet)
    if following:
        output.echo("next:", quiet=session.quiet)
        for command in following:
            output.echo(f"  {output.safe(command)}", quiet=session.quiet)
    return foreign.exit_code(outcomes)


def _records(taking: "TakingIn", outcomes: "Sequence[Outcome]") -> Iterator[tuple[list[object], dict[str, Any]]]:
    for one in outcomes:
        told = one.judgement.told
        reasons = [*one.reasons, *([one.error.message] if one.error and one.error.message not in one.reasons else [])]
        fields = {
            "path": taking.places.told(one.path),
            "run": one.run,
            "step": one.step,
            "step_from": told.step_from or None,
            "state": one.state,
            "action": one.action,
            "reasons": reasons,
            "trainer": one.judgement.sighting.kind,
            "title": one.judgement.title,
            "counters": dict(told.counters),
            "metrics": dict(told.metrics),
            "manifest": one.manifest,
            "error": None if one.error is None else {"message": one.error.message, "hint": one.error.hint},
        }
        name = one.path.relative_to(taking.places.root).as_posix()
        step = "?" if one.step is None else one.step
        word = _WORDS["kept" if one.manifest and one.action == "left" else one.action]  # of one that was damaged since
        yield [one.state, step, name, word, one.judgement.title, "; ".join(reasons)], fields


def _lines(taking: "TakingIn", sought: "Sought", outcomes: "Sequence[Outcome]") -> Iterator[str]:
    """Yield what people must know besides the rows."""
    listed = {one.path for one in outcomes}
    for path, target in sought.looked.links.items():
        if not path.exists():
            yield f"{path}: is a link to {target}, which does not exist"
        elif path.resolve() in listed:
            yield f"{path.name}: is a link to {target}, which is in the list"
    for path, why in sought.looked.unreadable.items():
        yield f"{path}: cannot be read ({why})"
    if taking.copies is not None and (odd := taking.copies.odd):
        yield f"{output.count(len(odd), 'name')} not looked at, as no file can be called so, such as {odd[0]!r}"
    hints: dict[str, list[str]] = {}
    for one in outcomes:
        if one.action == "refused" and one.error is not None:
            hints.setdefault(one.error.hint, []).append(one.path.name)
    for hint, names in hints.items():
        yield f"{names[0] if len(names) == 1 else f'{names[0]} and {len(names) - 1} more'}: {hint}"
    done = Counter(one.action for one in outcomes)
    complete = sum(count for action, count in done.items() if action != "left")
    where = "beside the files" if taking.places.beside else "in the store"
    if taking.dry:
        yield f"{output.count(complete, 'complete checkpoint')} of {len(outcomes)}; nothing was written"
        return
    written = done["adopted"] + done["replaced"]
    kept = f", {done['kept']} had one" if done["kept"] else ""
    store = taking.store.storage.url
    yield f"{output.count(written, 'manifest')} written{kept}; they lie {where}, and the store is {store}"


def _next(session: "Session", taking: "TakingIn", outcomes: "Sequence[Outcome]") -> list[str]:
    """Return the commands to type next: they are the same wherever they are pasted, unless they name a folder here."""
    from ckptkit.store.resuming import own_command

    listed = [one for one in outcomes if one.listed and one.run is not None]
    if not listed:
        return []
    program = _program(session, taking)

    def commands(one: "Outcome") -> bool:
        found = one.judgement
        kind = found.sighting.kind
        known = taking.resume is not None or kind in session.config().trainers
        return known or own_command(kind, found.told.config) is not None

    newest = max(listed, key=lambda one: (commands(one), one.step or 0))
    template = "" if commands(newest) else " --template 'python YOURS.py --resume {path}'"
    return [f"{program} list", f"{program} resume-cmd {shlex.quote(newest.run or '.')}{template}"]


def _program(session: "Session", taking: "TakingIn") -> str:
    if taking.places.on_service:
        usual = session.store is None and session.url().rstrip("/") == taking.places.store
        return "ckptkit" if usual else f"ckptkit --store {shlex.quote(taking.places.store)}"
    store = Path(taking.store.storage.url)
    if session.store is None and Path(session.url()).resolve() == store:
        return "ckptkit"
    here = Path.cwd()
    name = store.relative_to(here) if store.is_relative_to(here) else store
    return f"ckptkit --store {shlex.quote(str(name))}"


def _nothing(session: "Session", sought: "Sought", places: "Places") -> int:
    from ckptkit.store import foreign

    looked = sought.looked
    for path, why in looked.unreadable.items():  # what is in it, nobody knows
        raise StoreError(f"{path}: cannot be read ({why})", hint="see to the disk, or the folder's permissions")
    where = f"looked at {output.count(looked.files, 'file')} in {output.count(looked.folders, 'folder')}"
    told = places.told(sought.path)
    output.echo(output.safe(f"{told}: no checkpoint of a known trainer is here ({where}); looked for"))
    for line in foreign.looked_for():
        output.echo(f"  {line}")
    output.echo("anything else is kept byte for byte: ckptkit save RUN --step N NAME:files=PATH", quiet=session.quiet)
    return 4
