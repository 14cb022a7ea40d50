"""Freeze a store of the present format: `python tests/compat/freeze.py v1` writes tests/compat/frozen/v1/.

Run it once per version of the manifest or of a built-in backend, and commit what it writes; never run it again for a
version that is out: tests/compat/test_frozen.py holds that what was once written stays readable.
"""

import os
import platform
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


def freeze(root: Path) -> None:
    """Write a checkpoint of all four kinds, a sidecar beside flat files, and a manifest beside a trainer's folder."""
    import foreign_files
    import four_kinds
    import numpy as np
    import safetensors.numpy

    from ckptkit import CheckpointStore
    from ckptkit.store import Details, Wrote

    four_kinds.write(root, (10,))
    store = CheckpointStore(root)
    store.pin(f"{four_kinds.RUN}@10")
    store.tag(f"{four_kinds.RUN}@10", "frozen")
    folder = root / "flat"
    folder.mkdir()
    arrays: dict[str, Any] = {"w": np.arange(6.0).reshape(2, 3)}
    safetensors.numpy.save_file(arrays, folder / "ep000050.safetensors")
    details = Details(metrics={"reward": float("inf")}, counters={"episode": 50}, resume=["train", "{path}"])
    store.adopt_in_place("flat", "ep000050", {"weights": folder / "ep000050.safetensors"}, details)
    foreign_files.hugging_face(root / "trained", 4, loss=0.5)
    wrote = Wrote("checkpoint-4", doubts=["no scheduler"])
    store.adopt("trained", "checkpoint-4", 4, {"model": wrote}, trainer="hf_trainer", metrics={"loss": 0.5})
    for state in root.rglob(".ckptkit"):
        for lock in ("lock", "turn.lock", "refs.lock"):
            (state / lock).unlink(missing_ok=True)
        shutil.rmtree(state / "staging", ignore_errors=True)


if __name__ == "__main__":
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    warnings.simplefilter("ignore")
    # SB3 writes the kernel's version into its zip: nobody needs to know on which machine this was frozen.
    platform.platform, platform.version = lambda *_, **__: "Linux-x86_64", lambda: "1"  # type: ignore[assignment]
    target = HERE / "frozen" / sys.argv[1]
    if target.exists():
        sys.exit(f"{target} is frozen already")
    freeze(target)
