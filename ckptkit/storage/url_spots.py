"""From a URL that a person types, or ckptkit printed, to the store that it lies in, and to what it is there."""

import contextlib

from ckptkit.errors import CkptkitError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.names import SIDECAR_SUFFIX, STATE_FOLDER, STEP_FOLDER, is_run, step_of_name
from ckptkit.manifest.summary import summarise
from ckptkit.storage.interface import Storage
from ckptkit.storage.urls import open_storage
from ckptkit.storage.values import Spot


def spot_of_url(url: str, storage: Storage | None = None) -> Spot | None:
    """Return where a URL lies, or None: it names nothing that a store can have.

    Args:
        url: as the store there calls itself, with what lies below it.
        storage: a store that wins if the URL lies in it. Otherwise the first manifest that is there names its
            run, and the store is what lies above that; without one the URL is a store itself.
    """
    if storage is None or not f"{url}/".startswith(f"{storage.url}/"):
        storage = _above(open_storage(_root(url)))
    parts = [part for part in url.removeprefix(storage.url).split("/") if part]
    for depth, part in enumerate(parts):
        run = "/".join(parts[:depth]) or "."
        if not is_run(run):
            return None
        if part == STATE_FOLDER:
            in_trash = parts[depth + 1 : depth + 2] == ["trash"] and len(parts) > depth + 2
            return Spot(storage.url, run, removed=parts[depth + 2] if in_trash else None)
        name = part.removesuffix(SIDECAR_SUFFIX)
        step = step_of_name(name)
        if step is not None and any(at.name == name for at in storage.at_step(run, step)):
            return Spot(storage.url, run, name)
    run = "/".join(parts) or "."
    return Spot(storage.url, run) if is_run(run) else None


def _root(url: str) -> str:
    scheme, _, rest = url.partition("://")
    place, *parts = rest.split("/")
    own = (depth for depth, part in enumerate(parts) if _is_own(part))
    return f"{scheme}://{'/'.join([place, *parts[: next(own, len(parts))]])}"


def _above(storage: Storage) -> Storage:
    """Return the store that a folder of runs, or a run, lies in, which was opened as a store itself."""
    for at in storage.scan():
        with contextlib.suppress(CkptkitError, OSError):  # no manifest of ckptkit's
            run = summarise(storage.read(at, at.manifest_file, MAX_BYTES)).run
            here = "" if at.run == "." else f"/{at.run}"
            if f"/{run}".endswith(here):
                return open_storage(storage.url.removesuffix(f"/{run}".removesuffix(here)))
        break
    return storage


def _is_own(name: str) -> bool:
    return name == STATE_FOLDER or name.endswith(SIDECAR_SUFFIX) or STEP_FOLDER.fullmatch(name) is not None
