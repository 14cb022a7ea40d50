"""Every exit code of the table, with one line that names the reason and one that says what to do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import PROGRAM, refused
from command_line import inside as ckptkit


def damage(store: Path, step: int, name: str = "rng/rng.json") -> Path:
    path = store / "a" / "run" / f"step-{step:08d}" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


class TestOk:
    def test_an_empty_store_lists_nothing(self, tmp_path: Path) -> None:
        done = ckptkit("list", store=tmp_path)
        assert (done.returncode, done.stderr) == (0, "no checkpoints\n")
        assert json.loads(ckptkit("list", "--format", "json", store=tmp_path).stdout)["checkpoints"] == []


class TestProblems1:
    def test_a_damaged_file_is_named(self, store: Path) -> None:
        damage(store, 2)
        done = ckptkit("verify", store=store)
        assert done.returncode == 1
        bad = [line.split("\t") for line in done.stdout.splitlines() if "\tdamaged\t" in line]
        assert [(line[0], line[6], line[7]) for line in bad] == [("a/run@2", "rng/rng.json", "digest-mismatch")]
        assert "last good: step 3" in done.stderr

    def test_a_named_step_that_is_damaged_is_never_resumed(self, store: Path) -> None:
        damage(store, 2)
        done = ckptkit("resume-cmd", "a/run@2", store=store)
        refused(done, 1, "a/run@2", "rng/rng.json")
        assert done.stdout == ""

    def test_a_damaged_step_is_not_restored(self, store: Path, tmp_path: Path) -> None:
        damage(store, 3)
        refused(ckptkit("restore", "a/run@3", tmp_path / "out", store=store), 1, "rng/rng.json")
        assert not (tmp_path / "out").exists()

    def test_refs_that_cannot_be_read_stop_a_prune(self, store: Path) -> None:
        (store / "a" / "run" / ".ckptkit" / "refs.json").write_text("{")
        refused(ckptkit("prune", "--keep-last", "1", "--apply", store=store), 1, "refs.json")


class TestUsage2:
    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["frobnicate"], "no command `frobnicate`"),
            (["list", "--frobnicate"], "No such option"),
            (["list", "--limit", "0"], "'--limit': must be at least 1"),
            (["list", "--limit", "x"], "'--limit': not a whole number"),
            (["list", "--sort", "name"], "'--sort': 'name' is not one of"),
            (["verify", "--level", "deep"], "--level"),
            (["verify", "--sample", "7/3"], "sample '7/3'"),
            (["verify", "--factory", "x"], "--factory"),
            (["show"], "REF is missing"),
            (["show", "a/run@x"], "a/run@x"),
            (["show", "a/run@-1"], "a/run@-1"),
            (["save", "r", "rng=x"], "--step"),
            (["save", "r", "--step", "-1", "rng=FILE"], "step -1"),
            (["save", "r", "--step", "x", "rng=FILE"], "--step"),
            (["save", "r", "--step", "9" * 20, "rng=FILE"], "99999999999999999999"),
            (["save", "../r", "--step", "1", "rng=FILE"], "'..'"),
            (["save", "/r", "--step", "1", "rng=FILE"], "relative"),
            (["save", "", "--step", "1", "rng=FILE"], "empty"),
            (["save", "a\nb", "--step", "1", "rng=FILE"], "control"),
            (["save", "a@1", "--step", "1", "rng=FILE"], "'@'"),
            (["save", "r", "--step", "1", "rng"], "NAME=PATH"),
            (["save", "r", "--step", "1", "a/b=FILE"], "item name"),
            (["save", "r", "--step", "1", "rng=FILE", "rng=FILE"], "twice"),
            (["save", "r", "--step", "1", "rng=FILE", "RNG=FILE"], "same on some file systems"),
            (["save", "r", "--step", "1", "rng=FILE", "--metric", "reward"], "--metric"),
            (["save", "r", "--step", "1", "rng=FILE", "--metric", "reward=high"], "not a number"),
            (["save", "r", "--step", "1", "rng=FILE", "--metric", f"{'m' * 200}=1"], "metrics"),
            (["save", "r", "--step", "1", "rng=FILE", "--counter", "episode=-1"], "--counter"),
            (["save", "r", "--step", "1", "rng=FILE", "--tag", "a,b"], "tag"),
            (["save", "r", "--step", "1", "rng=FILE", "--resume", "'"], ""),
            (["save", "r", "--step", "1", "rng=FILE", "--parent", "other"], "parent"),
            (["prune"], "no retention policy"),
            (["prune", "--keep-last", "0"], "--keep-last"),
            (["prune", "--keep-last", "-1"], "--keep-last"),
            (["prune", "--keep-last", "1e99"], "--keep-last"),
            (["prune", "--keep-within", "7"], "--keep-within"),
            (["prune", "--keep-best", "1"], "metric"),
            (["prune", "--keep-last", "1", "--dry-run", "--apply"], "together"),
            (["tag", "a/run@1", ""], "TAG is empty"),
            (["resume-cmd", "a/run", "--template", "x {nonsense}"], "nonsense"),
            (["resume-cmd", "a/run@best", "--mode", "most"], "--mode"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told(self, arguments: list[str], word: str, store: Path, rng_file: Path) -> None:
        done = ckptkit(*[a.replace("FILE", str(rng_file)) for a in arguments], store=store)
        refused(done, 2, word)
        assert done.stdout == ""

    def test_an_empty_store_option_is_not_the_default_store(self, store: Path, tmp_path: Path) -> None:
        store.rename(tmp_path / "checkpoints")
        refused(ckptkit("--store", "", "list", cwd=tmp_path), 2, "--store is empty")

    def test_a_broken_configuration_names_file_and_line(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "ckptkit.yaml").write_text("stroe: x\n")
        refused(ckptkit("verify", cwd=tmp_path, store=store), 2, "ckptkit.yaml: line 1: stroe")

    def test_settings_that_unfold_without_end_are_refused(self, rng_file: Path, tmp_path: Path) -> None:
        bomb = tmp_path / "bomb.yaml"
        bomb.write_text("a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi")))  # noqa: B905
        refused(ckptkit("save", "r", "--step", "1", f"rng={rng_file}", "--config", bomb, store=tmp_path), 2, "alias")

    @pytest.mark.parametrize("path", ["/dev/zero", "FIFO"])
    def test_what_is_no_file_neither_hangs_nor_passes(self, path: str, tmp_path: Path) -> None:
        if path == "FIFO":
            path = str(tmp_path / "fifo")
            os.mkfifo(path)
        refused(ckptkit("save", "r", "--step", "1", f"x={path}", store=tmp_path / "s"), 2, path)

    def test_without_a_command_help_is_shown(self, tmp_path: Path) -> None:
        done = ckptkit(cwd=tmp_path)
        assert done.returncode == 2
        assert "Look:\n" in done.stderr + done.stdout


class TestPartly3:
    def test_a_run_of_which_nothing_verifies_is_left_whole(self, store: Path, rng_file: Path) -> None:
        assert ckptkit("save", "bad", "--step", "1", f"rng={rng_file}", store=store).returncode == 0
        shutil.copytree(store / "bad" / "step-00000001", store / "bad" / "step-00000002")
        (store / "bad" / "step-00000001" / "rng" / "rng.json").write_text("{}")
        done = ckptkit("prune", "--keep-last", "1", "--apply", store=store)
        assert done.returncode == 3, done.stderr
        assert "bad: nothing in it verifies" in done.stderr
        assert (store / "bad" / "step-00000001").is_dir()
        assert not (store / "a" / "run" / "step-00000001").exists(), "the rest is done"


class TestNothing4:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["show", "none"],
            ["show", "a/run@7"],
            ["verify", "none"],
            ["prune", "none", "--keep-last", "1"],
            ["undelete", "a/run"],
            ["undelete", "none"],
            ["pin", "none"],
            ["unpin", "a/run@9"],
            ["tag", "a/run@9", "x"],
            ["tag", "a/run@1", "absent", "--remove"],
            ["resume-cmd", "none"],
            ["resume-cmd", "a/run@9"],
            ["restore", "none", "DEST"],
            ["save", "r", "--step", "1", "rng=/does/not/exist"],
        ],
    )
    def test_what_is_not_there_is_named(self, arguments: list[str], store: Path) -> None:
        done = ckptkit(*arguments, store=store)
        refused(done, 4)
        assert done.stdout == ""

    def test_verify_of_an_empty_store_is_not_ok(self, tmp_path: Path) -> None:
        done = ckptkit("verify", store=tmp_path)
        assert (done.returncode, done.stdout) == (4, "")
        assert "nothing to check" in done.stderr

    def test_when_all_are_damaged_resume_cmd_prints_nothing(self, store: Path) -> None:
        for step in (1, 2, 3):
            damage(store, step)
        done = ckptkit("resume-cmd", "a/run", store=store)
        refused(done, 4, "no checkpoint can be resumed from", "a/run@3", "a/run@1")
        assert done.stdout == ""

    def test_resume_cmd_falls_back_and_says_why(self, store: Path) -> None:
        damage(store, 3)
        done = ckptkit("resume-cmd", "a/run", store=store)
        assert done.returncode == 0
        assert "--step=2" in done.stdout
        assert "skipped a/run@3: rng/rng.json: content differs" in done.stderr
        strict = ckptkit("resume-cmd", "a/run", "--strict", store=store)
        refused(strict, 4, "--strict")
        assert strict.stdout == ""


class TestRefused5:
    def test_when_nothing_verifies_nothing_is_pruned(self, store: Path) -> None:
        for step in (1, 2, 3):
            damage(store, step)
        refused(ckptkit("prune", "--keep-last", "1", "--apply", store=store), 5, "no checkpoint verifies")
        assert len(list((store / "a" / "run").glob("step-*"))) == 3

    def test_a_tag_that_no_checkpoint_has_is_a_typo(self, store: Path) -> None:
        refused(ckptkit("prune", "--keep-tag", "relaese", "--apply", store=store), 5, "relaese")

    def test_a_pickle_that_runs_code_is_refused_and_not_run(self, tmp_path: Path) -> None:
        folder = tmp_path / "checkpoint-1"
        folder.mkdir()
        import safetensors.numpy

        safetensors.numpy.save_file({}, folder / "policy.safetensors")
        marker = tmp_path / "ran"
        (folder / "optimizer_state.pth").write_bytes(b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
        done = ckptkit("save", "r", "--step", "1", f"policy={folder}", store=tmp_path / "s")
        refused(done, 5, "optimizer_state.pth")
        assert not marker.exists()
        assert ckptkit("list", store=tmp_path / "s").stdout.count("\n") == 1

    def test_a_run_behind_a_link_is_refused(self, store: Path, rng_file: Path) -> None:
        (store / "linked").symlink_to(store / "a")
        refused(ckptkit("save", "linked/run", "--step", "9", f"rng={rng_file}", store=store), 5, "symbolic link")


class TestConflict6:
    def test_a_step_that_verifies_is_not_saved_again(self, store: Path, rng_file: Path) -> None:
        refused(ckptkit("save", "a/run", "--step", "3", f"rng={rng_file}", store=store), 6, "a/run@3", "verifies")

    def test_a_damaged_step_makes_room(self, store: Path, rng_file: Path) -> None:
        damage(store, 3)
        assert ckptkit("save", "a/run", "--step", "3", f"rng={rng_file}", store=store).returncode == 0
        assert ckptkit("verify", store=store).returncode == 0

    def test_a_plan_that_is_not_the_reviewed_one_is_not_applied(self, store: Path) -> None:
        plan = json.loads(ckptkit("prune", "--keep-last", "2", "--format", "json", store=store).stdout)["plan"]
        done = ckptkit("prune", "--keep-last", "1", "--apply", "--plan", plan, store=store)
        assert done.returncode == 6
        assert len(list((store / "a" / "run").glob("step-*"))) == 3

    def test_a_destination_that_exists_is_not_overwritten(self, store: Path, rng_file: Path) -> None:
        refused(ckptkit("restore", "a/run", rng_file.parent, store=store), 6, "exists already")

    def test_undelete_does_not_replace_a_new_one(self, store: Path, rng_file: Path) -> None:
        ckptkit("prune", "--keep-last", "1", "--apply", store=store)
        ckptkit("save", "a/run", "--step", "1", f"rng={rng_file}", store=store)
        refused(ckptkit("undelete", "a/run@1", store=store), 6, "a/run@1")


class TestBackend7:
    def test_an_unknown_backend_is_named(self, rng_file: Path, tmp_path: Path) -> None:
        done = ckptkit("save", "r", "--step", "1", f"rng:nonsense={rng_file}", store=tmp_path / "s")
        refused(done, 7, "nonsense")

    def test_a_file_of_no_known_kind_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        done = ckptkit("save", "r", "--step", "1", f"x={tmp_path / 'notes.txt'}", store=tmp_path / "s")
        refused(
            done, 7, "notes.txt", "no installed backend recognises it; looked for a JSON file of generator states; "
        )
        assert "x:files=PATH keeps files of any kind" in done.stderr, "what works is named"
        done = ckptkit("save", "r", "--step", "1", f"x:files={tmp_path / 'notes.txt'}", store=tmp_path / "s")
        assert done.returncode == 0

    def test_a_backend_that_was_named_says_what_it_looks_for(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        done = ckptkit("save", "r", "--step", "1", f"x:sb3={tmp_path / 'notes.txt'}", store=tmp_path / "s")
        refused(done, 7, "notes.txt", "does not recognise it (it looks for a .zip of SB3's model.save)")
        assert "x:files=PATH" in done.stderr


class TestStore10:
    def test_a_store_that_is_missing(self, tmp_path: Path) -> None:
        for command in (["list"], ["verify"], ["prune", "--keep-last", "1"], ["resume-cmd", "r"], ["pin", "r@1"]):
            done = ckptkit(*command, store=tmp_path / "none")
            refused(done, 10, "does not exist")
            assert done.stdout == ""

    def test_a_store_that_is_a_file(self, tmp_path: Path, rng_file: Path) -> None:
        (tmp_path / "file").write_text("")
        refused(ckptkit("list", store=tmp_path / "file"), 10, "is a file")
        refused(ckptkit("save", "r", "--step", "1", f"rng={rng_file}", store=tmp_path / "file"), 10)

    @pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "s3:///x", "nonsense://x", "~nobody-here/x", "a\x1bb"])
    def test_a_store_that_cannot_be(self, url: str, tmp_path: Path) -> None:
        done = ckptkit("--store", url, "list", cwd=tmp_path)
        refused(done, 10)
        assert "secret" not in done.stderr
        assert "\x1b" not in done.stderr

    def test_a_device_that_is_full(self, store: Path) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*PROGRAM, "--store", str(store), "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert done.returncode == 10
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr


class TestLocked11:
    def test_a_run_that_another_process_holds(self, store: Path) -> None:
        import fcntl

        with (store / "a" / "run" / ".ckptkit" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            refused(ckptkit("prune", "--keep-last", "1", "--apply", store=store), 11, "a/run")
            assert ckptkit("verify", store=store).returncode == 0, "reading needs no lock"
        assert ckptkit("prune", "--keep-last", "1", "--apply", store=store).returncode == 0


class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_the_save_and_leaves_nothing(
        self, number: int, code: int, store: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "checkpoint-9"
        folder.mkdir()
        program = (  # a real save, of an item that takes its time
            "import sys, time\n"
            "from ckptkit import registry\n"
            "from ckptkit.cli import main\n"
            "backend = registry.get('numpy-rng')\n"
            "def slow(directory, *, context): print('saving', flush=True); time.sleep(100)\n"
            "type(backend).describe = lambda self, directory, *, context: slow(directory, context=context)\n"
            "main.run()\n"
        )
        (folder / "rng.json").write_text(
            json.dumps({"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0})
        )
        arguments = ["--store", str(store), "save", "a/run", "--step", "9", f"rng={folder / 'rng.json'}"]
        command = [sys.executable, "-c", program, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "saving\n"
            time.sleep(0.1)
            child.send_signal(number)
            _, stderr = child.communicate(timeout=60)
        assert child.returncode == code
        assert "Traceback" not in stderr
        assert list((store / "a" / "run" / ".ckptkit" / "staging").iterdir()) == []


class TestDebug:
    def test_a_traceback_only_with_debug(self, store: Path) -> None:
        assert "Traceback" not in ckptkit("show", "none", store=store).stderr
        with_debug = ckptkit("--debug", "show", "none", store=store)
        assert "Traceback" in with_debug.stderr
        assert with_debug.returncode == 4


def test_reports_of_damage_parse_in_every_format(store: Path, tmp_path: Path) -> None:
    damage(store, 2)
    (store / "a" / "run" / "step-00000001" / 'evil\x1b\x01<&>".txt').write_text("x")
    junit, sarif = tmp_path / "junit.xml", tmp_path / "out.sarif"
    done = ckptkit("verify", "--format", "json", "--junit", junit, "--sarif", sarif, store=store)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["schema_version"], report["exit_code"]) == ("1.0", 1)
    assert report["coverage"]["files"] == 3
    assert [c["result"] for c in report["checkpoints"]] == ["damaged", "damaged", "ok"]
    suites = ET.fromstring(junit.read_text(encoding="utf-8"))
    assert [s.get("failures") for s in suites] == ["1", "1", "0"]
    document = json.loads(sarif.read_text())
    assert document["version"] == "2.1.0"
    assert {r["ruleId"] for r in document["runs"][0]["results"]} == {"digest-mismatch", "file-extra"}
    assert len(ET.fromstring(ckptkit("verify", "--format", "junit", store=store).stdout)) == 3
    assert json.loads(ckptkit("verify", "--format", "sarif", store=store).stdout)["version"] == "2.1.0"
    assert len(json.loads(ckptkit("verify", "--format", "gitlab", store=store).stdout)) == 2
    github = ckptkit("verify", "--format", "github", store=store).stdout.splitlines()
    assert [line.split(" ")[0] for line in github] == ["::error"] * 3
    lines = [json.loads(line) for line in ckptkit("verify", "--format", "ndjson", store=store).stdout.splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for format_ in ("table", "tsv"):
        assert "\x1b" not in ckptkit("verify", "--format", format_, store=store).stdout


def test_an_empty_store_is_an_error_for_continuous_integration(tmp_path: Path) -> None:
    done = ckptkit("verify", "--format", "junit", store=tmp_path)
    assert done.returncode == 4
    assert ET.fromstring(done.stdout)[0].get("errors") == "1"
