"""300 flipped bits of each kind of payload are found, each in its own file; what trainers wrote is in tests/plugins."""

from collections.abc import Iterator
from pathlib import Path

import flipping
import four_kinds
import numpy as np
import pytest
import torch

from ckptkit import CheckpointStore, Files
from ckptkit.storage import Entry

OTHERS = ("text.txt", "array.npy", "arrays.npz", "weights.safetensors", "plain.pth", "legacy.pth")
KINDS = (*four_kinds.ITEMS, *OTHERS)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a checkpoint for each further kind of file, kept as it is."""
    import safetensors.torch

    given = tmp_path_factory.mktemp("given")
    weights = {"weight": torch.arange(256.0).reshape(16, 16)}
    (given / "text.txt").write_text("what was said\n" * 40)
    np.save(given / "array.npy", np.arange(200.0))
    np.savez(given / "arrays.npz", one=np.arange(100), two=np.ones((3, 3)))
    safetensors.torch.save_file(weights, given / "weights.safetensors")
    torch.save(weights, given / "plain.pth")
    torch.save(weights, given / "legacy.pth", _use_new_zipfile_serialization=False)
    store = CheckpointStore(tmp_path_factory.mktemp("others"))
    for name in OTHERS:
        store.save(name.replace(".", "-"), 1, {"item": Files(given / name, "files")})
    return Path(store.storage.url)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, others: Path, written_once: Path) -> Iterator[tuple[Entry, Path]]:
    """A checkpoint, and the folder of its item of one kind."""
    if request.param in OTHERS:
        [at] = CheckpointStore(others).locate(request.param.replace(".", "-"))
        yield at, at.folder / "item"
    else:
        [at] = CheckpointStore(written_once).locate(f"{four_kinds.RUN}@20")
        yield at, at.folder / request.param


def test_300_of_300_flipped_bits_of_each_kind_are_found_and_the_file_is_named(kind: tuple[Entry, Path]) -> None:
    at, item = kind
    files = sorted(path for path in item.rglob("*") if path.is_file())
    assert flipping.flipped(at, files, at.folder, seed=300) == (flipping.FLIPS, [])
