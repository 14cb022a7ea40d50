"""The most critical leaks only, in one file that needs nothing but pyarrow (no pandas, no numpy, no ckptkit).

    python src/data_processing/minimal_dataset_leakage_tester.py --dataset-root ./output

Copy it to a machine where nothing else can be installed. It reads every parquet file under ``data/`` and finds episodes
that are there twice (by number or by content), frames that are missing, and global indices used twice.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NUMBERS = ("episode_index", "frame_index", "index")


class NotADataset(ValueError):
    """The folder is no LeRobot dataset; the message says why in one line."""


class MinimalDatasetLeakageTester:
    """Checks a LeRobot dataset (v2.x or v3.x).

    Args:
        dataset_root: the folder that holds ``meta/`` and ``data/``.
    """

    def __init__(self, dataset_root: str | Path) -> None:
        self.root = Path(dataset_root)
        self.results: dict[str, list[str]] = {}
        self.frames = 0

    def run_all_tests(self) -> dict[str, list[str]]:
        """Return what each test found: one line per finding, none when it passed.

        Raises:
            NotADataset: no ``meta/info.json``, or no parquet file.
        """
        try:
            info = json.loads((self.root / "meta/info.json").read_bytes())
            columns = sorted(name for name in info["features"] if name.startswith(("observation", "action")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise NotADataset(f"{self.root} is not a LeRobot dataset ({reason})") from error
        files = sorted((self.root / "data").rglob("*.parquet"))
        if not files:
            raise NotADataset(f"{self.root}/data holds no parquet file")
        tests = ("Readable Files", "Episode Index Uniqueness", "Frame Index Continuity", "Global Index Overlaps")
        self.results = {name: [] for name in (*tests, "Duplicate Episodes")}
        self.frames, self._content = 0, dict[bytes, int]()
        self._places, self._ranges = dict[int, str](), list[tuple[int, int, int]]()
        for file in files:
            self._file(file, columns)
        self._overlaps()
        return self.results

    def print_report(self) -> None:
        """Print one line per test, its findings below it."""
        print(f"{self.root}: {self.frames} frames, {len(self._places)} episodes")
        for name, found in self.results.items():
            print(f"{'FAILED' if found else 'OK':8}{name}")
            for line in found[:20]:
                print(f"        {line}")
            if len(found) > 20:
                print(f"        and {len(found) - 20} more")

    @property
    def passed(self) -> bool:
        """Whether something was read and nothing was found."""
        return self.frames > 0 and not any(self.results.values())

    def _file(self, file: Path, columns: list[str]) -> None:
        name = file.relative_to(self.root).as_posix()
        try:
            for episode, rows, digest in episodes(file, columns):
                self._episode(name, episode, rows, digest)
        except Exception as error:  # pyarrow raises of every kind; all of them mean that the file cannot be read
            self.results["Readable Files"].append(f"{name}: {' '.join(str(error).split())[:200]}")

    def _episode(self, file: str, episode: int, rows: list[tuple[int, int]], digest: bytes) -> None:
        self.frames += len(rows)
        if episode in self._places:
            found = f"episode {episode} is in {self._places[episode]} and again in {file}"
            self.results["Episode Index Uniqueness"].append(found)
        self._places[episode] = file
        for offset, (frame, _) in enumerate(rows):
            if frame != offset:
                found = f"episode {episode}: frame {frame} at offset {offset} ({file})"
                self.results["Frame Index Continuity"].append(found)
                break
        self._ranges.append((min(index for _, index in rows), max(index for _, index in rows), episode))
        twin = self._content.setdefault(digest, episode)
        if twin != episode:
            self.results["Duplicate Episodes"].append(f"episode {episode} has the frames of episode {twin}")

    def _overlaps(self) -> None:
        reached, holder = -1, -1
        for low, high, episode in sorted(self._ranges):
            if low <= reached:
                found = f"episode {episode} (index {low} to {high}) overlaps episode {holder}"
                self.results["Global Index Overlaps"].append(found)
            if high > reached:
                reached, holder = high, episode


def episodes(file: Path, columns: list[str]) -> Iterator[tuple[int, list[tuple[int, int]], bytes]]:
    """Yield (episode, (frame_index, index) of each frame, digest of the content) of each stretch of rows."""
    import pyarrow.parquet as pq

    current: tuple[int, list[tuple[int, int]], Any] | None = None
    source = pq.ParquetFile(file)
    stored = [name for name in columns if name in source.schema_arrow.names]
    for batch in source.iter_batches(1024, columns=[*NUMBERS, *stored]):
        numbers = [batch.column(name).to_pylist() for name in NUMBERS]
        content = [batch.column(name).to_pylist() for name in stored]
        for row, (episode, frame, index) in enumerate(zip(*numbers, strict=True)):
            restarted = current is not None and frame == 0 and current[1][-1][0] != 0
            if current is None or current[0] != episode or restarted:
                if current is not None:
                    yield current[0], current[1], current[2].digest()
                current = (episode, [], hashlib.sha256())
            current[1].append((frame, index))
            current[2].update(repr([values[row] for values in content]).encode())
    if current is not None:
        yield current[0], current[1], current[2].digest()


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a LeRobot dataset for the most critical leaks.")
    parser.add_argument("--dataset-root", required=True, help="the folder that holds meta/ and data/")
    tester = MinimalDatasetLeakageTester(parser.parse_args().dataset_root)
    try:
        tester.run_all_tests()
    except NotADataset as error:
        print(f"minimal_dataset_leakage_tester: {error}", file=sys.stderr)
        return 4
    tester.print_report()
    return 0 if tester.passed else 1


if __name__ == "__main__":
    sys.exit(main())
