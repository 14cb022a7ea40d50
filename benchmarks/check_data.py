"""`ckptkit check-data` on a million frames: CPU seconds and peak memory of the process.

Makes a dataset of random walks (14 joints, 14 actions, 5,000 episodes of 200 frames) in each layout, then runs the
program on it in a process of its own, once as it is and once with --near.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ckptkit_data.writing import Recording, write_dataset

CKPTKIT = "import resource, sys; from ckptkit.cli.main import _run; code = _run(False); "
PEAK = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"


def walks(episodes: int, frames: int, joints: int) -> Iterator[Recording]:
    """Yield episodes of random walks."""
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        action = rng.normal(0, 0.02, (frames, joints)).astype(np.float32)
        state = (rng.uniform(-1, 1, joints) + np.cumsum(action, axis=0)).astype(np.float32)
        yield Recording({"observation.state": state, "action": action})


def measured(command: list[str]) -> tuple[float, int, int]:
    """Return CPU seconds, peak resident bytes and the exit code of the command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", CKPTKIT + PEAK, "--quiet", *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, 1024 * int(done.stderr.split()[-1]), done.returncode


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=200, help="per episode")
    parser.add_argument("--joints", type=int, default=14)
    args = parser.parse_args()
    total = args.episodes * args.frames
    print(f"{'layout':8}{'options':14}{'frames':>10}{'CPU s':>9}{'peak MB':>9}{'exit':>6}")
    for layout in ("v3.0", "v2.1"):
        with tempfile.TemporaryDirectory() as folder:
            recordings = walks(args.episodes, args.frames, args.joints)
            train = args.episodes * 9 // 10
            splits = {"train": f"0:{train}", "val": f"{train}:{args.episodes}"}
            root = write_dataset(Path(folder, "data"), recordings, fps=50, layout=layout, splits=splits)
            for options in ([], ["--near", "1e-5"]):
                seconds, peak, code = measured(["check-data", str(root), *options])
                words = f"{layout:8}{' '.join(options) or '-':14}{total:>10}"
                print(f"{words}{seconds:9.1f}{peak / 1e6:9.0f}{code:6}")


if __name__ == "__main__":
    main()
