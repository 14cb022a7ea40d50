"""What people must know about checkpoints that a trainer wrote without a manifest: they are not listed; what helps."""

import shlex
from typing import TYPE_CHECKING

from ckptkit.cli import output
from ckptkit.errors import CkptkitError

if TYPE_CHECKING:
    from ckptkit.store import Chosen, StoreReader
    from ckptkit.store.adopting import Unlisted


def tell(store: "StoreReader", run: str | None, *, quiet: bool) -> None:
    """Say on stderr, in two lines for each kind, which have no manifest, and the command that takes them in."""
    if quiet:
        return
    try:
        found = store.unlisted(run)
    except (CkptkitError, OSError):  # what cannot be read, or vanished meanwhile, is no reason for a listing to fail
        return
    for one in found:
        names = [path.name for path in one.paths]
        some = ", ".join(names if len(names) < 4 else [names[0], "...", names[-1]])
        what = f"{len(names)} checkpoints have" if len(names) > 1 else "1 checkpoint has"
        output.echo(output.safe(f"{one.run}: {what} no manifest and cannot be listed: {some} ({one.backend})"))
        output.echo(output.safe(f"  {_remedy(store, one)}"))


def _remedy(store: "StoreReader", one: "Unlisted") -> str:
    program = f"ckptkit --store {shlex.quote(store.storage.url)}"
    if one.in_place:
        return f"this judges each, and gives what is whole a manifest: {program} adopt {shlex.quote(one.run)}"
    item = f"{one.item}={shlex.quote(str(one.paths[-1]))}"
    return f"to copy it into a run: {program} save RUN --step {one.step} {item}"


def tell_newer(store: "StoreReader", chosen: "Chosen", *, quiet: bool) -> None:
    """Say on stderr, in one line, which newer ones than the chosen one nobody has judged yet."""
    from ckptkit.store import without_manifest

    paths = chosen.unlisted
    if paths:
        have = "newer checkpoint has" if len(paths) == 1 else "newer checkpoints have"
        adopt = without_manifest.adopt_command(store.storage, chosen.at.run, paths[0].parent)
        told = f"{len(paths)} {have} no manifest: {without_manifest.told(paths)}; `{adopt}` judges "
        output.echo(output.safe(f"{told}{'it' if len(paths) == 1 else 'them'}, then resume again"), quiet=quiet)
