"""Verify a checkpoint of one large file, beside programs that only digest it: `python -m benchmarks.verify_large`."""

import os
import tempfile
from pathlib import Path

from benchmarks.in_turns import apart, compare, options
from benchmarks.verifying import ours, peers

BLOCK = 1 << 20


def fill(folder: Path, size: int) -> Path:
    """Save one file of random bytes; return the file in the store, which is in the page cache then."""
    from ckptkit import CheckpointStore, Files

    given = folder / "model.bin"
    with given.open("wb") as stream:
        for _ in range(size // BLOCK):
            stream.write(os.urandom(BLOCK))
    saved = CheckpointStore(folder / "store", cache=False).save("bench", 1, {"model": Files(given, "files")})
    given.unlink()
    return saved.path / "model" / "model.bin"


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--mebibytes", type=int, default=2048)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        file = apart(fill, Path(folder), args.mebibytes * BLOCK)
        store = Path(folder, "store")
        commands = [ours(store), ours(store, "--level", "digest"), ours(store, "--level", "digest", "--jobs", "1")]
        compare(f"verify one file of {args.mebibytes} MiB", [*commands, *peers(file)], args)


if __name__ == "__main__":
    main()
