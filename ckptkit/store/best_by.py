"""By which metric a run's own trainer calls a checkpoint the best: `config.best` in manifests of adopted ones."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from ckptkit.catalog import manifests
from ckptkit.errors import UsageError
from ckptkit.manifest.models import Manifest
from ckptkit.retention import RetentionPolicy, policy_from_words
from ckptkit.storage import Storage

if TYPE_CHECKING:
    from ckptkit.trainers import Told

BestBy = tuple[str, Literal["min", "max"]]
"""The metric, and whether less or more of it is better."""
KEY = "best"


def config_of(told: "Told") -> dict[str, Any]:
    """Return the configuration that an adopted checkpoint gets."""
    best = {} if told.best is None else {KEY: {"metric": told.best[0], "mode": told.best[1]}}
    return {**told.config, **best}


def said(newest_first: Iterable[Manifest]) -> BestBy | None:
    """Return what the newest says that says it; other programs may keep something else under that name."""
    for manifest in newest_first:
        match manifest.config.get(KEY):
            case {"metric": str(metric), "mode": "min" | "max" as mode}:
                return metric, cast("Literal['min', 'max']", mode)
    return None


def of_run(storage: Storage, run: str) -> BestBy | None:
    """Return what the checkpoints of a run say."""
    places = reversed(list(storage.scan(run)))
    return said(manifest for at in places if (manifest := manifests.read(at)[0]) is not None)


def is_left_open(words: Mapping[str, Any]) -> bool:
    """Return whether the words of a retention policy ask for the best, and do not say by what."""
    return "keep_best" in words and "metric" not in words and "mode" not in words


def policies(storage: Storage, words: Mapping[str, Any]) -> Callable[[str], RetentionPolicy]:
    """Return what makes a retention policy for a run: where the words do not say the best by what, its trainer does.

    Raises:
        UsageError: the words make no sense, or neither they nor the run say by which metric.
    """
    if not is_left_open(words):
        policy = policy_from_words(words)
        return lambda run: policy

    def of(run: str) -> RetentionPolicy:
        best = of_run(storage, run)
        if best is None:
            raise UsageError(
                f"{run}: keep the best by which metric? No trainer says it there",
                hint="add --metric NAME and --mode min|max",
            )
        return policy_from_words({**words, "metric": best[0], "mode": best[1]})

    policy_from_words({**words, "metric": "any", "mode": "max"})  # a wrong number is told before any run is read
    return of
