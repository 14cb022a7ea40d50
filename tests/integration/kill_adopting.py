"""Kill a program with SIGKILL at some moment of an adoption that goes on behind, and look at what is left.

``python kill_adopting.py FOLDER TIMES`` prints one JSON document. While the newest is adopted, its trainer removes the
oldest, as a Trainer with a ``save_total_limit`` does.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from adopted_runs import RUN, adopt, adopted, refs, written
from kill_behind import killed

from ckptkit import CheckpointStore, registry
from ckptkit.store import SaveHandle, Wrote

SIZE = 8 << 20  # bytes


def train(root: Path) -> None:
    """Adopt behind, and remove the oldest meanwhile."""
    main = "checkpoint-3"
    handle = CheckpointStore(root).adopt(RUN, main, 3, {"model": Wrote(main, backend="files")}, wait=False)
    shutil.rmtree(root / RUN / "checkpoint-1")
    assert isinstance(handle, SaveHandle)
    handle.result()


def judge(root: Path) -> None:
    """What was listed still is, but for what its trainer removed; the new one verifies, or is adopted now."""
    store = CheckpointStore(root, cache=False)
    good = [report.at.step for report in store.verify().checkpoints if report.good]
    assert [step for step in good if step != 1] in ([2], [2, 3]), good
    assert 3 in good or f"{RUN}@3" not in refs(store), refs(store)
    assert store.choose(RUN).at.step == good[-1]
    adopt(store, 3)
    assert store.choose(RUN).at.step == 3


def main(folder: Path, times: int) -> dict[str, Any]:
    registry.backends()
    pristine = folder / "pristine"
    adopted(pristine, 1, 2)
    last = written(pristine, 3)
    (last / "weights.bin").write_bytes(bytes(SIZE))
    return killed(pristine, folder / "work", times, train, judge, f"{RUN}/checkpoint-3@3.manifest.json")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))))
