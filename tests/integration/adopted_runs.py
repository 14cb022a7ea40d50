"""Folders as trainers write them, in little, and what a store makes of them."""

import json
from pathlib import Path

from ckptkit import CheckpointStore
from ckptkit.store import Adopted, Wrote

RUN = "run1"
Tree = dict[str, tuple[int, bytes]]


def written(root: Path, step: int, *, best: int | None = None, run: str = RUN) -> Path:
    """Write ``checkpoint-STEP`` as the Trainer lays it out: weights, a file in a folder, its state last."""
    folder = root / run / f"checkpoint-{step}"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes([step % 256]) * 5000)
    (folder / "deep" / "more.json").write_text("{}")
    state = {"best_model_checkpoint": None if best is None else f"/old/place/checkpoint-{best}", "global_step": step}
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2))
    return folder


def adopted(root: Path, *steps: int, run: str = RUN) -> CheckpointStore:
    """Return a store with these steps, written and adopted."""
    store = CheckpointStore(root)
    for step in steps:
        written(root, step, run=run)
        adopt(store, step, run=run)
    return store


def adopt(store: CheckpointStore, step: int, *, run: str = RUN, folder: Path | None = None) -> Adopted:
    """Adopt what ``written`` wrote."""
    main = f"checkpoint-{step}"
    items = {"model": Wrote(main, backend="files")}
    return store.adopt(run, main, step, items, trainer="hf_trainer", folder=folder, metrics={"loss": 1 / step})


def tree(folder: Path) -> Tree:
    """Return all files and folders below a folder with their times and bytes, but those of ckptkit's own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(".ckptkit") and not name.endswith(".manifest.json"):
            found[name] = (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def refs(store: CheckpointStore) -> list[str]:
    """Return what the store lists."""
    return [one.at.ref for one in store.list()]
