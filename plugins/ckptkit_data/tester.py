"""The leakage tester: reads a LeRobot dataset once, runs every check, and reports."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit import installation
from ckptkit.errors import BackendUnavailableError, DamagedError, UnsafeContentError, UsageError
from ckptkit_data import text
from ckptkit_data.agreement import agreement
from ckptkit_data.columns import wanted_columns
from ckptkit_data.contamination import contamination, duplicates, report
from ckptkit_data.episodes import Episode, read_episodes
from ckptkit_data.findings import Findings, Report, TestResult
from ckptkit_data.frames import Frames, read_frames
from ckptkit_data.layout import INFO, Info, inside, parquet_files, read_info
from ckptkit_data.near import near_runs
from ckptkit_data.numbering import continuous_frames, finite_values, global_indices, timestamps, unique_episodes
from ckptkit_data.pairs import Places, places_of
from ckptkit_data.segments import Segments, segments_of
from ckptkit_data.sharing import Run, overlapping, shorter
from ckptkit_data.splits import split_leaks

# Two runs of one controller come to rest along the same path: short near runs are worth a look, no more.
NEAR_SHARE = 0.1
NEAR_RUN = 2  # near is said sooner than equal, so it takes a run twice as long
TITLES = {
    "episode_index_uniqueness": "Episode Index Uniqueness",
    "frame_index_continuity": "Frame Index Continuity",
    "global_index_overlaps": "Global Index Overlaps",
    "duplicate_data": "Duplicate Data",
    "cross_episode_contamination": "Cross-Episode Contamination",
    "split_leakage": "Split Leakage",
    "metadata_agreement": "Metadata Agreement",
    "timestamps": "Timestamps",
    "finite_values": "Finite Values",
    "readable_files": "Readable Files",
}


class DatasetLeakageTester:
    """Checks a LeRobot dataset (layout v2.x or v3.x) for leaks between its episodes and between its splits.

    Args:
        dataset_root: the folder that holds ``meta/`` and ``data/``.
        near: also find copies that differ by at most this much in every number; None for exact copies only.
        min_run: how many different frames two episodes must share to be contaminated.
        max_duplicates: share of frames found in more than one episode that is an error; None for a warning at most.
        allow_shared_frames: how many different frames may be in two splits.

    Raises:
        UsageError: a parameter makes no sense.
    """

    def __init__(
        self,
        dataset_root: str | os.PathLike[str],
        *,
        near: float | None = None,
        min_run: int = 5,
        max_duplicates: float | None = None,
        allow_shared_frames: int = 0,
    ) -> None:
        if near is not None and not (0 < near < math.inf):
            raise UsageError(f"near is {near}, not a positive number", hint="for example 1e-4")
        if min_run < 2:
            raise UsageError(f"min_run is {min_run}; a run has at least 2 frames", hint="leave it out for 5")
        if max_duplicates is not None and not (0 <= max_duplicates <= 1):
            raise UsageError(f"max_duplicates is {max_duplicates}, not a share from 0 to 1", hint="for example 0.05")
        if allow_shared_frames < 0:
            raise UsageError(f"allow_shared_frames is {allow_shared_frames}", hint="leave it out for 0")
        self.root = Path(dataset_root)
        self.near, self.min_run, self.max_duplicates = near, min_run, max_duplicates
        self.allow_shared_frames = allow_shared_frames
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """The report of the last run; the tests are run when they have not been yet."""
        if self._report is None:
            self.run_all_tests()
        assert self._report is not None
        return self._report

    def run_all_tests(self, *, on_bytes: Callable[[int], None] = lambda count: None) -> dict[str, TestResult]:
        """Read the dataset and run every check.

        Args:
            on_bytes: told of bytes read, for a progress bar.

        Returns:
            Results by name, in the order of the checks: the five documented ones, then splits, metadata, timestamps,
            finite values and readable files.

        Raises:
            StoreError: the folder is missing or cannot be read.
            NotFoundError: the folder is not a LeRobot dataset.
            BackendUnavailableError: pyarrow or numpy is not installed.
        """
        _require("numpy", "pyarrow")
        unreadable = Findings()
        try:
            info = read_info(self.root)
        except UnsafeContentError as error:
            unreadable.add("data-path-unsafe", error.message, file=INFO, severity="unsafe")
            self._report = self._unread(unreadable)
        except DamagedError as error:
            unreadable.add("data-info", error.message, file=INFO)
            self._report = self._unread(unreadable)
        else:
            self._report = self._checked(info, unreadable, on_bytes)
        return {result.name: result for result in self._report.results}

    def print_report(self) -> None:
        """Print the report in full."""
        print(text.rendered(self.report))

    def _unread(self, unreadable: Findings) -> Report:
        why = f"{INFO} cannot be used"
        results = [TestResult(name, title, skipped=why) for name, title in TITLES.items()]
        results[-1] = TestResult("readable_files", TITLES["readable_files"], unreadable.all())
        return Report(str(self.root), "", results)

    def _checked(self, info: Info, unreadable: Findings, on_bytes: Callable[[int], None]) -> Report:
        listed = read_episodes(self.root, info, unreadable)
        files = self._files(listed, unreadable)
        frames = read_frames(self.root, info, files, unreadable, near=self.near is not None, on_bytes=on_bytes)
        segments = segments_of(frames)
        unread = set(files) - set(frames.files)
        places = _places(frames, segments)
        copies, shares = duplicates(places, self.max_duplicates)
        shared, runs = contamination(frames, segments, places, self.min_run)
        if self.near is not None and len(frames):
            runs += self._near(self.near, info, frames, segments, runs, shared)
        leaks, in_two = split_leaks(info, segments, places, runs, self.allow_shared_frames, videos=frames.videos)
        found = {
            "episode_index_uniqueness": unique_episodes(frames, segments, listed),
            "frame_index_continuity": continuous_frames(frames, segments),
            "global_index_overlaps": global_indices(frames, segments, whole=not unread),
            "duplicate_data": copies,
            "cross_episode_contamination": shared,
            "split_leakage": leaks,
            "metadata_agreement": agreement(info, listed, frames, segments, unread),
            "timestamps": timestamps(frames, segments, info.fps),
            "finite_values": finite_values(frames, segments),
            "readable_files": unreadable,
        }
        measured: dict[str, Mapping[str, Any]] = {"duplicate_data": shares, "split_leakage": in_two}
        results = [TestResult(name, TITLES[name], f.all(), measured.get(name, {})) for name, f in found.items()]
        return Report(str(self.root), info.version, results, len(segments), len(frames), len(frames.files))

    def _files(self, listed: list[Episode], unreadable: Findings) -> list[str]:
        """Return the data files of the metadata, then those that are there all the same: a loader reads them too."""
        files = list(dict.fromkeys(one.file for one in listed))
        known = set(files)
        for file in parquet_files(self.root, "data"):
            if file not in known:
                files.append(file)
                if listed:
                    unreadable.add("data-unlisted-file", "is not in the metadata, and loaders may read it", file=file)
        return files

    def _near(
        self, tolerance: float, info: Info, frames: Frames, segments: Segments, exact: list[Run], found: Findings
    ) -> list[Run]:
        wanted = wanted_columns(info)
        runs, unseen = near_runs(
            self.root, [*wanted.observations, *wanted.actions], frames, segments, tolerance, NEAR_RUN * self.min_run
        )
        by_pair: dict[tuple[int, int], list[Run]] = {}
        for run in (r for r in exact if r.of != "actions"):
            by_pair.setdefault((run.segment, run.other_segment), []).append(run)
        news = [r for r in runs if not overlapping(r, by_pair.get((r.segment, r.other_segment), ()))]
        news = [r if r.length >= NEAR_SHARE * shorter(r, segments) else replace(r, severity="warning") for r in news]
        for run in news:
            report(found, "data-near-frames", frames, segments, run, f"is within {tolerance:g} of")
        if unseen:
            message = (
                f"{unseen} more pairs of episodes with near frames were not compared; a smaller tolerance finds fewer"
            )
            found.add("data-near-cut", message, severity="warning")
        return [replace(run, of="near frames") for run in news]

    def total_bytes(self) -> int:
        """Return the size of all data files, for a progress bar; 0 when the folder cannot be read."""
        try:
            return sum(inside(self.root, file).stat().st_size for file in parquet_files(self.root, "data"))
        except (OSError, UnsafeContentError):
            return 0


def _places(frames: Frames, segments: Segments) -> dict[str, Places]:
    """Return the places of observations, actions and whole frames, those that there are."""
    keys = {"observations": frames.observation, "actions": frames.action, "frames": frames.key}
    return {name: places_of(of, segments) for name, of in keys.items() if of is not None}


def _require(*modules: str) -> None:
    import importlib.util

    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise BackendUnavailableError(
            f"checking a dataset needs what is not installed: {', '.join(missing)}",
            hint=installation.remedy("data"),
        )
