"""What a live run did in the steps after a checkpoint, sealed beside its manifest: the third kind of proof.

The file is written once, by the run itself, when it has gone far enough; a run that dies before that leaves none, and
proves nothing. It names the manifest it belongs to by digest and carries its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit.digest import algorithm_of, digest_bytes
from ckptkit.errors import CkptkitError, DamagedError, StoreError
from ckptkit.formats import strict_json
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.storage import Entry

VERSION = "1.0"
_MAX_BYTES = 256 << 20

Digests = Mapping[str, Mapping[str, str]]
"""By item, by part: the digest of its state after a step."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Digests of all parts after each of the next steps, by step number."""

    steps: Mapping[int, Digests]

    def difference(self, other: "Observation") -> str | None:
        """Return where the first difference is among the steps that both have, or None."""
        for step in self.common(other):
            if found := first_difference(self.steps[step], other.steps[step]):
                return f"step {step}: {found}"
        return None

    def common(self, other: "Observation") -> list[int]:
        """Return the steps that both have, in order."""
        return sorted(set(self.steps) & set(other.steps))


def far(steps: Sequence[int], start: int) -> int:
    """Return how many steps after a checkpoint were compared: noted steps may be more than one apart."""
    return max(steps) - start if steps else 0


def first_difference(one: Digests, other: Digests) -> str | None:
    """Return which part of a step differs, the one that acts on the others first, or None.

    Only items that both have are compared. In one step data, draws and environments act on gradients, these on the
    optimizer, and that on the model: all of them may differ after it, but the first is where to look.
    """
    changed = [
        (_rank(part), number, part, item)
        for number, item in enumerate(one)
        if item in other
        for part in sorted(set(one[item]) | set(other[item]))
        if one[item].get(part) != other[item].get(part)
    ]
    if not changed:
        return None
    changed.sort()
    (_, _, part, item), *rest = changed
    more = [name if of == item else f"{name} of {of!r}" for _, _, name, of in rest]
    listed = ", ".join(more[:_TOLD]) + (f" and {len(more) - _TOLD} more" if len(more) > _TOLD else "")
    return f"{part} of item {item!r}" + (f" (and with it {listed})" if more else "")


_TOLD = 4
_ACTS_ON_THE_NEXT = (
    r"position|definition|order|batch|epoch|iterator",
    r"generator|rng|random|python|numpy|torch|cuda|noise",
    r"environment|\benv|obs|episode|wrapper|attribute|counter|modes?\b|flag|setting|callback",
    r"replay|rollout|buffer",
    r"gradient|grad",
    r"schedul|scaler",
    r"optim",
    r"",
    r"model|policy|actor|critic|network|module|weights|parameters",
    r"ema|target",
)


def _rank(part: str) -> int:
    # Backends name their own parts: a name that is not known here goes between the causes and the effects.
    named = (rank for rank, words in enumerate(_ACTS_ON_THE_NEXT) if words and re.search(words, part.lower()))
    return next(named, _ACTS_ON_THE_NEXT.index(""))


def read(at: Entry, manifest: Manifest) -> Observation | None:
    """Return the sealed observation of a checkpoint, or None if there is none; raises DamagedError."""
    return _read(at, manifest.digest)


def _read(at: Entry, manifest_digest: str) -> Observation | None:
    try:
        value = strict_json.loads(at.storage.read(at, at.observed_file, _MAX_BYTES), max_bytes=_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        content = {k: v for k, v in value.items() if k != "digest"}
        digest = value["digest"]
        if digest_bytes(strict_json.dumps(content), algorithm_of(digest)) != digest:
            raise DamagedError(f"{at.observed_file}: does not match its own digest")
        if value["schema_version"] != VERSION or value["manifest"] != manifest_digest:
            raise DamagedError(f"{at.observed_file}: belongs to another checkpoint or version")
        return Observation({int(step): items for step, items in value["steps"].items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, CkptkitError):
            raise
        raise DamagedError(f"{at.observed_file}: is not an observation") from error


def seal(at: Entry, manifest: Manifest, observation: Observation) -> None:
    """Write the observation beside the manifest, once; raises ConflictError if there is one, StoreError."""
    content: dict[str, Any] = {
        "schema_version": VERSION,
        "manifest": manifest.digest,
        "steps": {str(step): items for step, items in observation.steps.items()},
    }
    content["digest"] = digest_bytes(strict_json.dumps(content), algorithm_of(manifest.digest))
    at.storage.put(at, at.observed_file, strict_json.dumps(content, indent=1) + b"\n", replace=False)


def problems(at: Entry, manifest_digest: str) -> list[Problem]:
    """Return what is wrong with the sealed file of the checkpoint with this manifest, if there is one."""
    try:
        _read(at, manifest_digest)
    except StoreError as error:  # of all that is wrong with a file the one that is no fault of its own
        return [Problem("file-unreadable", error.message, at.observed_file)]
    except (CkptkitError, OSError) as error:
        return [Problem("observed-damaged", str(error), at.observed_file)]
    return []
