"""From a chosen checkpoint and a template to the command that resumes from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptkit.catalog import item_files, manifests
from ckptkit.errors import StoreError, UsageError
from ckptkit.manifest.models import Manifest, Resume
from ckptkit.resume import Command, Value, expand, pieces_of
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry, Storage
from ckptkit.store import wrote
from ckptkit.store.choosing import Chosen

if TYPE_CHECKING:
    from ckptkit.trainers import Resuming


@dataclass(frozen=True, slots=True)
class ResumeCommand(Command):
    """The command that resumes from a checkpoint, and where it comes from.

    Attributes:
        chosen: the checkpoint, why newer ones were skipped, and which runs were followed to it.
        said_by: another checkpoint of the run, which says how to resume where this one does not; else None.
        guess: what in it is a guess, and why: the trainer's own command was taken, and no file says which program ran.
    """

    chosen: Chosen = field(kw_only=True)
    said_by: Entry | None = None
    guess: str | None = None


def resume_command(
    storage: Storage,
    chosen: Chosen,
    *,
    template: Sequence[str] | None = None,
    default: Resume | None = None,
    by_trainer: Mapping[str, Resume] | None = None,
    overrides: Sequence[str] = (),
    again: Sequence[str] = (),
) -> ResumeCommand:
    """Return the command that resumes from a verified checkpoint; see ``StoreReader.resume_command``."""
    manifest = chosen.manifest
    said, said_by = _said(storage, chosen, template, default)
    guess = None
    if template is None and said is None:
        said, guess = _of_trainer(manifest, by_trainer or {})
    used = template or (said.argv if said else None)
    if not used:
        raise _unsaid(chosen)
    root = storage.url
    return ResumeCommand(
        argv=filled(used, chosen.at, manifest, overrides),
        cwd=said.cwd if said else None,
        env=said.env if said else (),
        run=chosen.at.run,
        refresh=["ckptkit", "--store", root, "resume-cmd", chosen.at.run, "--format", "argv0", *again],
        step=manifest.step,
        skipped=[(report.at.ref, report.reason) for report in chosen.skipped],
        unlisted=[str(path) for path in chosen.unlisted],
        chosen=chosen,
        said_by=said_by,
        guess=guess,
    )


def _of_trainer(manifest: Manifest, by_trainer: Mapping[str, Resume]) -> tuple[Resume | None, str | None]:
    """Return the command that resumes whatever the trainer wrote, and what in it is a guess."""
    kind = manifest.trainer or ""
    if kind in by_trainer:
        return by_trainer[kind], None
    command = own_command(kind, manifest.config)
    return (None, None) if command is None else (Resume(argv=list(command)), _known(kind)[1].guess)


def own_command(kind: str, config: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the template of a trainer's own command that a checkpoint of this configuration fills; None without."""
    known = {f"config.{name}" for name, _ in _flat(config)}
    for command in _known(kind)[1].commands if kind else ():
        fields = {field for argument in command for field, _ in pieces_of(argument) if field.startswith("config.")}
        if fields <= known:
            return command
    return None


def _known(kind: str) -> "tuple[str, Resuming]":
    """Return what a trainer is called, and how what it wrote is resumed."""
    from ckptkit.trainers import TRAINERS, Resuming  # most checkpoints were saved by no trainer of its own

    return (TRAINERS[kind].title, TRAINERS[kind].resuming) if kind in TRAINERS else (kind, Resuming())


def _unsaid(chosen: Chosen) -> UsageError:
    kind = chosen.manifest.trainer
    if kind is None:
        return UsageError(
            f"{chosen.at.ref}: nothing says how to resume it",
            hint="give --resume when saving, or `resume:` for the run in ckptkit.yaml, or --template now",
        )
    title, resuming = _known(kind)
    return UsageError(
        f"{chosen.at.ref}: nothing says how to resume it, and {title} {resuming.without}",
        hint=(f"in a program, `{resuming.call}` goes on; of that program " if resuming.call else "")
        + "give --template 'python YOURS.py --resume {path}' now, --resume when adopting, or in ckptkit.yaml "
        f"`trainers: {{{kind}: ...}}` or `resume:` of the run",
    )


def filled(template: Sequence[str], at: Entry, manifest: Manifest, overrides: Sequence[str] = ()) -> list[str]:
    """Return the argument list of a template for one checkpoint; raises UsageError for a field that it cannot fill."""
    paths = _paths(at, manifest)
    fields = [field for argument in template for field, _ in pieces_of(argument)]
    wanted = next((field for field in fields if field.partition(".")[0] in _PATHS), None)
    if paths and wanted and manifest.dedup == "tensor":
        _require_whole(at, manifest, wanted)
    if not paths and wanted:
        raise UsageError(
            f"{at.ref}: the resume template names {{{wanted}}}, and the store has no folder on this machine",
            hint=f"`ckptkit resume-cmd {quote_word(at.ref)} --materialise DIR` copies it to this machine first; "
            "or let the command restore {run}@{step} from {store}",
        )
    return expand(template, _values(at, manifest) | paths, overrides)


_PATHS = ("path", "checkpoint", "items")
"""Fields that stand for places on this machine."""


def _values(at: Entry, manifest: Manifest) -> dict[str, Value | Mapping[str, Value]]:
    return {
        "run": at.run,
        "step": manifest.step,
        "store": at.storage.url,
        "counters": dict(manifest.counters) | {n: c for i in manifest.items.values() for n, c in i.counters.items()},
        "metrics": dict(manifest.metrics),
        "config": dict(_flat(manifest.config)),
    }


def _require_whole(at: Entry, manifest: Manifest, field: str) -> None:
    """Raise UsageError where a file is stored in parts: no other program can read it where it is."""
    for file in (file for item in manifest.items.values() for file in item.files):
        if not (at.folder / file.path).exists():
            raise UsageError(
                f"{at.ref}: {file.path} is stored in parts, and the resume template names {{{field}}}",
                hint=f"`ckptkit resume-cmd {quote_word(at.ref)} --materialise DIR` puts it together there first",
            )


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    """Yield the texts and numbers of a configuration; those of a table in it under its name and theirs."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, (str, int, float)):
            yield f"{before}{name}", value


def _paths(at: Entry, manifest: Manifest) -> dict[str, Value | Mapping[str, Value]]:
    """Return the fields that are absolute paths; none where the store is not on a file system."""
    try:
        folder = at.folder.resolve()
    except StoreError:
        return {}
    items = {name: folder / item_files.main(at, name, item) for name, item in manifest.items.items()}
    return {
        "path": next(iter(items.values())) if item_files.as_it_lay(at) or wrote.only_one(manifest) else folder,
        "checkpoint": folder,
        "items": items,
    }


def _said(
    storage: Storage, chosen: Chosen, template: Sequence[str] | None, default: Resume | None
) -> tuple[Resume | None, Entry | None]:
    """Return who says how to resume: the checkpoint, the caller, or another checkpoint of the run (and which one)."""
    if chosen.manifest.resume is not None:
        return chosen.manifest.resume, None
    if template is not None:
        return Resume(argv=list(template), cwd=str(Path.cwd())), None
    if default is not None:
        return default, None
    at, said = _elsewhere(storage, chosen) or (None, None)
    return said, at


def _elsewhere(storage: Storage, chosen: Chosen) -> tuple[Entry, Resume] | None:
    """Return the template of another checkpoint of the same run: the nearest older one that has one, else a newer one.

    Fields still expand for the chosen checkpoint; a run seldom changes its command.
    """
    mine = chosen.manifest.step
    places = [at for at in storage.scan(chosen.at.run) if at.step is not None and at.step != mine]
    for at in sorted(places, key=lambda at: (at.step > mine, abs(at.step - mine))):  # type: ignore[operator]  # filtered
        manifest, _ = manifests.read(at)
        if manifest is not None and manifest.resume is not None:
            return at, manifest.resume
    return None
