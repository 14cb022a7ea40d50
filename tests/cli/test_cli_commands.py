"""What each command does when all is well."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import inside as ckptkit

from ckptkit import CheckpointStore


def ok(*arguments: str | Path, store: Path, **more: object) -> str:
    done = ckptkit(*arguments, store=store, **more)  # type: ignore[arg-type]  # passed on
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def document(*arguments: str | Path, store: Path) -> dict[str, object]:
    value = json.loads(ok(*arguments, "--format", "json", store=store))
    assert value["schema_version"] == "1.0"
    return dict(value)


def test_save_lists_and_verifies(rng_file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new store"
    path = ok(
        "save", "ppo/run1", "--step", "5000", f"rng={rng_file}", "--metric", "reward=187.5", "--counter", "episode=50",
        "--tag", "release", "--resume", "python train.py --from {path}", "--env", "WANDB_MODE", store=new,
    )  # fmt: skip
    assert path == f"{new}/ppo/run1/step-00005000\n"
    [one] = document("list", store=new)["checkpoints"]  # type: ignore[misc]
    assert one["metrics"] == {"reward": 187.5}
    assert one["tags"] == ["release"]
    assert one["counters"] == {"episode": 50}
    ok("verify", store=new)
    assert rng_file.exists(), "adopting copies"


def test_save_with_a_forced_backend_and_settings(rng_file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("lr: 0.1\napi_key: sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaa\n")
    ok("save", "r", "--step", "1", f"rng:numpy-rng={rng_file}", "--config", settings, store=tmp_path / "s")
    shown = document("show", "r@1", store=tmp_path / "s")["checkpoint"]
    assert shown["config"] == {"api_key": "***", "lr": 0.1}  # type: ignore[index]


def test_list_limits_sorts_and_filters(store: Path) -> None:
    ok("tag", "a/run@2", "keep", store=store)
    for arguments, steps in (
        (["list"], [1, 2, 3]),
        (["list", "--limit", "2"], [2, 3]),
        (["list", "--sort", "created"], [1, 2, 3]),
        (["list", "--tag", "keep"], [2]),
        (["list", "a/run"], [1, 2, 3]),
    ):
        assert [one["step"] for one in document(*arguments, store=store)["checkpoints"]] == steps  # type: ignore[attr-defined]


def test_list_of_a_run_that_is_not_there_exits_4(store: Path) -> None:
    assert ckptkit("list", "other", store=store).returncode == 4


def test_list_ndjson_has_a_line_per_checkpoint(store: Path) -> None:
    lines = ok("list", "--format", "ndjson", store=store).splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert all(json.loads(line)["schema_version"] == "1.0" for line in lines)


def test_show_tells_what_the_manifest_says(store: Path) -> None:
    text = ok("show", "a/run@latest", store=store)
    assert "step\t3\n" in text
    assert "items.rng.backend\tnumpy-rng (format 2)" in text
    assert document("show", "a/run@3", store=store)["checkpoint"]["step"] == 3  # type: ignore[index]


@pytest.mark.parametrize(("mode", "step"), [("max", 1), ("min", 3)])
def test_show_best_ranks_as_it_is_told(store: Path, mode: str, step: int) -> None:
    assert f"step\t{step}\n" in ok("show", "a/run@best", "--mode", mode, store=store)


def test_what_is_better_is_never_guessed(store: Path) -> None:
    done = ckptkit("show", "a/run@best", store=store)
    assert done.returncode == 2
    assert "is a higher or a lower 'loss' better?" in done.stderr


def test_what_is_better_may_stand_in_the_configuration(store: Path, tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("retention: {keep_best: 1, metric: loss, mode: min}\n")
    done = ckptkit("show", "a/run@best", store=store, cwd=tmp_path)
    assert "step\t3\n" in done.stdout


def test_verify_takes_references_and_latest_and_samples(store: Path) -> None:
    assert len(document("verify", "a/run@1", "a/run@3", store=store)["checkpoints"]) == 2  # type: ignore[arg-type]
    assert len(document("verify", "--latest", store=store)["checkpoints"]) == 1  # type: ignore[arg-type]
    assert len(document("verify", "--sample", "2/3", store=store)["checkpoints"]) == 1  # type: ignore[arg-type]
    assert len(document("verify", "--sample", "50%", store=store)["checkpoints"]) == 2  # type: ignore[arg-type]


def test_verify_replays_what_was_recorded_at_save(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save("r", 1, {"rng": np.random.default_rng(1)})
    [one] = document("verify", "r", "--level", "resume", store=tmp_path)["checkpoints"]  # type: ignore[misc]
    assert one["proofs"]["rng"]["verdict"] == "same"


@pytest.mark.parametrize("level", ["presence", "digest", "format"])
def test_verify_on_every_level(level: str, store: Path) -> None:
    assert document("verify", "a/run@3", "--level", level, store=store)["level"] == level


def test_prune_plans_then_removes_then_gives_back(store: Path) -> None:
    plan = document("prune", "--keep-last", "1", store=store)
    assert [one["action"] for one in plan["checkpoints"]] == ["remove", "remove", "keep"]  # type: ignore[attr-defined]
    assert all(one["reasons"] for one in plan["checkpoints"])  # type: ignore[attr-defined]
    assert len(document("list", store=store)["checkpoints"]) == 3, "a plan changes nothing"  # type: ignore[arg-type]
    ok("prune", "--keep-last", "1", "--apply", "--plan", str(plan["plan"]), store=store)
    assert [one["step"] for one in document("list", store=store)["checkpoints"]] == [3]  # type: ignore[attr-defined]
    ok("undelete", "a/run@1", store=store)
    ok("undelete", "a/run", store=store)
    ok("verify", store=store)
    assert len(document("list", store=store)["checkpoints"]) == 3  # type: ignore[arg-type]


def test_a_pinned_or_tagged_checkpoint_survives(store: Path) -> None:
    ok("pin", "a/run@1", store=store)
    ok("tag", "a/run@2", "paper", store=store)
    ok("prune", "--keep-last", "1", "--keep-tag", "paper", "--apply", store=store)
    assert len(document("list", store=store)["checkpoints"]) == 3  # type: ignore[arg-type]
    ok("unpin", "a/run@1", store=store)
    ok("tag", "a/run@2", "paper", "--remove", store=store)
    ok("prune", "--keep-last", "1", "--apply", store=store)
    assert [one["step"] for one in document("list", store=store)["checkpoints"]] == [3]  # type: ignore[attr-defined]


def test_resume_cmd_prints_one_line_for_the_newest(store: Path) -> None:
    folder = store / "a" / "run" / "step-00000003"
    line = ok("resume-cmd", "a/run", store=store)
    assert line == f"cd / && python train.py --resume {folder} --step=3\n"
    argv = ok("resume-cmd", "a/run", "--format", "argv0", "--", "--lr", "0.1 0.2", store=store)
    assert argv.split("\0")[:-1] == ["python", "train.py", "--resume", str(folder), "--step=3", "--lr", "0.1 0.2"]


def test_resume_cmd_survives_the_shell(store: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a $(touch pwned) `store` "x" *; & !'
    store.rename(odd)
    line = ok("resume-cmd", "a/run", "--template", "printf '%s\\0' {checkpoint}", store=odd)
    assert shlex.split(line.removeprefix("cd / && "))[-1] == str(odd / "a" / "run" / "step-00000003")


def test_resume_cmd_at_best(store: Path) -> None:
    assert "--step=1" in ok("resume-cmd", "a/run@best", "--metric", "loss", "--mode", "max", store=store)
    assert "--step=3" in ok("resume-cmd", "a/run@best", "--metric", "loss", "--mode", "min", store=store)


@pytest.mark.parametrize("format_", ["json", "slurm", "k8s"])
def test_resume_cmd_in_other_formats(format_: str, store: Path) -> None:
    assert "train.py" in ok("resume-cmd", "a/run", "--format", format_, store=store)


def test_restore_copies_to_a_new_folder(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "here"
    assert ok("restore", "a/run", target, store=store) == f"{target}\n"
    assert (target / "rng" / "rng.json").is_file()
    assert (target / "manifest.json").is_file()


def test_restore_into_the_current_empty_folder(store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ok("restore", "a/run@1", ".", store=store, cwd=tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.json").is_file()


def test_backends_lists_the_four(tmp_path: Path) -> None:
    names = [one["name"] for one in document("backends", store=tmp_path)["backends"]]  # type: ignore[attr-defined]
    assert {"numpy-rng", "sb3", "safetensors", "tf-data"} <= set(names)


def test_version_and_help_need_no_store(tmp_path: Path) -> None:
    assert ok("--version", store=tmp_path / "nowhere").startswith("ckptkit ")
    assert "resume-cmd" in ok("--help", store=tmp_path / "nowhere")
    assert "--keep-last" in ok("prune", "--help", store=tmp_path / "nowhere")


def test_quiet_says_nothing_on_stderr(store: Path) -> None:
    done = ckptkit("--quiet", "verify", store=store)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_store_comes_from_option_environment_or_configuration(store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "work" / "deep"
    elsewhere.mkdir(parents=True)
    expected = ckptkit("list", store=store).stdout
    assert len(expected.splitlines()) == 4
    assert ckptkit("list", "--store", store).stdout == expected
    assert ckptkit("list", env={"CKPTKIT_STORE": str(store)}).stdout == expected
    assert ckptkit("--store", "/nowhere", "list", "--store", store).stdout == expected, "the nearer one wins"
    assert ckptkit("list", store=store, env={"CKPTKIT_STORE": "/nowhere"}).stdout == expected
    (tmp_path / "work" / "ckptkit.yaml").write_text("store: ../store\n")
    assert ckptkit("list", cwd=elsewhere).stdout == expected
    assert ckptkit("list", cwd=elsewhere, env={"CKPTKIT_STORE": "/nowhere"}).returncode == 10
    (elsewhere / "ckptkit.yaml").unlink(missing_ok=True)
    assert ckptkit("list", cwd=tmp_path).returncode == 10, "./checkpoints does not exist there"
    store.rename(tmp_path / "checkpoints")
    assert ckptkit("list", cwd=tmp_path).stdout == expected


def test_the_last_column_of_a_list_says_pins_and_tags(store: Path) -> None:
    ok("pin", "a/run@2", store=store)
    ok("tag", "a/run@2", "paper", store=store)
    heading, *rows = ok("list", "--format", "tsv", store=store).splitlines()
    assert heading.split("\t")[-1] == "PINS, TAGS"
    assert [row.split("\t")[-1] for row in rows] == ["", "pinned,paper", ""]
    table = ckptkit("list", "--format", "table", store=store, env={"COLUMNS": "200"}).stdout
    assert "PINS, TAGS" in table.splitlines()[0]
    assert "pinned,paper" in table


def test_a_list_leaves_out_columns_until_it_fits_a_narrow_terminal(store: Path) -> None:
    wide = ckptkit("list", "--format", "table", store=store, env={"COLUMNS": "200"})
    assert "ITEMS" in wide.stdout
    assert wide.stderr == ""
    narrow = ckptkit("list", "--format", "table", store=store, env={"COLUMNS": "60"})
    lines = narrow.stdout.splitlines()
    assert len(lines) == len(wide.stdout.splitlines())
    assert max(map(len, lines)) <= 60
    assert "left out to fit the terminal: CREATED; METRICS" in narrow.stderr
    assert lines[0].split()[:3] == ["RUN", "STEP", "STATE"]  # whether it is whole is said at every width
