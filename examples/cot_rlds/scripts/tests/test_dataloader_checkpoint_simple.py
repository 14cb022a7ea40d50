"""Does saving and loading the data loader work? Run it with --config-name=gemma3."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
from openpi_cot.dataloader.cot_data_loader import Batch, CoTRLDSDataLoader, create_data_loader
from openpi_cot.training.config import TrainConfig, get_config

from ckptkit import CkptkitError

LINE = "=" * 80
BATCHES = 5


class Failed(Exception):
    """Something that must hold does not."""


def require(holds: bool, what: str) -> None:
    """Raise Failed unless it holds."""
    if not holds:
        raise Failed(what)


def take(loader: CoTRLDSDataLoader, count: int, start: int = 0, *, show: bool = True) -> list[Batch]:
    """Take so many batches and show their shapes."""
    batches: list[Batch] = []
    if count:
        for observations, actions in loader:
            batches.append((observations, actions))
            if show:
                number = start + len(batches)
                print(f"  Batch {number}: obs.state shape={observations.state.shape}, actions shape={actions.shape}")
            if len(batches) == count:
                break
    return batches


def equal(first: list[Batch], second: list[Batch]) -> bool:
    """Return whether the batches are equal to the last bit."""
    return len(first) == len(second) and all(
        np.array_equal(a[0].frame_id, b[0].frame_id)
        and a[0].state.tobytes() == b[0].state.tobytes()
        and np.array_equal(a[0].tokenized_reasoning, b[0].tokenized_reasoning)
        and a[1].tobytes() == b[1].tobytes()
        for a, b in zip(first, second, strict=True)
    )


def refused(call: Callable[[str], object], directory: str, message: str) -> None:
    """Check that the call raises a ValueError with just this message."""
    try:
        call(directory)
    except ValueError as error:
        require(str(error) == message, f"expected {message!r}, got {str(error)!r}")
        print(f"✓ ValueError: {error}")
    else:
        raise Failed(f"no ValueError: {message!r}")


def simple(config: TrainConfig, directory: Path) -> None:
    """Save after 5 batches, load into a new loader, and compare what follows."""
    folder = str(directory / "test_checkpoint")
    print("Step 1: Creating dataloader with persistent_iterator=True...")
    loader = create_data_loader(config, persistent_iterator=True, shuffle=True, split="train")
    print("✓ Dataloader created successfully\n")

    print(f"Step 2: Iterating through {BATCHES} batches...")
    take(loader, BATCHES)
    require(loader.get_batches_seen() == BATCHES, f"get_batches_seen() is {loader.get_batches_seen()}")
    print(f"✓ Successfully processed {BATCHES} batches\n")

    print("Step 3: Saving checkpoint...")
    path = loader.save_dataloader_state(folder)
    require(Path(path).is_file(), f"{path} is no file")
    print(f"✓ Saved checkpoint to {path}\n")

    print("Step 4: Loading checkpoint into a new dataloader...")
    resumed = create_data_loader(config, persistent_iterator=True, shuffle=True, split="train")
    seen = resumed.load_dataloader_state(folder)
    require(seen == BATCHES == resumed.get_batches_seen(), f"{seen} batches instead of {BATCHES}")
    print(f"✓ Resumed from batch {seen}\n")

    print("Step 5: Continuing iteration from the restored state...")
    after = take(resumed, BATCHES, start=seen)
    require(equal(after, take(loader, BATCHES, show=False)), "the batches differ from those of the first dataloader")
    require(resumed.get_batches_seen() == 2 * BATCHES, "the batch counter does not go on")
    print("✓ The next batches are those that the first dataloader gives, to the last bit\n")

    print("Step 6: Error handling...")
    plain = create_data_loader(config, persistent_iterator=False, shuffle=True, split="train")
    refused(plain.save_dataloader_state, folder, "Dataloader must be created with persistent_iterator=True")
    refused(plain.load_dataloader_state, folder, "Dataloader must be created with persistent_iterator=True")
    missing = str(directory / "nothing_here")
    refused(resumed.load_dataloader_state, missing, f"No checkpoint found in {missing}")
    print()


def main(title: str, checks: Callable[[TrainConfig, Path], None]) -> None:
    """Parse the command line, run the checks and end with exit code 0 or 1."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--config-name", required=True, help="a file of configs/, without .yaml")
    parser.add_argument("--data-dir", type=Path, help="folder that make_episodes.py wrote to")
    args = parser.parse_args()
    print(f"{LINE}\n{title}\n{LINE}\n\nLoading configuration...")
    try:
        config = get_config(args.config_name)
        if args.data_dir is not None:
            config = config.with_(data={"data_dir": args.data_dir.resolve()})
        with tempfile.TemporaryDirectory(prefix="cot-") as directory:
            print(f"✓ Config loaded: {config.name}")
            print(f"✓ Checkpoint directory: {directory}/test_checkpoint\n")
            checks(config, Path(directory))
    except (Failed, CkptkitError, ValueError) as error:
        print(f"✗ TEST FAILED: {error}")
        if isinstance(error, CkptkitError):
            print(f"  {error.hint}")
        sys.exit(1)
    print(f"{LINE}\nALL TESTS PASSED! ✓\n{LINE}")


if __name__ == "__main__":
    main("DataLoader Checkpoint Test", simple)
