"""How large is a saved position: a window of frames shuffled, or numbers of frames? Run python measure_states.py."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from openpi_cot.dataloader.cot_data_loader import create_data_loader
from openpi_cot.training.config import TrainConfig, get_config

BATCHES = 50


def measure(config: TrainConfig, directory: str) -> tuple[int, float, float, float]:
    """Return bytes of the saved state, seconds per batch, seconds to save and seconds to load."""
    loader = create_data_loader(config, persistent_iterator=True, shuffle=True)
    batches = iter(loader)
    next(batches)  # fills the window
    started = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    per_batch = (time.perf_counter() - started) / BATCHES
    loader.save_dataloader_state(directory)  # the first save also digests the shards
    started = time.perf_counter()
    path = Path(loader.save_dataloader_state(directory))
    save = time.perf_counter() - started
    resumed = create_data_loader(config, persistent_iterator=True, shuffle=True)
    started = time.perf_counter()
    resumed.load_dataloader_state(directory)
    load = time.perf_counter() - started
    size = sum(file.stat().st_size for file in (path.parent / "data").iterdir())
    return size, per_batch, save, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder that make_episodes.py wrote to")
    args = parser.parse_args()
    sizes = []
    print("config          shuffles               state bytes   batch ms   save ms   load ms")
    for name, what in (("gemma3_frames", "a window of frames"), ("gemma3", "numbers of frames")):
        config = get_config(name)
        if args.data_dir is not None:
            config = config.with_(data={"data_dir": args.data_dir.resolve()})
        with tempfile.TemporaryDirectory(prefix="cot-") as directory:
            size, *seconds = measure(config, directory)
        sizes.append(size)
        print(f"{name:15} {what:20} {size:13,} " + " ".join(f"{1000 * s:10.1f}" for s in seconds))
    print(f"{sizes[0] / sizes[1]:.0f} times smaller")


if __name__ == "__main__":
    main()
