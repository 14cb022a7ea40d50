"""Which checkpoints hold a file, a tensor, or content with a digest: names by glob, digests by their beginning."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ckptkit.catalog import manifest_files, manifests
from ckptkit.errors import CkptkitError, DamagedError, UsageError
from ckptkit.formats.tensors import Tensor
from ckptkit.manifest.models import FileEntry, Manifest
from ckptkit.storage import Entry
from ckptkit.store import contents
from ckptkit.store.tensor_pairs import Unread

_DIGEST = re.compile(r"((blake3|sha256):)?[0-9a-f]{0,64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: all that is given must be true of one file, or of a tensor in it.

    Attributes:
        file: path in the checkpoint, or name of the file, or a glob of either.
        tensor: name of a tensor, or a glob.
        digest: ``sha256:ab12...``, or the beginning of one, with or without the algorithm.
    """

    file: str | None = None
    tensor: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where nothing is looked for, or a digest cannot be one."""
        if not (self.file or self.tensor or self.digest):
            raise UsageError(
                "nothing to look for",
                hint="add --file NAME, --tensor NAME or --digest DIGEST, for example --file '*.pt'",
            )
        if self.digest and not _DIGEST.fullmatch(self.digest.lower()):
            raise UsageError(
                f"{self.digest!r} is not the beginning of a digest", hint="for example sha256:ab12, or ab12 alone"
            )

    def has_file(self, path: str, digest: str) -> bool:
        """Return whether a manifest says of a file what is looked for."""
        named = self.file is None or any(_is(name, self.file) for name in (path, PurePosixPath(path).name))
        return named and self.has_digest(digest)

    def has_manifest(self, digest: str) -> bool:
        """Return whether a manifest itself is looked for, by its digest."""
        return bool(self.digest) and not self.file and not self.tensor and self.has_digest(digest)

    def has_digest(self, digest: str) -> bool:
        """Return whether a digest begins as the one that is looked for."""
        asked = (self.digest or "").lower()
        return digest.startswith(asked) or (":" not in asked and digest.partition(":")[2].startswith(asked))

    def has_tensor(self, tensor: Tensor) -> bool:
        """Return whether a tensor is called what is looked for, with or without the file of the archive it is in."""
        return self.tensor is not None and any(_is(name, self.tensor) for name in (tensor.name, tensor.label))


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found.

    Attributes:
        at: the checkpoint that holds it.
        digest: of the file, or of the manifest itself.
        item: the item that the file belongs to; empty for the manifest.
        file: the file; None for the manifest.
        tensor: the tensor, where one was looked for.
    """

    at: Entry
    digest: str
    item: str = ""
    file: FileEntry | None = None
    tensor: Tensor | None = None


@dataclass(slots=True)
class Search:
    """Looks through checkpoints, to be iterated over once; a file that several of them share is read once.

    Attributes:
        wanted: what is looked for.
        places: the checkpoints.
        unread: manifests and files that could not be read: what is in them is not known.
    """

    wanted: Wanted
    places: Iterable[Entry]
    unread: list[Unread] = field(default_factory=list)
    _known: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Hit]:
        """Yield what is found in them, in their order."""
        for at in self.places:
            if not self._may_be_in(at):
                continue
            manifest, problem = manifests.read(at)
            if manifest is not None:
                yield from self._in(at, manifest)
            elif at.identity is not None:  # else it was removed meanwhile
                self.unread.append(Unread(at, at.manifest_file, problem.message if problem else "cannot be read"))

    def _may_be_in(self, at: Entry) -> bool:
        """Return whether a checkpoint has to be looked into: its manifest, unchecked, is read ten times faster."""
        try:
            fields = json.loads(manifest_files.read_bytes(at))
            files = [(one["path"], one["digest"]) for item in fields["items"].values() for one in item["files"]]
            if self.wanted.has_manifest(fields["digest"]):
                return True
            return any(self.wanted.has_file(*file) and self._known.get(file[1], True) for file in files)
        except (CkptkitError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return True  # what is wrong with it is told when it is read

    def _in(self, at: Entry, manifest: Manifest) -> Iterator[Hit]:
        wanted = self.wanted
        if wanted.has_manifest(manifest.digest):
            yield Hit(at, manifest.digest)
        for name, item in manifest.items.items():
            for file in (one for one in item.files if wanted.has_file(one.path, one.digest)):
                if wanted.tensor is None:
                    yield Hit(at, file.digest, name, file)
                for tensor in self._tensors(at, file) if wanted.tensor else ():
                    yield Hit(at, file.digest, name, file, tensor)

    def _tensors(self, at: Entry, file: FileEntry) -> tuple[Tensor, ...]:
        if file.digest not in self._known:
            try:
                found = contents.tensors_of(at, file)
            except DamagedError as error:
                self.unread.append(Unread(at, file.path, error.message))
                return ()
            self._known[file.digest] = tuple(filter(self.wanted.has_tensor, found))
        return self._known[file.digest]


def _is(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
