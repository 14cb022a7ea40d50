"""Arrays of an agent are written as NumPy writes them, through a file that cannot seek."""

from pathlib import Path

import numpy as np
import pytest
from ckptkit_sb3 import array_file

from ckptkit.formats import zips
from ckptkit.sink import Sink

ARRAYS = {
    "large": np.arange(400_000.0).reshape(1000, 400),
    "columns": np.arange(12).reshape(3, 4).T,
    "every second": np.arange(10)[::2],
    "one": np.array(True),
    "none": np.zeros((0, 3), np.float16),
    "big-endian": np.arange(3, dtype=">i4"),
    "group/time": np.array(["2026-01-01"], "datetime64[s]"),
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    with Sink(tmp_path / "a.npz") as stream:
        array_file.write(stream, ARRAYS)
    return tmp_path / "a.npz"


def test_numpy_reads_every_array_with_its_dtype_and_shape(written: Path) -> None:
    with np.load(written, allow_pickle=False) as found:
        assert found.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert np.array_equal(found[name], array)


def test_the_zip_is_sound(written: Path) -> None:
    assert zips.check_zip(written, file="a.npz") == []
