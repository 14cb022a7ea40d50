"""The most critical leaks only, in one file that needs nothing but pyarrow (no pandas, no numpy, no ckptkit).

    python src/data_processing/minimal_dataset_leakage_tester.py --dataset-root ./output

Copy it to a machine where nothing else can be installed. It reads every parquet file under ``data/`` and finds episodes
that are missing or there twice (by number or by content), frames that are missing, global indices used twice, frames
that are in two splits, and NaN and infinity.

Exit 0: nothing found; 1: findings; 4: no dataset; 7: pyarrow is not installed.
"""

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
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
        tests = ("Readable Files", "All Episodes", "Episode Index Uniqueness", "Frame Index Continuity")
        more = ("Global Index Overlaps", "Duplicate Episodes", "Frames in Two Splits", "Finite Values")
        self.results = {name: [] for name in (*tests, *more)}
        self.frames, self._content = 0, dict[bytes, int]()
        self._places, self._ranges = dict[int, str](), list[tuple[int, int, int]]()
        # What looks the same in two splits may not be so where the pictures are in videos, which are not read.
        filmed = any(n.startswith("observation") and f.get("dtype") == "video" for n, f in info["features"].items())
        self._splits, self._seen = {} if filmed else splits(info), dict[bytes, tuple[str, int]]()
        if filmed:
            del self.results["Frames in Two Splits"]
        for file in files:
            self._file(file, columns)
        self._overlaps()
        self._complete(info)
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
            for one in episodes(file, columns):
                self._episode(name, one)
        except Exception as error:  # pyarrow raises of every kind; all of them mean that the file cannot be read
            self.results["Readable Files"].append(f"{name}: {' '.join(str(error).split())[:200]}")

    def _episode(self, file: str, one: "Episode") -> None:
        episode, rows = one.number, one.rows
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
        twin = self._content.setdefault(hashlib.sha256(b"".join(one.frames)).digest(), episode)
        if twin != episode:
            self.results["Duplicate Episodes"].append(f"episode {episode} has the frames of episode {twin}")
        if one.not_finite is not None:
            found = f"episode {episode}: NaN or infinity at offset {one.not_finite} ({file})"
            self.results["Finite Values"].append(found)
        self._leaks(one)

    def _leaks(self, one: "Episode") -> None:
        split = next((name for name, numbers in self._splits.items() if one.number in numbers), None)
        if split is None:
            return
        shared: dict[tuple[str, int], int] = {}
        for frame in one.frames:
            place = self._seen.setdefault(frame, (split, one.number))
            if place[0] != split:
                shared[place] = shared.get(place, 0) + 1
        for (other, episode), count in shared.items():
            found = f"{count} frames of episode {one.number} ({split}) are in episode {episode} ({other}) too"
            self.results["Frames in Two Splits"].append(found)

    def _complete(self, info: dict[str, Any]) -> None:
        total, frames = info.get("total_episodes"), info.get("total_frames")
        if not isinstance(total, int) or not isinstance(frames, int):
            self.results["All Episodes"].append("meta/info.json does not say how many episodes and frames there are")
            return
        missing = [n for n in range(min(total, 1_000_000)) if n not in self._places]
        if missing:
            which = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            found = f"missing: {which} ({len(missing)} of {total} episodes of meta/info.json)"
            self.results["All Episodes"].append(found)
        if frames != self.frames:
            self.results["All Episodes"].append(f"{self.frames} frames are there; meta/info.json says {frames}")

    def _overlaps(self) -> None:
        reached, holder = -1, -1
        for low, high, episode in sorted(self._ranges):
            if low <= reached:
                found = f"episode {episode} (index {low} to {high}) overlaps episode {holder}"
                self.results["Global Index Overlaps"].append(found)
            if high > reached:
                reached, holder = high, episode


@dataclass
class Episode:
    """A stretch of rows with one ``episode_index``.

    Attributes:
        number: its ``episode_index``.
        rows: (frame_index, index) of each frame.
        frames: digest of what was seen and done, for each frame.
        not_finite: offset of the first frame with NaN or infinity, or None.
    """

    number: int
    rows: list[tuple[int, int]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    not_finite: int | None = None


def episodes(file: Path, columns: list[str]) -> Iterator[Episode]:
    """Yield the episodes of a file in order."""
    import pyarrow.parquet as pq

    current: Episode | None = None
    source = pq.ParquetFile(file)
    stored = [name for name in columns if name in source.schema_arrow.names]
    for batch in source.iter_batches(1024, columns=[*NUMBERS, *stored]):
        numbers = [batch.column(name).to_pylist() for name in NUMBERS]
        content = [batch.column(name).to_pylist() for name in stored]
        for row, (episode, frame, index) in enumerate(zip(*numbers, strict=True)):
            restarted = current is not None and frame == 0 and current.rows[-1][0] != 0
            if current is None or current.number != episode or restarted:
                if current is not None:
                    yield current
                current = Episode(episode)
            values = [column[row] for column in content]
            if current.not_finite is None and not finite(values):
                current.not_finite = len(current.rows)
            current.rows.append((frame, index))
            current.frames.append(hashlib.blake2b(repr(values).encode(), digest_size=16).digest())
    if current is not None:
        yield current


def finite(value: Any) -> bool:
    """Return whether no number in a value, or in its lists, is NaN or infinite."""
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def splits(info: dict[str, Any]) -> dict[str, range]:
    """Return the episodes of each split of ``meta/info.json``."""
    result = {}
    named = info.get("splits")
    for name, text in named.items() if isinstance(named, dict) else ():
        match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", str(text))
        if match is not None:
            result[str(name)] = range(int(match[1]), int(match[2]))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a LeRobot dataset for the most critical leaks.")
    parser.add_argument("--dataset-root", required=True, help="the folder that holds meta/ and data/")
    tester = MinimalDatasetLeakageTester(parser.parse_args().dataset_root)
    try:
        import pyarrow.parquet  # noqa: F401 - without it every file would look damaged
    except ImportError as error:
        print(f"minimal_dataset_leakage_tester: pyarrow cannot be imported ({error})", file=sys.stderr)
        print("  run: pip install pyarrow", file=sys.stderr)
        return 7
    try:
        tester.run_all_tests()
    except NotADataset as error:
        print(f"minimal_dataset_leakage_tester: {error}", file=sys.stderr)
        return 4
    tester.print_report()
    return 0 if tester.passed else 1


if __name__ == "__main__":
    sys.exit(main())
