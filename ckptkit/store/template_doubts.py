"""What speaks against a checkpoint's own resume template: said at the save, since nobody looks at it before a crash."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ckptkit.errors import UsageError
from ckptkit.formats.escaped import escaped
from ckptkit.manifest.models import Manifest
from ckptkit.resume import pieces_of
from ckptkit.storage import Entry
from ckptkit.storage.remote import SupportsStats
from ckptkit.store import resuming
from ckptkit.store.wrote import only_one

_FURTHER = re.compile(r"\{(?:path|checkpoint|items)|[*?\[]")
"""Where the rest of an argument is no longer a plain name: another path, or a pattern that the program expands."""
_END = re.compile(r"[\s'\",:;]")
"""Where a name may end in an argument that is a shell line or a list; names may also contain these."""


def doubts(at: Entry, manifest: Manifest, given: Mapping[str, Path]) -> Iterator[str]:
    """Yield what speaks against a checkpoint's own resume template, one line each.

    Args:
        at: where the checkpoint is.
        manifest: of it.
        given: by item, the path that was adopted.
    """
    argv = manifest.resume.argv if manifest.resume else []
    fields = [(argument, field, rest) for argument in argv for field, rest in pieces_of(argument)]
    yield from _beside(manifest, [(field, rest) for _, field, rest in fields])
    yield from _originals(manifest, argv, given)
    yield from _unfilled(at, manifest, fields)


def _beside(manifest: Manifest, fields: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a line if the template gives the checkpoint's folder although the trainer's files lie deeper."""
    adopted = {name: item.path for name, item in manifest.items.items() if item.path is not None}
    means_the_folder = {"checkpoint"} if only_one(manifest) else {"checkpoint", "path"}
    bare = [field for field, rest in fields if field in means_the_folder and not rest.startswith("/")]
    if bare and adopted and "." not in adopted.values() and not any(f.startswith("items.") for f, _ in fields):
        where = ", ".join(f"{{items.{name}}}" for name in adopted)
        yield f"the resume template gives {{{bare[0]}}}, the checkpoint's folder; the trainer's files are in {where}"


def _originals(manifest: Manifest, argv: Sequence[str], given: Mapping[str, Path]) -> Iterator[str]:
    originals = {path.resolve(): name for name, path in given.items()}
    for argument in argv:
        name = originals.get(Path(argument.rpartition("=")[2] or ".").resolve())
        if name is not None:
            field = "path" if only_one(manifest) else f"items.{name}"
            yield f"the resume template names {argument!r}, which the trainer may remove; {{{field}}} is the copy"


def _unfilled(at: Entry, manifest: Manifest, fields: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield which fields the checkpoint cannot fill, and which files the template names that it does not have."""
    for argument, field, rest in fields:
        is_path = field in ("path", "checkpoint") or field.startswith("items.")
        try:
            base, below = resuming.filled([f"{{{field}}}", _FURTHER.split(rest)[0]], at, manifest)
        except UsageError as error:
            far = is_path and isinstance(at.storage, SupportsStats)
            takes = "takes --materialise DIR, which copies it here" if far else "will refuse it"
            yield f"{error.message}: `ckptkit resume-cmd` {takes}"
            continue
        named = _END.split(below)[0].strip("/")
        if is_path and below.startswith("/") and not any(os.path.exists(f"{base}/{name}") for name in (named, below)):
            where = f"{{{field}}}" if Path(base).is_dir() else f"{{{field}}}, which is a file"
            near = _near(Path(base), named)
            yield f"the resume template names {escaped(argument)!r}: there is no {escaped(named)!r} in {where}{near}"


def _near(folder: Path, name: str) -> str:
    there = [file.relative_to(folder).as_posix() for file in folder.rglob("*")]
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""
