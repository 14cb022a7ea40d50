"""Bad input: what is no dataset is refused with a hint; what is damaged is a finding that names the file."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ckptkit_data import DatasetLeakageTester
from ckptkit_data.writing import Recording, write_dataset
from data_planting import codes, findings, one

from ckptkit.errors import NotFoundError, StoreError, UsageError

LAYOUTS = ("v3.0", "v2.1")


def recordings(count: int = 6, frames: int = 20, **more: Any) -> list[Recording]:
    return [
        Recording(
            {
                "observation.state": [[e + 0.01 * f, f] for f in range(frames)],
                "action": [(e + 1.1) ** 0.5 * f for f in range(frames)],
                **more,
            }
        )
        for e in range(count)
    ]


@pytest.fixture(params=LAYOUTS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset", recordings(), fps=10, layout=request.param, episodes_per_file=2)


def files(root: Path) -> list[Path]:
    return sorted((root / "data").rglob("*.parquet"))


def edit_info(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_sound_dataset_of_these_tests_has_no_findings(root: Path) -> None:
    assert findings(root) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a folder"):
        DatasetLeakageTester(tmp_path / "nothing").run_all_tests()


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a LeRobot dataset") as caught:
        DatasetLeakageTester(tmp_path).run_all_tests()
    assert "meta/" in caught.value.hint


@pytest.mark.parametrize(
    "options", [{"near": 0.0}, {"near": float("nan")}, {"min_run": 1}, {"max_duplicates": 1.5}], ids=str
)
def test_absurd_options_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        DatasetLeakageTester(tmp_path, **options)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version"),
        ({"codebase_version": 3}, "codebase_version"),
        ({"fps": 0}, "fps"),
        ({"fps": "10"}, "fps"),
        ({"total_episodes": -1}, "total_episodes"),
        ({"total_frames": 1.5}, "total_frames"),
        ({"features": []}, "features"),
        ({"features": {"action": 1}}, "features"),
        ({"data_path": None}, "data_path"),
        ({"data_path": "data/{episode_index.__class__}.parquet"}, "data_path"),
        ({"data_path": "data/{chunk_index!r}/{file_index}"}, "data_path"),
        ({"data_path": "data/{chunk_index:0999999999d}"}, "data_path"),
        ({"data_path": "data/{"}, "data_path"),
        ({"splits": "0:3"}, "splits"),
    ],
    ids=str,
)
def test_a_field_that_is_off_is_a_finding_that_names_it(root: Path, changes: dict[str, Any], word: str) -> None:
    edit_info(root, **changes)
    tester = DatasetLeakageTester(root)
    results = tester.run_all_tests()
    (found,) = tester.report.findings
    assert (found.code, found.file) == ("data-info", "meta/info.json")
    assert found.message.startswith(word)
    assert "\n" not in found.message
    assert {r.verdict for name, r in results.items() if name != "readable_files"} == {"skipped"}
    assert tester.report.exit_code == 1


@pytest.mark.parametrize("text", [b"", b"[]", b'{"fps": NaN}', b"\xff\xfe", b'{"a": 1, "a": 2}'])
def test_info_that_is_no_sound_json_is_a_finding(root: Path, text: bytes) -> None:
    (root / "meta/info.json").write_bytes(text)
    assert codes(root) == {"data-info"}


@pytest.mark.parametrize("template", ["../{}", "/etc/{}", "data/../../{}", "..\\{}"])
def test_a_template_that_leaves_the_dataset_is_unsafe(root: Path, template: str) -> None:
    name = "episode_index" if "v2" in json.loads((root / "meta/info.json").read_text())["codebase_version"] else ""
    edit_info(root, data_path=template.replace("{}", f"{{{name or 'file_index'}}}"))
    tester = DatasetLeakageTester(root)
    tester.run_all_tests()
    assert {f.severity for f in tester.report.findings} == {"unsafe"}
    assert tester.report.exit_code == 5


def test_a_link_that_leaves_the_dataset_is_unsafe(root: Path, tmp_path: Path) -> None:
    file = files(root)[0]
    shutil.move(file, tmp_path / "elsewhere.parquet")
    file.symlink_to(tmp_path / "elsewhere.parquet")
    found = one(root, "data-path-unsafe")
    assert found.severity == "unsafe"
    assert found.file == file.relative_to(root).as_posix()


def test_a_missing_file_is_found_once_and_its_episodes_are_not_missed_again(root: Path) -> None:
    file = files(root)[1]
    file.unlink()
    assert [(f.code, f.file) for f in findings(root)] == [("data-file-missing", file.relative_to(root).as_posix())]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "middle"])
def test_a_damaged_file_is_found_and_the_others_are_read(root: Path, damage: str) -> None:
    file = files(root)[1]
    data = file.read_bytes()
    spoiled = {
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "text": b"this is no parquet",
        "middle": data[:4] + bytes(200) + data[204:],
    }
    file.write_bytes(spoiled[damage])
    tester = DatasetLeakageTester(root)
    tester.run_all_tests()
    assert [(f.code, f.file) for f in tester.report.findings] == [
        ("data-file-damaged", file.relative_to(root).as_posix())
    ]
    assert tester.report.files == len(files(root)) - 1


def test_a_flipped_bit_is_found_where_pages_have_checksums(root: Path) -> None:
    file = files(root)[1]
    data = bytearray(file.read_bytes())
    place = pq.read_metadata(file).row_group(0).column(0)
    data[place.data_page_offset + place.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    assert one(root, "data-file-damaged").file == file.relative_to(root).as_posix()


def test_a_pipe_in_place_of_a_file_is_not_waited_for(root: Path) -> None:
    file = files(root)[0]
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in one(root, "data-column").message


@pytest.mark.parametrize(
    ("column", "values", "word"),
    [
        ("episode_index", ["a"] * 20, "not whole numbers"),
        ("index", [None] + [1] * 19, "empty cells"),
        ("timestamp", ["0.1"] * 20, "not numbers"),
    ],
)
def test_a_column_of_the_wrong_kind_is_found(tmp_path: Path, column: str, values: list[Any], word: str) -> None:
    root = write_dataset(tmp_path / "dataset", recordings(), fps=10, layout="v2.1")
    table = pq.read_table(files(root)[2])
    where = table.schema.get_field_index(column)
    pq.write_table(table.set_column(where, column, pa.array(values)), files(root)[2])
    assert word in one(root, "data-column").message


def test_a_missing_column_is_found(root: Path) -> None:
    for file in files(root)[:1]:
        pq.write_table(pq.read_table(file).drop_columns(["frame_index"]), file)
    assert "no column 'frame_index'" in one(root, "data-column").message


def test_damaged_episode_metadata_are_found(root: Path) -> None:
    path = next(p for p in (root / "meta").rglob("*") if p.name in ("episodes.jsonl", "file-000.parquet"))
    path.write_bytes(b"not what it was")
    assert "data-file-damaged" in codes(root)


def test_a_dataset_without_frames_is_nothing_to_check(root: Path) -> None:
    shutil.rmtree(root / "data")
    for path in (root / "meta").rglob("*"):
        if path.name == "episodes.jsonl":
            path.write_text("")
        elif path.name == "file-000.parquet":
            pq.write_table(pq.read_table(path).slice(0, 0), path)
    edit_info(root, total_episodes=0, total_frames=0, splits={})
    tester = DatasetLeakageTester(root, near=1e-3)
    tester.run_all_tests()
    assert tester.report.findings == []
    assert tester.report.exit_code == 4


def test_pictures_in_the_rows_are_compared_too(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "dataset", recordings(3), fps=10, layout="v2.1")
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features=features | {"observation.image": {"dtype": "image", "shape": [4, 4, 3], "names": None}})
    for number, file in enumerate(files(root)):
        table = pq.read_table(file)
        of = 0 if number == 2 else number  # the third shows what the first does
        pictures = [{"bytes": bytes([of, row]), "path": None} for row in range(20)]
        state = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 0.5] * 20), 2)
        where = table.schema.get_field_index("observation.state")
        table = table.set_column(where, "observation.state", state)
        pq.write_table(table.append_column("observation.image", pa.array(pictures)), file)
    found = one(root, "data-shared-observations")
    assert (found.episode, found.other_episode, found.length) == (2, 0, 20)


def test_observations_in_videos_only_are_told(tmp_path: Path) -> None:
    plain = [Recording({"action": [[float(e), float(f)] for f in range(9)]}) for e in range(3)]
    root = write_dataset(tmp_path / "dataset", plain, fps=10)
    assert one(root, "data-no-observations").severity == "warning"


def test_a_thousand_findings_of_a_kind_are_a_hundred_and_a_count(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "dataset", recordings(250, 3), fps=10)
    edit_info(root, fps=20)
    found = [f for f in findings(root) if f.code == "data-timestamp"]
    assert len(found) == 101
    assert found[-1].message == "and 150 more of this kind"
