"""From a chosen checkpoint and a template to the command that goes on from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ckptkit.errors import UsageError
from ckptkit.manifest.models import ItemEntry
from ckptkit.resume import Command, Value, expand
from ckptkit.storage import LocalStorage, Location
from ckptkit.store.choosing import Chosen
from ckptkit.verification.levels import item_folder


def command(
    storage: LocalStorage,
    chosen: Chosen,
    *,
    template: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    again: Sequence[str] = (),
) -> Command:
    """Return the command that resumes from a verified checkpoint; paths in it are absolute.

    Args:
        storage: the store.
        chosen: the checkpoint.
        template: used instead of the one in the manifest.
        overrides: arguments that are appended, so that they win.
        again: what a job that is started again must ask `ckptkit resume-cmd` for beside the run.

    Raises:
        UsageError: there is no template, or it has a field that this checkpoint cannot fill.
    """
    manifest = chosen.manifest
    used = template or (manifest.resume.argv if manifest.resume else None)
    if not used:
        raise UsageError(
            f"{chosen.at.ref}: nothing says how to resume it",
            hint="give --resume when saving, or `resume:` for the run in ckptkit.yaml, or --template now",
        )
    root = storage.root.resolve()
    items = {name: _item_path(chosen.at, name, item) for name, item in manifest.items.items()}
    values: dict[str, Value | Mapping[str, Value]] = {
        "path": next(iter(items.values())) if chosen.at.sidecar else chosen.at.folder.resolve(),
        "run": chosen.at.run,
        "step": manifest.step,
        "store": root,
        "items": items,
        "counters": dict(manifest.counters) | {n: c for i in manifest.items.values() for n, c in i.counters.items()},
        "metrics": dict(manifest.metrics),
    }
    return Command(
        argv=expand(used, values, overrides),
        cwd=manifest.resume.cwd if manifest.resume else None,
        env=manifest.resume.env if manifest.resume else (),
        run=chosen.at.run,
        refresh=["ckptkit", "--store", str(root), "resume-cmd", chosen.at.run, "--format", "argv0", *again],
    )


def _item_path(at: Location, name: str, item: ItemEntry) -> Path:
    """Return an item's only file, or its folder when it has several (of a sidecar checkpoint: its main file)."""
    if at.sidecar or len(item.files) == 1:
        return at.folder.resolve() / item.files[0].path
    return item_folder(at, name, item)[0].resolve()
