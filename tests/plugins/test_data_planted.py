"""Every planted defect is found, with the right episode and offset, in both layouts; clean rollouts have none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ckptkit_data import DatasetLeakageTester
from data_planting import EXAMPLE, FRAMES, codes, copy_frames, findings, module, one, spoil

LAYOUTS = ("v3.0", "v2.1")
make_dataset = module(EXAMPLE / "make_dataset.py").make_dataset


@pytest.fixture(scope="module", params=LAYOUTS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "clean"
    return Path(make_dataset(root, "Pendulum-v1", 12, request.param, validation=3, max_steps=FRAMES))


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "dataset"))


def edit_info(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_clean_rollouts_have_no_findings(env_id: str, layout: str, tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "clean", env_id, 10, layout, seed=7)
    tester = DatasetLeakageTester(root)
    results = tester.run_all_tests()
    assert tester.report.findings == []
    assert all(result.passed for result in results.values())
    assert tester.report.episodes == 10
    assert tester.report.exit_code == 0


def test_random_actions_have_no_findings(tmp_path: Path) -> None:
    assert findings(make_dataset(tmp_path / "clean", "MountainCarContinuous-v0", 5, max_steps=60)) == []


def test_the_five_documented_checks_come_first(root: Path) -> None:
    assert list(DatasetLeakageTester(root).run_all_tests())[:5] == [
        "episode_index_uniqueness",
        "frame_index_continuity",
        "global_index_overlaps",
        "duplicate_data",
        "cross_episode_contamination",
    ]


def test_an_episode_index_used_twice_is_found(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[5 * FRAMES : 6 * FRAMES]:
            row["episode_index"] = 4

    spoil(root, change)
    assert one(root, "data-episode-repeated").episode == 4
    assert {f.episode for f in findings(root) if f.code == "data-length"} == {4, 5}


def test_a_lost_frame_is_found_at_its_offset(root: Path) -> None:
    spoil(root, lambda rows: rows.pop(7 * FRAMES + 50))
    found = one(root, "data-frame-jump")
    assert (found.episode, found.frame) == (7, 50)
    assert one(root, "data-length").episode == 7


def test_a_frame_written_twice_is_found(root: Path) -> None:
    spoil(root, lambda rows: rows.insert(2 * FRAMES + 9, rows[2 * FRAMES + 9]))
    found = one(root, "data-frame-jump")
    assert (found.episode, found.frame) == (2, 10)


def test_an_episode_that_starts_late_is_found(root: Path) -> None:
    spoil(root, lambda rows: rows.pop(3 * FRAMES))
    found = one(root, "data-frame-jump")
    assert (found.episode, found.frame) == (3, 0)


def test_a_single_wrong_zero_is_a_jump_and_no_second_episode(root: Path) -> None:
    spoil(root, lambda rows: rows[3 * FRAMES + 20].update(frame_index=0))
    assert one(root, "data-frame-jump").frame == 20
    assert "data-episode-repeated" not in codes(root)


def test_overlapping_global_indices_are_found(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[6 * FRAMES : 7 * FRAMES]:
            row["index"] -= 30

    spoil(root, change)
    found = one(root, "data-index-overlap")
    assert (found.episode, found.other_episode, found.length) == (6, 5, 30)


def test_a_jump_of_the_global_index_inside_an_episode_is_found(root: Path) -> None:
    spoil(root, lambda rows: rows[4 * FRAMES + 11].update(index=999_999))
    found = one(root, "data-index-jump")
    assert (found.episode, found.frame) == (4, 11)


def test_a_hole_between_global_indices_is_a_warning(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[8 * FRAMES :]:
            row["index"] += 10

    spoil(root, change)
    found = one(root, "data-index-hole")
    assert (found.episode, found.severity) == (8, "warning")


def test_an_identical_episode_is_found(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 2 * FRAMES, 6 * FRAMES, FRAMES))
    found = one(root, "data-duplicate-episode")
    assert (found.episode, found.other_episode, found.length) == (6, 2, FRAMES)
    assert not [f for f in findings(root) if f.code == "data-shared-frames"]


@pytest.mark.parametrize("count", [5, 6, 40])
def test_shared_frames_are_found_at_their_offsets(root: Path, count: int) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES + 33, 8 * FRAMES + 71, count))
    found = one(root, "data-shared-frames")
    assert (found.episode, found.frame, found.length) == (8, 71, count)
    assert (found.other_episode, found.other_frame) == (1, 33)


def test_shared_frames_at_the_ends_of_episodes_are_found(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES, 8 * FRAMES - 25, 25))
    found = one(root, "data-shared-frames")
    assert (found.episode, found.frame, found.other_frame, found.length) == (7, FRAMES - 25, 0, 25)


def test_the_same_frames_in_three_episodes_are_two_findings(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        copy_frames(rows, 0 * FRAMES + 10, 3 * FRAMES + 20, 15)
        copy_frames(rows, 0 * FRAMES + 10, 5 * FRAMES + 30, 15)

    spoil(root, change)
    found = [(f.episode, f.frame, f.other_episode) for f in findings(root) if f.code == "data-shared-frames"]
    assert sorted(found) == [(3, 20, 0), (5, 30, 0)]


def test_four_shared_frames_are_a_share_and_no_error(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES, 8 * FRAMES + 71, 4))
    results = DatasetLeakageTester(root).run_all_tests()
    assert all(result.passed for result in results.values())
    share = results["duplicate_data"].measures["frames_in_more_than_one_episode"]
    assert share == pytest.approx(8 / (12 * FRAMES))


def test_a_robot_that_stands_still_in_two_episodes_is_no_error(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for start in (2 * FRAMES, 5 * FRAMES):
            for row in rows[start : start + 50]:
                row.update({"observation.state": [1.0, 0.0, 0.0], "action": 0.0})

    spoil(root, change)
    assert findings(root) == []


def test_many_repeated_frames_are_a_warning_and_an_error_on_request(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[: len(rows) // 4]:
            row.update({"observation.state": [1.0, 0.0, 0.0], "action": 0.0})

    spoil(root, change)
    assert one(root, "data-duplicate-frames").severity == "warning"
    assert one(root, "data-duplicate-frames", max_duplicates=0.05).severity == "error"


def test_copied_observations_with_other_actions_are_found(root: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        kept = [row["action"] for row in rows[9 * FRAMES : 9 * FRAMES + 30]]
        copy_frames(rows, 4 * FRAMES + 5, 9 * FRAMES, 30)
        for row, action in zip(rows[9 * FRAMES :], kept, strict=False):
            row["action"] = action

    spoil(root, change)
    found = one(root, "data-shared-observations")
    assert (found.episode, found.frame, found.other_episode, found.other_frame) == (9, 0, 4, 5)


def test_near_copies_are_found_on_request_only(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES + 8, 8 * FRAMES + 71, 40, shift=1e-5))
    assert codes(root) == {"data-shared-actions"}
    found = one(root, "data-near-frames", near=2e-5)
    assert (found.episode, found.frame, found.length) == (8, 71, 40)
    assert (found.other_episode, found.other_frame, found.severity) == (1, 8, "error")
    assert "data-near-frames" not in {f.code for f in findings(root, near=1e-6) if f.severity == "error"}


def test_exact_copies_are_not_told_again_as_near_ones(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES, 8 * FRAMES, 60))
    assert not [f for f in findings(root, near=1e-6) if f.code == "data-near-frames"]


def test_content_in_two_splits_is_found(root: Path) -> None:
    spoil(root, lambda rows: copy_frames(rows, 1 * FRAMES, 11 * FRAMES, 20))
    found = one(root, "data-split-leak")
    assert (found.episode, found.other_episode, found.length) == (11, 1, 20)
    assert "'train' and 'val'" in found.message


def test_an_episode_in_two_splits_is_found(root: Path) -> None:
    edit_info(root, splits={"train": "0:10", "val": "9:12"})
    found = one(root, "data-split-overlap")
    assert (found.episode, found.length) == (9, 1)


@pytest.mark.parametrize("text", ["0:13", "9", "5:2", 7, None, "0:" + "9" * 400])
def test_a_split_that_makes_no_sense_is_found(root: Path, text: object) -> None:
    edit_info(root, splits={"train": text})
    assert "data-split" in codes(root)


def test_timestamps_that_do_not_follow_the_rate_are_found(root: Path) -> None:
    spoil(root, lambda rows: rows[5 * FRAMES + 17].update(timestamp=float("nan")))
    found = one(root, "data-timestamp")
    assert (found.episode, found.frame, found.length) == (5, 17, 1)


def test_another_rate_than_the_data_have_is_found(root: Path) -> None:
    edit_info(root, fps=25)
    assert {f.episode for f in findings(root)} == set(range(12))


def test_totals_that_are_wrong_are_found(root: Path) -> None:
    edit_info(root, total_frames=1, total_episodes=13)
    assert len([f for f in findings(root) if f.code == "data-total"]) == 2


def test_a_task_that_does_not_exist_is_found(root: Path) -> None:
    spoil(root, lambda rows: rows[3].update(task_index=5))
    assert "task 5" in one(root, "data-task").message


def test_another_shape_or_type_than_the_metadata_say_is_found(root: Path) -> None:
    features = json.loads((root / "meta/info.json").read_text())["features"]
    features["observation.state"]["shape"] = [4]
    features["action"]["dtype"] = "float64"
    edit_info(root, features=features)
    messages = " ".join(f.message for f in findings(root) if f.code == "data-shape")
    assert "holds 3 values per frame; the metadata say 4" in messages
    assert "holds float32; the metadata say float64" in messages


def test_a_stray_file_is_found_and_read(root: Path) -> None:
    first = min((root / "data").rglob("*.parquet"))
    shutil.copy(first, first.with_name("zz-old.parquet"))
    assert {"data-unlisted-file", "data-episode-repeated", "data-duplicate-episode"} <= codes(root)


def test_positions_in_the_metadata_are_compared(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dataset", "CartPole-v1", 6, "v3.0")
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[4]["dataset_to_index"] += 1
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert one(root, "data-position").episode == 4
