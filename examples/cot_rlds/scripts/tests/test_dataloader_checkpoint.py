"""All that the simple test does, several cycles, batch identifiers, several hosts: add --config-name=gemma3."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from openpi_cot.dataloader.cot_data_loader import Batch, Sharding, create_data_loader
from openpi_cot.training.config import TrainConfig
from test_dataloader_checkpoint_simple import LINE, Failed, equal, main, require, simple, take

from ckptkit import RefusedError

CYCLES = 3
HOSTS = 2


def identifiers(batches: list[Batch]) -> list[tuple[int, int]]:
    """Return (episode, step) of every frame in the batches."""
    return [(int(episode), int(step)) for observations, _ in batches for episode, step in observations.frame_id]


def cycles(config: TrainConfig, directory: Path) -> None:
    """Save and load again and again, each time in a new loader, into the same folder."""
    print(f"{LINE}\nMultiple save/load cycles\n{LINE}")
    folder = str(directory / "cycles")
    whole = take(create_data_loader(config, True, shuffle=True), 4 * CYCLES, show=False)
    got: list[Batch] = []
    for cycle in range(1, CYCLES + 1):
        loader = create_data_loader(config, True, shuffle=True)
        if got:
            seen = loader.load_dataloader_state(folder)
            require(seen == len(got), f"cycle {cycle}: resumed from batch {seen} instead of {len(got)}")
        got += take(loader, 4, show=False)
        loader.save_dataloader_state(folder)
        print(f"✓ Cycle {cycle}: {loader.get_batches_seen()} batches, saved")
    require(equal(got, whole), "the batches of all cycles together differ from one uninterrupted pass")
    print("✓ All cycles together are one uninterrupted pass\n")


def epoch(config: TrainConfig, directory: Path) -> None:
    """Follow every frame of an epoch over a save and a load: none twice, none left out."""
    print(f"{LINE}\nBatch identifier tracking\n{LINE}")
    folder = str(directory / "epoch")
    small = config.with_(batch_size=8)
    loader = create_data_loader(small, True, shuffle=True, split="val")  # ends after one epoch
    before = take(loader, 20, show=False)
    loader.save_dataloader_state(folder)
    resumed = create_data_loader(small, True, shuffle=True, split="val")
    resumed.load_dataloader_state(folder)
    seen = identifiers(before + list(resumed))
    frames = resumed.definition["frames"]
    require(len(set(seen)) == len(seen), "a frame came twice")
    require(len(seen) == frames - frames % 8, f"{len(seen)} frames came instead of {frames - frames % 8}")
    print(f"✓ {len(seen)} frames of one epoch, saved in between: none came twice, none was left out\n")


def hosts(config: TrainConfig, directory: Path) -> None:
    """Let each host read its shards and save its own position into one folder."""
    print(f"{LINE}\nMulti-host scenario ({HOSTS} hosts)\n{LINE}")
    folder = str(directory / "hosts")
    loaders = [create_data_loader(config, True, shuffle=True, sharding=Sharding(h, HOSTS)) for h in range(HOSTS)]
    episodes = []
    for host, loader in enumerate(loaders):
        episodes.append({episode for episode, _ in identifiers(take(loader, 3 + host, show=False))})
        loader.save_dataloader_state(folder)
    require(not episodes[0] & episodes[1], "two hosts read the same episode")
    print("✓ No episode is read by two hosts")
    for host, loader in enumerate(loaders):
        resumed = create_data_loader(config, True, shuffle=True, sharding=Sharding(host, HOSTS))
        seen = resumed.load_dataloader_state(folder)
        require(seen == 3 + host, f"host {host} resumed from batch {seen}")
        require(equal(take(resumed, 3, show=False), take(loader, 3, show=False)), f"host {host} goes on differently")
        print(f"✓ Host {host} resumed from batch {seen} and goes on exactly")
    try:
        create_data_loader(config, True, shuffle=True).load_dataloader_state(folder)
    except RefusedError as error:
        require("process_count 2 -> 1" in str(error), str(error))
        print("✓ One host refuses the state of two: process_count 2 -> 1\n")
    else:
        raise Failed("one host took the state of two")


def comprehensive(config: TrainConfig, directory: Path) -> None:
    """Run everything."""
    simple(config, directory)
    cycles(config, directory)
    epoch(config, directory)
    hosts(config, directory)


if __name__ == "__main__":
    main("DataLoader Checkpoint Test Suite", comprehensive)
