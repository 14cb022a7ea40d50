"""Manifests that lie, are broken, or belong elsewhere: a clear finding, nothing executed, nothing else affected."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside, refused
from in_memory import WANTED, MemoryPath, in_store

from ckptkit import CheckpointStore
from ckptkit.digest import digest_bytes
from ckptkit.formats import strict_json

RUN = "run"
PLACE, GOOD = ("{run}@{step}", f"{RUN}@1") if WANTED else ("{path}", "step-00000001")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for step in (1, 2):
        CheckpointStore(tmp_path / "s").save(RUN, step, {"rng": np.random.default_rng(step)}, resume=["x", PLACE])
    return tmp_path / "s"


def manifest(store: Path, step: int = 2) -> Any:
    return in_store(store / RUN / f"step-{step:08d}" / "manifest.json")


def reseal(path: Path | MemoryPath, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as one would who knows how to compute its digest."""
    fields = json.loads(path.read_text())
    change(fields)
    del fields["digest"]
    fields["digest"] = digest_bytes(
        json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    path.write_text(json.dumps(fields))


def problems(store: Path, step: int = 2) -> list[tuple[str, str]]:
    [report] = CheckpointStore(store).verify(f"{RUN}@{step}").checkpoints
    assert not report.good
    return [(p.code, p.message) for p in report.problems]


def all_commands_survive(store: Path, *, exit_code: int = 1) -> None:
    """Every command ends with a code of the table, names no bug, and the other checkpoint stays what it was."""
    assert inside("list", store=store).returncode == 0
    assert inside("list", "--format", "table", store=store).returncode == 0
    assert inside("list", "--format", "json", store=store).returncode == 0
    assert inside("verify", store=store).returncode == exit_code
    assert inside("show", f"{RUN}@2", store=store).returncode in (0, 1, 5)
    done = inside("resume-cmd", RUN, store=store)
    assert done.returncode == 0
    assert GOOD in done.stdout
    assert inside("prune", "--keep-last", "1", store=store).returncode == 0
    assert CheckpointStore(store).verify(f"{RUN}@1").exit_code == 0
    CheckpointStore(store).save(RUN, 3, {"rng": np.random.default_rng(3)})


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "white space": (b" \n", "empty"),
    "an empty object": (b"{}", "schema_version"),
    "a list": (b"[]", "not a JSON object"),
    "HTML": (b"<!DOCTYPE html><html>Not found</html>", "not JSON"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "not JSON"),
    "truncated": (b'{"schema_version": "1.0", "run": "r', "not JSON"),
    "binary": (bytes(range(256)), "UTF-8"),
    "UTF-16": ('{"schema_version": "1.0"}'.encode("utf-16"), "UTF-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"schema_version": "1.0"}', "not JSON"),
    "the same key twice": (b'{"schema_version": "1.0", "run": "a", "run": "b"}', "twice"),
    "NaN": (b'{"schema_version": "1.0", "x": NaN}', "NaN"),
    "nested without end": (b"[" * 100_000, "nesting"),
    "nested deep": (b'{"a":' * 40 + b"1" + b"}" * 40, "nesting"),
    "a number of 5,000 digits": (b'{"schema_version": ' + b"9" * 5000 + b"}", "number"),
    "a lone surrogate": (b'{"schema_version": "1.0", "run": "\\ud800"}', "surrogate"),
    "a newer version": (b'{"schema_version": "999.0"}', "999.0"),
    "an older version": (b'{"schema_version": "0.9"}', "0.9"),
    "no version": (b'{"run": "x", "items": {}}', "schema_version"),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_a_manifest_that_is_something_else(what: str, store: Path) -> None:
    data, word = CONTENTS[what]
    manifest(store).write_bytes(data)
    [(code, message)] = problems(store)
    assert code in ("manifest-unreadable", "manifest-newer")
    assert word in message
    assert len(message) < 300
    all_commands_survive(store)
    refused(inside("show", f"{RUN}@2", store=store), 1, f"{RUN}@2", "manifest.json")


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], object]:
    def change(fields: dict[str, Any]) -> None:
        place: Any = fields
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to

    return change


def _file(to: Any, field: str = "path") -> Callable[[dict[str, Any]], object]:
    return _set("items", "rng", "files", 0, field, to=to)


LIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a negative step": (_set("step", to=-1), "step"),
    "a step as text": (_set("step", to="2"), "step"),
    "a step that is a fraction": (_set("step", to=2.5), "step"),
    "another step": (_set("step", to=1), "step-00000002"),
    "an absurd step": (_set("step", to=2**70), "step"),
    "no items": (_set("items", to={}), "items"),
    "an unknown field": (_set("wish", to=1), "unknown field 'wish'"),
    "an unknown field of an item": (_set("items", "rng", "wish", to=1), "items.rng.wish"),
    "a negative size": (_file(-1, "size"), "size"),
    "a size as text": (_file("12", "size"), "size"),
    "a size beyond all disks": (_file(2**70, "size"), "size"),
    "a size that is infinite": (_file(1e999, "size"), ""),
    "another size": (_file(1, "size"), "bytes long"),
    "a path of 5,000 characters": (_file("rng/" + "a" * 5000), "path"),
    "an unknown digest": (_file("md5:" + "0" * 32, "digest"), "digest"),
    "a short digest": (_file("blake3:00", "digest"), "digest"),
    "a digest in capitals": (_file("blake3:" + "AB" * 32, "digest"), "digest"),
    "no digest": (_file("", "digest"), "digest"),
    "another digest": (_file("blake3:" + "0" * 64, "digest"), "content differs"),
    "a day that is none": (_set("created_at", to="2026-99-99T99:99:99.000000Z"), "created_at"),
    "a year zero": (_set("created_at", to="0000-01-01T00:00:00.000000Z"), "created_at"),
    "a run that climbs": (_set("run", to="../x"), "'..'"),
    "an item name that climbs": (lambda f: f["items"].update({"../x": f["items"].pop("rng")}), "item name"),
    "a metric nested without end": (_set("metrics", "m", to=json.loads("[" * 25 + "]" * 25)), "metrics"),
    "a grade nobody knows": (_set("items", "rng", "captured", "grade", to="perfect"), "grade"),
    "a parent that is text": (_set("parent", to="other@1"), "parent"),
    "a backend with a path": (_set("items", "rng", "backend", to="os.path:join"), "backend"),
    "an item at another step": (_set("items", "rng", "step", to=7), "item 'rng' is at step 7"),
    "a counter that does not agree": (
        lambda f: (f["counters"].update(epoch=1), f["items"]["rng"]["counters"].update(epoch=2)), "epoch 2"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LIES)
def test_a_manifest_that_lies_with_a_valid_digest(what: str, store: Path) -> None:
    change, word = LIES[what]
    reseal(manifest(store), change)
    assert any(word in message for _, message in problems(store)), problems(store)
    all_commands_survive(store)


UNSAFE = [
    "../x", "/etc/passwd", "rng//x", ".", "", "rng/../x", "rng/./x", "rng/x ", "rng/con", "rng/a\u202eb", "rng\\x",
    "C:/x", "rng/a\nb", "rng/a\0b", "rng/" + "a" * 300, "../../../../../../etc/hostname", "other/x", "manifest.json",
]  # fmt: skip


@pytest.mark.parametrize("path", UNSAFE)
def test_a_path_that_leaves_its_item_is_unsafe(path: str, store: Path) -> None:
    reseal(manifest(store), _file(path))
    [report] = CheckpointStore(store).verify(f"{RUN}@2").checkpoints
    assert not report.good
    assert report.problems[0].code == ("path-unsafe" if path else "manifest-unreadable")
    all_commands_survive(store, exit_code=5 if path else 1)
    refused(inside("resume-cmd", f"{RUN}@2", store=store), 5 if path else 1)
    refused(inside("restore", f"{RUN}@2", store.parent / "out", store=store), 5 if path else 1)


def test_two_paths_that_are_one_on_other_systems(store: Path) -> None:
    def twice(fields: dict[str, Any]) -> None:
        files = fields["items"]["rng"]["files"]
        files.append(files[0] | {"path": "rng/RNG.json"})

    reseal(manifest(store), twice)
    assert "same on some file systems" in problems(store)[0][1]


def test_a_newer_minor_version_may_have_more_fields(store: Path) -> None:
    reseal(manifest(store), lambda fields: fields.update(schema_version="1.7", later={"x": 1}))
    assert CheckpointStore(store).verify(f"{RUN}@2").exit_code == 0


def test_a_manifest_copied_over_another_is_found(store: Path) -> None:
    manifest(store, 2).write_bytes(manifest(store, 1).read_bytes())
    assert problems(store)[0][0] == "manifest-step-mismatch"
    all_commands_survive(store)


def test_a_renamed_step_folder_is_found(store: Path) -> None:
    folder = manifest(store).parent
    folder.rename(folder.with_name("step-00000009"))
    assert problems(store, 9)[0][0] == "manifest-step-mismatch"
    assert GOOD in inside("resume-cmd", RUN, store=store).stdout


def test_a_checkpoint_without_a_manifest_is_incomplete(store: Path) -> None:
    manifest(store).unlink()
    assert problems(store)[0][0] == "manifest-missing"
    rows = json.loads(inside("list", "--format", "json", store=store).stdout)["checkpoints"]
    assert [row["state"] for row in rows] == ["listed", "incomplete"]
    all_commands_survive(store)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "device", "huge"])
@pytest.mark.on_disk("links, devices and pipes")
def test_a_manifest_that_is_no_file(kind: str, store: Path) -> None:
    path = manifest(store)
    kept = path.rename(store / "kept.json")
    if kind == "link":
        path.symlink_to(kept)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 200 << 20)
    assert problems(store)[0][0] == "manifest-unreadable"
    all_commands_survive(store)


def test_a_manifest_of_many_files_takes_bounded_time(store: Path) -> None:
    def many(fields: dict[str, Any]) -> None:
        first = fields["items"]["rng"]["files"][0]
        fields["items"]["rng"]["files"] += [first | {"path": f"rng/{n}"} for n in range(100_001)]

    reseal(manifest(store), many)
    assert "files" in problems(store)[0][1]


@pytest.mark.parametrize("where", ["checkpoint", "run", "store"])
@pytest.mark.on_disk("links, devices and pipes")
def test_a_folder_that_is_a_link_is_never_followed(where: str, store: Path, tmp_path: Path) -> None:
    if where == "checkpoint":
        kept = manifest(store).parent.rename(tmp_path / "step-00000002")
        (store / RUN / "step-00000002").symlink_to(kept)
        assert [one.at.step for one in CheckpointStore(store).list()] == [1]
        inside("prune", "--keep-last", "1", "--apply", store=store)
        assert (kept / "manifest.json").exists()
    elif where == "run":
        (store / "other").symlink_to(store / RUN)
        assert {one.at.run for one in CheckpointStore(store).list()} == {RUN}
        refused(inside("verify", "other", store=store), 4)
    else:
        (tmp_path / "link").symlink_to(store)
        assert len(list(CheckpointStore(tmp_path / "link").list())) == 2, "the store itself may be reached by a link"


@pytest.mark.on_disk("links, devices and pipes")
def test_a_state_folder_that_is_a_link_is_refused(store: Path, tmp_path: Path) -> None:
    kept = (store / RUN / ".ckptkit").rename(tmp_path / "elsewhere")
    (store / RUN / ".ckptkit").symlink_to(kept)
    refused(inside("prune", "--keep-last", "1", "--apply", store=store), 10, "symbolic link")
    refused(inside("pin", f"{RUN}@1", store=store), 10, "symbolic link")
    assert len(list(CheckpointStore(store).list())) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": "2.0"}', '{"schema_version":"1.0","pins":1,"tags":{}}']
)
def test_refs_that_are_broken_stop_what_would_forget_them(content: str, store: Path) -> None:
    in_store(store / RUN / ".ckptkit" / "refs.json").write_text(content)
    refused(inside("prune", "--keep-last", "1", "--apply", store=store), 1, "refs.json")
    refused(inside("pin", f"{RUN}@1", store=store), 1, "refs.json")
    report = CheckpointStore(store).verify()
    assert (report.exit_code, [m.problem.code for m in report.refs]) == (1, ["refs-damaged"])
    assert all(checkpoint.good for checkpoint in report.checkpoints)
    assert inside("resume-cmd", RUN, store=store).returncode == 0


@pytest.mark.on_disk("links, devices and pipes")
def test_refs_in_a_fifo_do_not_hang(store: Path) -> None:
    os.mkfifo(store / RUN / ".ckptkit" / "refs.json")
    refused(inside("prune", "--keep-last", "1", "--apply", store=store), 1)


@pytest.mark.on_disk("links, devices and pipes")
def test_stray_things_in_a_store_are_never_touched(store: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("x")
    (store / RUN / "home").symlink_to(tmp_path / "home")
    (store / RUN / "notes.txt").write_text("x")
    (store / RUN / "logs").mkdir()
    (store / RUN / "logs" / "events").write_text("x")
    assert inside("prune", "--keep-last", "1", "--apply", store=store).returncode == 0
    assert (tmp_path / "home" / "thesis.txt").exists()
    assert (store / RUN / "notes.txt").exists()
    assert (store / RUN / "logs" / "events").exists()


def test_numbers_survive_that_json_cannot_carry(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    metrics = {"nan": float("nan"), "inf": float("inf"), "tiny": 5e-324}
    store.save("r", 1, {"rng": np.random.default_rng(1)}, metrics=metrics, config={"seed": 2**127})
    [report] = store.verify().checkpoints
    assert report.manifest is not None
    assert report.manifest.metrics["nan"] != report.manifest.metrics["nan"]
    assert (report.manifest.metrics["inf"], report.manifest.metrics["tiny"]) == (float("inf"), 5e-324)
    assert report.manifest.config["seed"] == 2**127
    for format_ in ("json", "table", "tsv", "ndjson"):
        assert inside("list", "--format", format_, store=tmp_path).returncode == 0
        assert inside("show", "r@1", "--format", format_, store=tmp_path).returncode == 0
    assert strict_json.loads(in_store(tmp_path / "r/step-00000001/manifest.json").read_bytes())


@pytest.mark.parametrize("name", [b"a@b", b"con", b"trailing ", b"\xff\xfe", b"esc\x1b[31m", "a\u202eb".encode()])
@pytest.mark.on_disk("a person copies a folder within the store")
def test_a_folder_that_no_run_can_be_called_hides_nothing(name: bytes, store: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(store) + b"/" + name))
    shutil.copytree(store / RUN / "step-00000001", folder / "step-00000001")
    for format_ in ("table", "tsv", "json"):
        done = inside("list", "--format", format_, store=store)
        assert done.returncode == 0, done.stderr
        assert RUN in done.stdout
        assert "\x1b" not in done.stdout
    assert inside("verify", store=store).returncode == 0
    assert inside("prune", "--keep-last", "1", "--apply", store=store).returncode == 0
    assert (folder / "step-00000001" / "manifest.json").exists()
