"""Patterns and prefixes of runs, several REFs, REFs from stdin, and what was saved since a moment."""

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ckptkit import CheckpointStore
from ckptkit.retention import RetentionPolicy
from tests.command_line import inside as ckptkit
from tests.command_line import refused
from tests.nobody import as_nobody

REFS = [f"{run}@{step}" for run in ("ppo/a", "ppo/b", "sac") for step in (1, 2)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "store"
    for ref in REFS:
        run, _, step = ref.partition("@")
        CheckpointStore(folder).save(
            run, int(step), {"rng": np.random.default_rng(0)}, resume=["python", "train.py", "{checkpoint}"]
        )
    return folder


@contextlib.contextmanager
def stdin(data: bytes) -> Iterator[None]:
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(data))):
        yield


def listed(store: Path, *arguments: str) -> list[str]:
    done = ckptkit("list", "--format", "ref", *arguments, store=store)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def verified(store: Path, *arguments: str | Path) -> list[str]:
    done = ckptkit("verify", "--format", "json", "--level", "presence", *arguments, store=store)
    assert done.returncode == 0, done.stderr
    return [one["ref"] for one in json.loads(done.stdout)["checkpoints"]]


@pytest.mark.parametrize(
    ("word", "refs"),
    [
        ("ppo/*", REFS[:4]),
        ("*", REFS),
        ("p*b", REFS[2:4]),  # as in ckptkit.yaml, * matches / too
        ("ppo/[!a]", REFS[2:4]),
        ("ppo/?@1", ["ppo/a@1", "ppo/b@1"]),
        ("ppo/*@latest", ["ppo/a@2", "ppo/b@2"]),
        ("ppo/", REFS[:4]),
        ("sac/", REFS[4:]),
    ],
)
def test_patterns_and_prefixes_name_runs(store: Path, word: str, refs: list[str]) -> None:
    assert listed(store, word) == refs
    assert verified(store, word) == refs


def test_several_are_looked_at_together_and_none_twice(store: Path) -> None:
    assert listed(store, "sac@2", "sac", "ppo/*@1", "ppo/a") == ["ppo/a@1", "ppo/a@2", "ppo/b@1", "sac@1", "sac@2"]
    assert verified(store, "sac@1", "sac", "sac@2") == ["sac@1", "sac@2"]


def test_one_of_several_that_is_not_there_is_said_and_the_others_are_listed(store: Path) -> None:
    done = ckptkit("list", "sac", "ppo/c", "--format", "ref", store=store)
    assert (done.returncode, done.stdout.split()) == (4, REFS[4:])
    assert "no checkpoints of ppo/c" in done.stderr


def test_show_tells_each_of_several(store: Path) -> None:
    shown = json.loads(ckptkit("show", "ppo/*", "sac@1", "--format", "json", store=store).stdout)["checkpoints"]
    assert [(one["run"], one["step"]) for one in shown] == [("ppo/a", 2), ("ppo/b", 2), ("sac", 1)]
    lines = ckptkit("show", "ppo/*", "--format", "tsv", store=store).stdout.splitlines()
    assert lines[0] == "CHECKPOINT\tFIELD\tVALUE"
    assert {line.split("\t")[0] for line in lines[1:]} == {"ppo/a@2", "ppo/b@2"}
    assert len(ckptkit("show", "ppo/*", "--format", "ndjson", store=store).stdout.splitlines()) == 2
    assert "checkpoint" in json.loads(ckptkit("show", "sac", "--format", "json", store=store).stdout)


def test_pins_and_tags_are_set_on_all_or_on_none(store: Path) -> None:
    refused(ckptkit("pin", "sac@1", "sac@9", store=store), 4, "sac@9")
    assert '"pinned": true' not in ckptkit("list", "sac", "--format", "json", store=store).stdout
    assert ckptkit("pin", "ppo/*@1", "sac@1", store=store).stderr.split("\n")[:3] == [
        "pinned ppo/a@1",
        "pinned ppo/b@1",
        "pinned sac@1",
    ]
    assert ckptkit("tag", "sac@1", "ppo/*", "seen", store=store).returncode == 0
    assert listed(store, "--tag", "seen") == ["ppo/a@2", "ppo/b@2", "sac@1"]
    assert ckptkit("unpin", "*@1", store=store).returncode == 0


def test_prune_takes_a_pattern_and_tells_each_run(store: Path) -> None:
    done = ckptkit("prune", "ppo/*", "--keep-last", "1", "--format", "json", store=store)
    removed = [one["ref"] for one in json.loads(done.stdout)["checkpoints"] if one["action"] == "remove"]
    assert removed == ["ppo/a@1", "ppo/b@1"]
    assert "ppo/* means 2 runs" in done.stderr
    refused(ckptkit("prune", "sac@1", "--keep-last", "1", store=store), 2, "prune takes runs")
    refused(ckptkit("prune", store / "sac", "--keep-last", "1"), 2, "lies in the store")


@pytest.mark.parametrize("command", ["resume-cmd", "restore"])
def test_what_makes_no_sense_for_several_says_which_they_are(store: Path, tmp_path: Path, command: str) -> None:
    more = [tmp_path / "out"] if command == "restore" else []
    done = ckptkit(command, "ppo/*", *more, store=store)
    refused(done, 2, f"{command} takes one run or checkpoint", "ppo/a, ppo/b")
    refused(ckptkit(command, "s*", *more, store=store), 2, "means sac")


def test_a_pattern_that_matches_nothing_says_what_there_is(store: Path) -> None:
    done = ckptkit("verify", "a2c/*", store=store)
    refused(done, 4, "a2c/*: matches no run")
    assert "ppo/a, ppo/b, sac" in done.stderr
    refused(ckptkit("verify", "ppo/*@3", store=store), 4, "matches no run")
    done = ckptkit("verify", "ppo", store=store)
    refused(done, 4, "ppo: there is no such run")
    assert "ppo/ means all of them" in done.stderr


def test_a_run_that_is_called_like_a_pattern_is_itself(tmp_path: Path) -> None:
    for run in ("a[1]", "a1"):
        CheckpointStore(tmp_path / "s").save(run, 1, {"rng": np.random.default_rng(0)})
    assert listed(tmp_path / "s", "a[1]") == ["a[1]@1"]


class TestStdin:
    """`verify -` reads REFs from stdin."""

    @pytest.mark.parametrize("format_", [[], ["--format", "ref"], ["--format", "path"], ["--format", "tsv"]])
    def test_it_takes_what_list_prints(self, store: Path, format_: list[str]) -> None:
        out = ckptkit("list", "ppo/*", *format_, store=store).stdout
        with stdin(out.encode()):
            assert verified(store, "-") == REFS[:4]

    def test_paths_that_find_prints_end_with_nul(self, store: Path) -> None:
        paths = sorted((store / "ppo").rglob("manifest.json"))
        with stdin(b"".join(os.fsencode(path) + b"\0" for path in paths)):
            assert verified(store, "-", "--null") == REFS[:4]

    def test_words_may_stand_beside_it(self, store: Path) -> None:
        with stdin(b"sac@1\r\n\nppo/a@latest\n"):
            assert verified(store, "ppo/b", "-") == ["ppo/b@1", "ppo/b@2", "sac@1", "ppo/a@2"]

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"RUN\tSTEP\n"])
    def test_nothing_on_it_is_never_the_whole_store(self, store: Path, data: bytes) -> None:
        with stdin(data):
            refused(ckptkit("verify", "-", store=store), 4, "stdin names no checkpoint")

    def test_a_row_without_a_step_and_a_flag_without_stdin_are_said(self, store: Path) -> None:
        with stdin(b"RUN\tSTEP\nsac\t?\n"):
            refused(ckptkit("verify", "-", store=store), 2, "stdin: line 2 names no checkpoint")
        refused(ckptkit("verify", "-0", "sac", store=store), 2, "--null belongs to `-`")

    def test_bytes_that_are_no_text_are_a_name_of_nothing(self, store: Path) -> None:
        with stdin(b"\xff\xfe\x1b[31m\n"):
            refused(ckptkit("verify", "-", store=store), 4, "matches no run")


class TestSince:
    """`list --since`."""

    def test_it_takes_durations_and_dates(self, store: Path) -> None:
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
        for word in ("7d", "12h", "2w", "2026-01-01", "2026-01-01T08:00", "2026-01-01 08:00+02:00"):
            assert listed(store, "--since", word) == REFS, word
        assert listed(store, "--since", tomorrow.isoformat()) == []
        assert listed(store, "--since", "7d", "--limit", "1", "--sort", "created") == REFS[-1:]

    def test_what_nobody_knows_the_time_of_is_listed(self, tmp_path: Path) -> None:
        store = tmp_path / "s"
        CheckpointStore(store).save("r", 1, {"rng": np.random.default_rng(0)})
        (store / "r" / "step-00000002").mkdir()
        assert listed(store, "--since", "2999-01-01") == ["r@2"]

    @pytest.mark.parametrize("word", ["soon", "7", "2026-13-01", "0d"])
    def test_what_is_neither_is_a_usage_error(self, store: Path, word: str) -> None:
        refused(ckptkit("list", "--since", word, store=store), 2, "neither a duration nor a date")


def test_trash_has_an_order_of_its_own(store: Path) -> None:
    refused(ckptkit("list", "--trash", "--sort", "size", store=store), 2, "--trash goes with neither")
    assert ckptkit("list", "--trash", store=store).returncode == 0


def test_runs_are_matched_by_name_alone(tmp_path: Path) -> None:
    for number in range(300):
        os.makedirs(tmp_path / f"r{number:03}/step-00000001")
    with mock.patch("ckptkit.storage.local.files.opened", side_effect=AssertionError("a file was read")):
        found = CheckpointStore(tmp_path).locate("r12*@latest")
        assert [at.ref for at in found] == [f"r{number}@1" for number in range(120, 130)]
        with pytest.raises(LookupError, match="matches no run"):
            CheckpointStore(tmp_path).locate("x*")


def test_a_pattern_that_meets_a_run_that_cannot_be_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for store in ("good", "bad"):
            CheckpointStore(root / store).save("r", 1, {"rng": np.random.default_rng(0)})
        (root / "bad/r").chmod(0)
        words, warm = (("--store", root / store, "verify", "r*") for store in ("bad", "good"))
        refused(as_nobody(words, warm=warm, cwd=root, home=root), 10, "cannot be read")


def test_a_pattern_reads_no_folder_in_which_nothing_can_match() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for run in ("open/a", "shut/b"):
            CheckpointStore(root / "store").save(run, 1, {"rng": np.random.default_rng(0)})
        (root / "store/shut").chmod(0)
        for command, pattern in (("list", "open/*"), ("list", "open/"), ("verify", "open/?")):
            words, warm = (["--store", root / "store", command, name] for name in (pattern, "open/a"))
            done = as_nobody(words, warm=warm, cwd=root, home=root)
            assert (done.returncode, "open/a" in done.stdout) == (0, True), done.stderr
        (root / "store/shut").chmod(0o755)


def test_undelete_of_a_run_says_how_many_stay_in_the_trash(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        store.save("a", step, {"rng": np.random.default_rng(step)})
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))
    assert (
        "a: 1 more in the trash; `ckptkit list --trash` says which" in ckptkit("undelete", "a", store=tmp_path).stderr
    )
