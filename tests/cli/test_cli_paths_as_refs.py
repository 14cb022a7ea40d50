"""Any path that ckptkit prints, and any other into a store, can be typed where a REF is."""

import json
import shlex
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ckptkit import CheckpointStore
from ckptkit.store import Wrote
from tests.cli.conftest import write_rng
from tests.command_line import inside as ckptkit
from tests.command_line import refused
from tests.nobody import as_nobody


def listed(*arguments: str | Path, **more: Path) -> list[str]:
    done = ckptkit("list", "--format", "ref", *arguments, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def step(store: Path) -> Path:
    return store / "a" / "run" / "step-00000002"


@pytest.mark.parametrize("inner", ["", "manifest.json", "rng", "rng/rng.json"])
def test_a_checkpoint_is_named_by_its_folder_and_by_all_that_is_in_it(step: Path, inner: str) -> None:
    assert listed(step / inner) == ["a/run@2"]


@pytest.mark.parametrize("command", ["show", "verify", "resume-cmd", "pin", "unpin"])
def test_every_command_takes_a_path_without_being_told_the_store(step: Path, command: str) -> None:
    done = ckptkit(command, step, cwd=step.parents[3])
    assert done.returncode == 0, done.stderr
    assert "step-00000003" not in done.stdout


def test_diff_and_find_take_one_too(step: Path) -> None:
    found = json.loads(ckptkit("diff", step, step.parent, "--format", "json").stdout)
    assert (found["a"], found["b"]) == ("a/run@2", "a/run@3")
    assert ckptkit("diff", step, step, "--format", "json").returncode == 0
    hits = json.loads(ckptkit("find", step, "--file", "rng*", "--format", "json").stdout)["found"]
    assert [hit["ref"] for hit in hits] == ["a/run@2"]


def test_what_show_says_to_type_next_can_be_typed_there(step: Path, tmp_path: Path) -> None:
    shown = json.loads(ckptkit("show", step, "--format", "json", cwd=tmp_path).stdout)["checkpoint"]
    assert shown["next"]
    for line in shown["next"]:
        assert ckptkit(*shlex.split(line)[1:], cwd=tmp_path).returncode == 0, line


def test_restore_and_tag_take_one_too(step: Path, tmp_path: Path) -> None:
    assert ckptkit("restore", step, tmp_path / "out").returncode == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["step"] == 2
    assert ckptkit("tag", f"{step}/", "good").returncode == 0
    assert listed(step.parent, "--tag", "good") == ["a/run@2"]


def test_a_path_may_be_relative_and_end_in_a_slash(step: Path) -> None:
    assert listed("store/a/run/step-00000002/", cwd=step.parents[3]) == ["a/run@2"]
    assert listed("../step-00000003", cwd=step) == ["a/run@3"]
    assert listed("step-00000001", cwd=step.parent) == ["a/run@1"]
    assert listed(".", cwd=step) == ["a/run@2"]


def test_a_link_to_it_names_it(step: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(step)
    assert listed(tmp_path / "latest") == ["a/run@2"]
    assert listed(tmp_path / "latest" / "rng") == ["a/run@2"]


def test_a_folder_names_the_run_or_the_runs_in_it(store: Path) -> None:
    every = [f"a/run@{step}" for step in (1, 2, 3)]
    assert listed(store / "a" / "run") == every
    assert listed(store / "a" / "run@latest") == ["a/run@3"]
    assert listed(store / "a") == every
    assert listed(store) == every


def test_a_store_that_is_named_must_hold_the_path(step: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(step.parents[2], tmp_path / "other"))
    assert listed(step, store=step.parents[2]) == ["a/run@2"]
    refused(ckptkit("verify", step, store=other), 2, "lies in the store", str(other))


def test_two_stores_are_asked_one_after_the_other(step: Path, tmp_path: Path) -> None:
    other = shutil.copytree(step.parents[2], tmp_path / "other") / "a" / "run" / "step-00000001"
    refused(ckptkit("verify", step, other), 2, "two stores")


def test_an_existing_run_of_the_store_wins_over_a_path(store: Path, tmp_path: Path, rng_file: Path) -> None:
    CheckpointStore(store).save("out/run", 7, {"rng": rng_file})
    CheckpointStore(tmp_path / "out").save("run", 8, {"rng": rng_file})
    assert listed("out/run", store=store, cwd=tmp_path) == ["out/run@7"]
    assert listed("./out/run", cwd=tmp_path) == ["run@8"]


def test_a_checkpoint_that_was_copied_alone_is_a_store_of_its_own(step: Path, tmp_path: Path) -> None:
    shutil.copytree(step, tmp_path / "elsewhere" / "best-2")
    done = ckptkit("verify", tmp_path / "elsewhere" / "best-2", "--format", "json")
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["checkpoints"]
    assert found["path"] == str(tmp_path / "elsewhere" / "best-2")


def test_a_copy_beside_it_does_not_make_a_store_of_what_is_around(step: Path, tmp_path: Path) -> None:
    shutil.copytree(step, tmp_path / "best-2")
    assert listed(step.parent.parent) == ["a/run@1", "a/run@2", "a/run@3"]
    (tmp_path / "web").mkdir()
    refused(ckptkit("verify", tmp_path / "web"), 4, "is in no checkpoint and no run")
    assert ckptkit("verify", tmp_path / "best-2" / "rng").returncode == 0


def test_files_of_a_trainer_name_the_checkpoint_whose_manifest_lists_them(tmp_path: Path) -> None:
    for step in (50, 60):
        write_rng(tmp_path / "store" / "run" / f"ep{step:06}.json", step)
    assert ckptkit("adopt", "run", store=tmp_path / "store").returncode == 0
    assert listed(tmp_path / "store" / "run" / "ep000050.json") == ["run@50"]
    [manifest] = (tmp_path / "store" / "run").glob("ep000060*.manifest.json")
    assert listed(manifest.name, cwd=manifest.parent) == ["run@60"]
    refused(ckptkit("verify", manifest.parent / "ep000070.manifest.json"), 4, "run: holds no ep000070")


class TestAdoptedInPlace:
    """What a trainer wrote is named by its own path."""

    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        for step in (500, 1000):
            folder = tmp_path / "exp" / "out" / f"checkpoint-{step}"
            (folder / "sub").mkdir(parents=True)
            (folder / "sub" / "notes.txt").write_text(str(step))
        (tmp_path / "exp" / "out" / "epoch=1-step=48.txt").write_text("48")
        return tmp_path / "exp" / "out"

    def adopt(self, store: Path, out: Path, run: str, folder: Path | None = None) -> None:
        opened = CheckpointStore(store)
        for name, step in (("checkpoint-500", 500), ("checkpoint-1000", 1000), ("epoch=1-step=48.txt", 48)):
            opened.adopt(run, name, step, {"model": Wrote(name)}, folder=folder)

    def test_with_the_manifest_beside_it(self, out: Path) -> None:
        self.adopt(out.parent, out, "out")
        assert listed("checkpoint-500/", cwd=out) == ["out@500"]
        assert listed(out / "checkpoint-1000" / "sub", out / "epoch=1-step=48.txt") == ["out@48", "out@1000"]
        assert listed(out / "checkpoint-500@500.manifest.json") == ["out@500"]
        assert listed(out) == ["out@48", "out@500", "out@1000"]

    def test_with_manifests_in_a_store_of_their_own(self, out: Path, tmp_path: Path) -> None:
        store = tmp_path / "apart"
        self.adopt(store, out, "mine", out)
        assert listed(out / "checkpoint-500", store=store) == ["mine@500"]
        assert listed("checkpoint-500/sub/notes.txt", store=store, cwd=out) == ["mine@500"]
        self.adopt(out.parent, out, "out")
        assert listed(out / "checkpoint-500", store=store) == ["mine@500"]
        assert listed(out / "checkpoint-500") == ["out@500"]


def test_every_path_that_is_printed_is_taken(store: Path, tmp_path: Path) -> None:
    paths = ckptkit("list", "--format", "path", store=store).stdout.splitlines()
    shown = json.loads(ckptkit("show", "a/run@2", "--format", "json", store=store).stdout)["checkpoint"]
    saved = ckptkit("save", "a/run", f"rng={write_rng(tmp_path / 'r.json')}", "--step", "4", store=store).stdout.strip()
    words = [*paths, shown["path"], shown["manifest"], saved]
    assert listed(*words) == [f"a/run@{step}" for step in (1, 2, 3, 4)]


class TestRemoved:
    """What is in the trash."""

    @pytest.fixture(autouse=True)
    def _pruned(self, store: Path) -> None:
        assert ckptkit("prune", "--keep-last", "1", "--apply", store=store).returncode == 0

    def test_its_old_path_says_how_to_take_it_back_and_takes_it_back(self, step: Path) -> None:
        refused(ckptkit("verify", step), 4, "a/run@2: was removed", "in the trash")
        done = ckptkit("undelete", step)
        assert (done.returncode, done.stdout.strip()) == (0, str(step))
        assert listed(step) == ["a/run@2"]

    def test_its_path_in_the_trash_takes_it_back(self, store: Path) -> None:
        trash = json.loads(ckptkit("list", "--trash", "--format", "json", store=store).stdout)["removed"]
        paths = {one["step"]: one["path"] for one in trash}
        refused(ckptkit("verify", paths[1]), 4, "a/run@1: was removed")
        assert ckptkit("undelete", paths[1], f"{paths[2]}/step-00000002/rng/rng.json").returncode == 0
        assert listed(store) == [f"a/run@{step}" for step in (1, 2, 3)]

    def test_it_is_listed_with_its_end_and_with_what_takes_it_back(self, store: Path) -> None:
        [first, second] = json.loads(ckptkit("list", "--trash", "--format", "json", store=store).stdout)["removed"]
        assert first["undelete"] == f"ckptkit --store {store} undelete a/run@2"
        assert second["removed_at"] < second["kept_until"]
        assert [one["size"] for one in (first, second)] == [
            (Path(one["path"]) / "rng/rng.json").stat().st_size for one in (first, second)
        ]
        lines = ckptkit("list", "--trash", "a/*", "--format", "tsv", store=store).stdout.splitlines()
        assert [line.split("\t")[0] for line in lines] == ["CHECKPOINT", "a/run@2", "a/run@1"]

    def test_of_two_of_one_step_the_older_is_taken_back_by_its_path(self, store: Path, rng_file: Path) -> None:
        CheckpointStore(store).save("b", 1, {"rng": rng_file})
        for _ in range(2):
            CheckpointStore(store).save("b", 1, {"rng": rng_file}, replace=True)
        [last, first] = json.loads(ckptkit("list", "--trash", "b", "--format", "json", store=store).stdout)["removed"]
        assert last["undelete"].endswith("undelete b@1")
        assert first["undelete"].endswith(first["path"])

    def test_one_that_cannot_be_taken_back_does_not_stop_the_others(self, store: Path) -> None:
        done = ckptkit("undelete", "a/run@1", "a/run@9", "a/run@2", store=store)
        assert done.returncode == 3
        assert "not taken back: a/run@9" in done.stderr
        assert listed(store) == [f"a/run@{step}" for step in (1, 2, 3)]

    def test_a_run_of_which_nothing_else_is_left_is_still_there_to_take_back(self, store: Path) -> None:
        shutil.rmtree(store / "a" / "run" / "step-00000003")
        done = ckptkit("list", "--trash", "--format", "ref", store=store)
        assert done.stdout.split() == ["a/run@2", "a/run@1"]
        assert ckptkit("undelete", "a/*", store=store).returncode == 0
        assert ckptkit("undelete", store / "a" / "run").returncode == 0
        assert listed(store) == ["a/run@1", "a/run@2"]


class TestBadInput:
    """One line that says what is wrong, one that says what to do."""

    def test_a_path_in_no_store_is_said_to_be_in_none(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "notes").mkdir()
        refused(ckptkit("verify", tmp_path / "notes", store=store), 4, "notes: is in no checkpoint and no run")
        refused(ckptkit("verify", tmp_path / "notes" / "gone", store=store), 4, "there is nothing at this path")

    def test_a_store_that_is_not_there_is_said_before_a_path(self, tmp_path: Path) -> None:
        refused(ckptkit("verify", "./x", store=tmp_path / "none"), 10, "does not exist")
        refused(ckptkit("verify", "ppo/run1", cwd=tmp_path), 10, "does not exist")

    def test_names_that_control_a_terminal_are_escaped(self, store: Path, tmp_path: Path) -> None:
        hostile = tmp_path / "a\n\x1b[31mb"
        hostile.mkdir()
        done = ckptkit("verify", hostile, store=store)
        refused(done, 4, "\\n\\x1b[31mb")
        assert "\x1b" not in done.stderr

    @pytest.mark.parametrize("word", ["", "@", "@5"])
    def test_an_empty_name_is_a_usage_error(self, store: Path, word: str) -> None:
        refused(ckptkit("verify", word, store=store), 2, "is empty")

    def test_links_in_a_circle_end(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "one").symlink_to(tmp_path / "two")
        (tmp_path / "two").symlink_to(tmp_path / "one")
        refused(ckptkit("verify", tmp_path / "one" / "x", store=store), 4, "there is nothing at this path")

    def test_a_manifest_json_of_something_else_makes_no_store(self, tmp_path: Path) -> None:
        (tmp_path / "web").mkdir()
        (tmp_path / "web" / "manifest.json").write_text('{"name": "an app"}')
        refused(ckptkit("verify", tmp_path / "web"), 4, "is in no checkpoint and no run")

    def test_a_folder_that_may_not_be_read_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            root.chmod(0o755)
            for store in ("good", "bad"):
                CheckpointStore(root / store).save("r", 1, {"rng": np.random.default_rng(0)})
            (root / "bad/r").chmod(0)
            words, warm = (("list", root / store / "r") for store in ("bad", "good"))
            refused(as_nobody(words, warm=warm, cwd=root, home=root), 10, str(root / "bad/r"))


def test_the_library_takes_paths_and_patterns_in_its_own_store(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    for run in ("ppo/a", "ppo/b"):
        store.save(run, 1, {"rng": np.random.default_rng(0)})
    assert [at.ref for at in store.locate("ppo/*")] == ["ppo/a@1", "ppo/b@1"]
    assert [at.ref for at in store.locate(str(tmp_path / "store" / "ppo" / "b" / "step-00000001"))] == ["ppo/b@1"]
    assert store.verify("ppo/").exit_code == 0
    assert [one.at.ref for one in store.list("ppo/*")] == ["ppo/a@1", "ppo/b@1"]
