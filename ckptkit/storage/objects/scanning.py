"""Finds checkpoints by listing alone: a level for each run, and what lies below the names that ``save`` gives."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ckptkit import parallel
from ckptkit.layouts import Checkpoint, Listing, checkpoints, other_folders
from ckptkit.layouts.own_names import MANIFEST_NAME, SIDECAR_SUFFIX, STEP_FOLDER, step_of_name
from ckptkit.manifest.names import MAX_RUN_PARTS, STATE_FOLDER
from ckptkit.storage.objects.keys import Home, prefix_of
from ckptkit.storage.objects.service import Info, Level, Objects

_THREADS = 16
_STEPS = "step-"  # what STEP_FOLDER begins with


@dataclass(frozen=True, slots=True)
class Here:
    """What lies right in a run.

    Attributes:
        run: its name.
        found: its checkpoints, in order.
        others: folders that are none: runs may be in them.
        manifests: what was listed of the manifests of checkpoints that have a folder of their own, by name.
        unknown: names of checkpoints whose manifests were not listed, only looked up.
        alone: names of those that have a folder of their own with nothing but the manifest in it.
        has_state: whether there is anything of ckptkit's own.
    """

    run: str
    found: Sequence[Checkpoint]
    others: Sequence[str]
    manifests: Mapping[str, Info]
    unknown: frozenset[str]
    alone: frozenset[str]
    has_state: bool


def right_in(objects: Objects, run: str, wanted: Callable[[str], bool] | None = None) -> Here:
    """Return what lies right in a run.

    Args:
        objects: the service.
        run: its name.
        wanted: which names are asked for, without ``.manifest.json``; all when left out. These are looked up one by
            one, so they should be few.
    """
    prefix = prefix_of(run)
    level = objects.level(prefix)
    folders = [name for name in level.folders if name != STATE_FOLDER and (wanted is None or wanted(name))]
    files = {info.key.removeprefix(prefix): info for info in level.objects}
    if wanted is not None:
        files = {name: info for name, info in files.items() if wanted(name.removesuffix(SIDECAR_SUFFIX))}
    named = {name for name in folders if STEP_FOLDER.fullmatch(name)}
    prefixes = [prefix + _STEPS] if wanted is None else [f"{prefix}{name}/" for name in sorted(named)]
    below = {info.key.removeprefix(prefix): info for one in prefixes if named for info in objects.below(one)}
    objects_in = Counter(path.partition("/")[0] for path in below if not path.endswith("/"))
    steps = {name for name in named if objects_in[name]}  # some services list folders that hold nothing any more
    folders = [name for name in folders if name in steps or name not in named]
    listing = Listing(folders, list(files), _asking(objects, prefix, level, steps, below))
    found = checkpoints(listing)
    manifests = {name: info for name in steps if (info := below.get(f"{name}/{MANIFEST_NAME}")) is not None}
    manifests |= {
        name: info for name, layout in found if layout.shared and (info := files.get(name + SIDECAR_SUFFIX)) is not None
    }
    unknown = frozenset(name for name, layout in found if not layout.shared and name not in steps)
    alone = frozenset(name for name in steps if name in manifests and objects_in[name] == 1)
    has_state = STATE_FOLDER in level.folders
    return Here(run, found, other_folders(listing, found), manifests, unknown, alone, has_state)


def _asking(
    objects: Objects, prefix: str, level: Level, steps: set[str], below: Mapping[str, Info]
) -> Callable[[str], bool]:
    """Return what asks whether there is something at a path in a run, without a request where that is known."""
    right_here = {*level.folders, *(info.key.removeprefix(prefix) for info in level.objects)}
    inside = {path[:at] for path in below for at, letter in enumerate(path) if letter == "/"} | below.keys()

    def has(path: str) -> bool:
        name, _, rest = path.partition("/")
        if not rest:
            return path in right_here
        if name in steps:
            return path in inside
        if objects.look(prefix + path) is not None:
            return True
        return rest != MANIFEST_NAME and any(objects.below(f"{prefix}{path}/"))

    return has


def at_step(objects: Objects, run: str, step: int) -> Sequence[Checkpoint]:
    """Return what claims to be a step of a run."""
    found = right_in(objects, run, lambda name: step_of_name(name) == step).found
    return [one for one in found if step_of_name(one[0]) == step]


def everywhere(objects: Objects, below: str = ".") -> Iterator[Here]:
    """Yield each folder that may be a run, in order: the root, or the one of this name, and all that are in it."""
    depth = 0 if below == "." else below.count("/") + 1
    yield from _walk(objects, right_in(objects, below), depth)


def _walk(objects: Objects, here: Here, depth: int) -> Iterator[Here]:
    yield here
    if depth >= MAX_RUN_PARTS or not here.others:
        return
    # As many at a time as there are threads: a store may have more runs than fit into memory.
    for start in range(0, len(here.others), _THREADS):
        names = here.others[start : start + _THREADS]
        tasks = [partial(_task, objects, prefix_of(here.run) + name) for name in names]
        for inner in parallel.results(tasks, _THREADS, lambda count: None):
            yield from _walk(objects, inner, depth + 1)


def _task(objects: Objects, run: str, told: parallel.Tell) -> Here:
    return right_in(objects, run)


def manifests_of_step(objects: Objects, run: str, step: int) -> list[tuple[str, str]]:
    """Return name and key of the manifest of each checkpoint of a step that has a folder of its own."""
    found = at_step(objects, run, step)
    return [(name, Home.beside(run, name, layout).manifest) for name, layout in found if not layout.shared]
