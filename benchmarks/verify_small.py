"""Verify many small files, beside programs that only digest them: `python -m benchmarks.verify_small`."""

import random
import tempfile
from pathlib import Path

from benchmarks.in_turns import apart, compare, options
from benchmarks.verifying import ours, peers

SIZE = 4096  # bytes of a file
EACH = 100  # files in a folder


def fill(folder: Path, count: int) -> Path:
    """Save so many files of random bytes; return their folder in the store."""
    from ckptkit import CheckpointStore, Files

    given, data = folder / "given", random.Random(1)  # of all random bytes a few look like pickles that are refused
    for number in range(count):
        file = given / f"{number // EACH:03}" / f"{number:05}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.randbytes(SIZE))
    saved = CheckpointStore(folder / "store", cache=False).save("bench", 1, {"data": Files(given, "files")})
    return saved.path / "data"


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--files", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        data, store = apart(fill, Path(folder), args.files), Path(folder, "store")
        commands = [ours(store, "--level", "digest"), ours(store)]
        compare(f"verify {args.files} files of {SIZE} bytes", [*commands, *peers(data)], args)


if __name__ == "__main__":
    main()
