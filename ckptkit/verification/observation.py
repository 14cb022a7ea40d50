"""What a live run did in the steps after a checkpoint, sealed beside its manifest: the third kind of proof.

The file is written once, by the run itself, when it has gone far enough; a run that dies before leaves none, and then
nothing is proven by it. It names the manifest it belongs to by digest and carries its own.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ckptkit.digest import algorithm_of, digest_bytes
from ckptkit.errors import CkptkitError, DamagedError
from ckptkit.formats import strict_json
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.storage import Location, durable

VERSION = "1.0"

Digests = Mapping[str, Mapping[str, str]]
"""By item, by part: the digest of its state after a step."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Digests of all parts after each of the next steps, by step number."""

    steps: Mapping[int, Digests]

    def difference(self, other: "Observation") -> str | None:
        """Return where the first difference is in the steps that both have, or None."""
        for step in sorted(set(self.steps) & set(other.steps)):
            for item, parts in self.steps[step].items():
                there = other.steps[step].get(item, {})
                changed = sorted(part for part in parts if there.get(part) != parts[part])
                if changed:
                    return f"step {step}: {', '.join(changed)} of item {item!r}"
        return None


def read(at: Location, manifest: Manifest) -> Observation | None:
    """Return the sealed observation of a checkpoint, or None if there is none; raises DamagedError."""
    try:
        value = strict_json.load(at.observed)
    except FileNotFoundError:
        return None
    try:
        content = {k: v for k, v in value.items() if k != "digest"}
        digest = value["digest"]
        if digest_bytes(strict_json.dumps(content), algorithm_of(digest)) != digest:
            raise DamagedError(f"{at.observed.name}: does not match its own digest")
        if value["schema_version"] != VERSION or value["manifest"] != manifest.digest:
            raise DamagedError(f"{at.observed.name}: belongs to another checkpoint or version")
        return Observation({int(step): items for step, items in value["steps"].items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, CkptkitError):
            raise
        raise DamagedError(f"{at.observed.name}: is not an observation") from error


def seal(at: Location, manifest: Manifest, observation: Observation) -> None:
    """Write the observation beside the manifest, once; raises FileExistsError if there is one, StoreError."""
    content: dict[str, Any] = {
        "schema_version": VERSION,
        "manifest": manifest.digest,
        "steps": {str(step): items for step, items in observation.steps.items()},
    }
    content["digest"] = digest_bytes(strict_json.dumps(content), algorithm_of(manifest.digest))
    # Outside the checkpoint until it is whole: a file of ours that is half written would count as damage.
    state = at.folder.parent / ".ckptkit" if not at.sidecar else at.folder / ".ckptkit"
    temporary = state / f"observed-{uuid.uuid4().hex}"
    with durable.storage_errors(str(at.observed)):
        durable.make_folders(state)
        durable.write_file(temporary, strict_json.dumps(content, indent=1) + b"\n")
        try:
            os.link(temporary, at.observed)
            durable.fsync_path(at.folder)
        finally:
            temporary.unlink()


def problems(at: Location, manifest: Manifest) -> list[Problem]:
    """Return what is wrong with the sealed file, if there is one."""
    try:
        read(at, manifest)
    except (CkptkitError, OSError) as error:
        return [Problem("observed-damaged", str(error), at.observed.name)]
    return []
