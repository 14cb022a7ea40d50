"""`ckptkit adopt`: what trainers wrote is found, judged, told with the reason, and given manifests where it lies."""

import json
import os
import shlex
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from adopting import adopt, refs, states
from adopting import command as resume_command
from command_line import inside, refused
from foreign_files import episode, half_hugging_face, hugging_face, lightning, safetensors, torch_like, tree
from nobody import as_nobody


def test_a_folder_is_searched_however_deep_and_its_whole_checkpoints_get_manifests(tmp_path: Path) -> None:
    out = tmp_path / "out"
    deep = out / "2026-11-27/12-30-00/seed 3"
    for step in (4, 8):
        hugging_face(deep, step, loss=1 / step)
    half_hugging_face(deep, 12)
    torch_like(out / "plain/model.pt")
    before = tree(out)
    code, found, said = adopt(out)
    assert code == 0
    assert states(found) == {
        "checkpoint-4": ("complete", "adopted"),
        "checkpoint-8": ("complete", "adopted"),
        "checkpoint-12": ("incomplete", "left"),
        "model.pt": ("complete", "adopted"),
    }
    half = next(one for one in found if one["state"] == "incomplete")
    assert half["reasons"] == ["trainer_state.json is not there, and the Trainer writes it last"]
    assert tree(out) == before, "no file of a trainer was changed"
    run = "2026-11-27/12-30-00/seed 3"
    assert refs(out) == [f"{run}@4", f"{run}@8", "plain@7"]
    assert "3 manifests written" in said
    assert inside("verify", store=out).returncode == 0


def test_what_to_type_next_is_printed_and_works(tmp_path: Path) -> None:
    hugging_face(tmp_path / "my out/run", 4)
    said = inside("adopt", tmp_path / "my out").stderr.splitlines()
    commands = [shlex.split(line)[1:] for line in said[said.index("next:") + 1 :]]
    assert [command[2] for command in commands] == ["list", "resume-cmd"]
    for command in commands:
        assert inside(*command).returncode == 0, command


def test_adopting_again_takes_what_is_new_and_touches_nothing_else(tmp_path: Path) -> None:
    hugging_face(tmp_path, 4)
    adopt(tmp_path)
    manifest = tmp_path / "checkpoint-4@4.manifest.json"
    before = manifest.stat().st_mtime_ns
    hugging_face(tmp_path, 8)
    code, found, _ = adopt(tmp_path)
    assert (code, states(found)) == (
        0,
        {"checkpoint-4": ("complete", "kept"), "checkpoint-8": ("complete", "adopted")},
    )
    assert manifest.stat().st_mtime_ns == before


def test_a_file_that_its_trainer_wrote_anew_is_another_checkpoint(tmp_path: Path) -> None:
    kept = torch_like(tmp_path / "last.pt")
    adopt(tmp_path)
    assert refs(tmp_path) == [".@7"]
    rewrite(kept, 9)
    code, found, _ = adopt(tmp_path)
    assert (code, [(one["step"], one["action"]) for one in found]) == (0, [(9, "adopted")])
    assert refs(tmp_path) == [".@9"]
    assert inside("verify", store=tmp_path).returncode == 0


def rewrite(path: Path, step: int) -> None:
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["archive/data.pkl"] = members["archive/data.pkl"].replace(b"K\x07s.", bytes([75, step]) + b"s.")
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


def test_a_manifest_whose_checkpoint_the_trainer_removed_is_cleared(tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path, step)
    adopt(tmp_path)
    shutil.rmtree(tmp_path / "checkpoint-4")
    code, _, said = adopt(tmp_path)
    assert code == 0
    assert "checkpoint-4" in said
    assert not (tmp_path / "checkpoint-4@4.manifest.json").exists()
    assert refs(tmp_path) == [".@8"]


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    hugging_face(tmp_path, 4)
    cut = hugging_face(tmp_path, 8) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-3])
    before = tree(tmp_path, ours=True)
    code, found, said = adopt(tmp_path, "--dry-run")
    assert (code, states(found)) == (
        0,
        {"checkpoint-4": ("complete", "new"), "checkpoint-8": ("incomplete", "left")},
    )
    assert "nothing was written" in said
    assert tree(tmp_path, ours=True) == before
    assert not (tmp_path / ".ckptkit").exists()
    assert states(adopt(tmp_path)[1])["checkpoint-8"] == ("incomplete", "left")


def test_where_nothing_is_whole_it_is_exit_1(tmp_path: Path) -> None:
    half_hugging_face(tmp_path, 4)
    code, found, said = adopt(tmp_path)
    assert (code, states(found)) == (1, {"checkpoint-4": ("incomplete", "left")})
    assert "next:" not in said


def test_where_nobody_recognises_anything_it_is_exit_4_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    done = inside("adopt", tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "looked at 1 file in 1 folder" in done.stderr
    for word in (
        "Hugging Face Trainer: folders checkpoint-N",
        "Lightning: ",
        "Stable-Baselines3: files NAME_N_steps.zip",
    ):
        assert word in done.stderr


def test_what_does_not_exist_is_exit_4(tmp_path: Path) -> None:
    refused(inside("adopt", tmp_path / "nowhere"), 4, "does not exist")
    (tmp_path / "last").symlink_to("000010")
    refused(inside("adopt", tmp_path / "last"), 4, "is a link to 000010, which does not exist")


def test_two_trainers_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    hugging_face(tmp_path, 4)
    torch_like(tmp_path / "mine.pt")
    code, found, _ = adopt(tmp_path)
    assert code == 0
    assert {(one["trainer"], one["step"]) for one in found} == {("hf_trainer", 4), ("torch_file", 7)}
    assert refs(tmp_path) == [".@4", ".@7"]


def test_a_step_that_two_claim_is_the_first_ones_and_the_other_is_told_the_way_out(tmp_path: Path) -> None:
    hugging_face(tmp_path, 7)
    torch_like(tmp_path / "mine.pt")
    code, found, said = adopt(tmp_path)
    assert (code, states(found)) == (
        3,
        {"checkpoint-7": ("complete", "adopted"), "mine.pt": ("complete", "refused")},
    )
    assert "mine.pt: two claim one step: move one of them to a folder of its own" in said
    assert states(adopt(tmp_path)[1])["checkpoint-7"] == ("complete", "kept"), "the same again"


def test_a_copy_that_a_trainer_calls_its_last_is_not_adopted_again(tmp_path: Path) -> None:
    kept = torch_like(tmp_path / "step_7.pt")
    shutil.copy(kept, tmp_path / "last.pt")
    code, found, _ = adopt(tmp_path)
    assert (code, states(found)) == (0, {"step_7.pt": ("complete", "adopted"), "last.pt": ("complete", "copy")})
    assert refs(tmp_path) == [".@7"]


def test_a_last_that_points_nowhere_is_told_and_links_are_never_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hugging_face(out / "a", 4)
    (out / "a" / "last").symlink_to("checkpoint-99")
    (out / "a" / "round").symlink_to("..")
    (out / "b").symlink_to("a")
    code, found, said = adopt(out)
    assert (code, [one["run"] for one in found]) == (0, ["a"])
    assert "last: is a link to checkpoint-99, which does not exist" in said


def test_ten_thousand_stray_files_cost_little_and_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    hugging_face(tmp_path / "run", 4)
    hugging_face(tmp_path / ".cache", 5)
    stray = tmp_path / "logs"
    stray.mkdir()
    for number in range(10_000):
        os.mknod(stray / f"{number:04x}-{number}.txt")
    began = time.process_time()
    code, found, _ = adopt(tmp_path)
    assert (code, [one["run"] for one in found]) == (0, ["run"])
    assert time.process_time() - began < 4  # seconds; a look at each content would take minutes


def test_half_of_a_checkpoint_that_was_adopted_is_told(tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path, step)
    adopt(tmp_path)
    (tmp_path / "checkpoint-8/model.safetensors").unlink()
    code, found, _ = adopt(tmp_path)
    assert (code, states(found)["checkpoint-8"]) == (0, ("incomplete", "left"))
    line = inside("resume-cmd", ".", store=tmp_path)
    assert "skipped .@8" in line.stderr
    assert line.stdout.endswith(f"{tmp_path}/checkpoint-4\n")


def test_names_that_control_a_terminal_are_shown_escaped(tmp_path: Path) -> None:
    torch_like(tmp_path / "bad\n\x1b[31mrun" / "model.pt")
    hugging_face(tmp_path / "good", 4)
    done = inside("adopt", tmp_path)
    assert done.returncode == 3
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert refs(tmp_path) == ["good@4"]


def test_content_that_would_run_code_is_not_adopted(tmp_path: Path) -> None:
    hugging_face(tmp_path / "good", 4)
    bad = hugging_face(tmp_path / "bad", 4)
    (bad / "training_args.bin").write_bytes(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.")
    code, found, said = adopt(tmp_path)
    assert (code, {one["run"]: one["action"] for one in found}) == (3, {"bad": "refused", "good": "adopted"})
    unsafe = next(one for one in found if one["run"] == "bad")
    assert "system" in unsafe["error"]["message"]
    assert (unsafe["state"], "save" in unsafe["error"]["hint"]) == ("unknown", True)
    assert adopt(tmp_path / "bad")[0] == 5, said


def test_a_single_checkpoint_is_adopted_into_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 4)
    hugging_face(tmp_path, 8)
    code, found, _ = adopt(folder)
    assert (code, states(found)) == (0, {"checkpoint-4": ("complete", "adopted")})
    assert refs(tmp_path) == [".@4"]


def test_a_step_that_nobody_can_tell_is_given_by_hand(tmp_path: Path) -> None:
    file = safetensors(tmp_path / "policy.safetensors")
    code, found, said = adopt(file)
    assert (code, states(found)) == (3, {"policy.safetensors": ("unknown", "refused")})
    assert f"give its step: ckptkit adopt {file} --step N" in said
    assert adopt(file, "--step", "500")[0] == 0
    assert refs(tmp_path) == [".@500"]
    hugging_face(tmp_path, 4)
    refused(inside("adopt", tmp_path, "--step", "5"), 2, "is not a single checkpoint")


def test_a_run_of_the_store_is_adopted_by_its_name(tmp_path: Path) -> None:
    store = tmp_path / "my ckpts"
    for number in (50, 100):
        episode(store / "ppo/run1", number)
    nothing, what, how = inside("list", store=store).stderr.splitlines()
    assert nothing == "no checkpoints"
    assert what.startswith("ppo/run1: 2 checkpoints have no manifest and cannot be listed: ep000050.safetensors, ")
    assert inside(*shlex.split(how.partition(": ckptkit ")[2])).returncode == 0
    assert refs(store) == ["ppo/run1@50", "ppo/run1@100"]
    assert inside("list", store=store).stderr == ""


def test_a_folder_comes_before_a_run_of_the_same_name_and_it_is_said(tmp_path: Path) -> None:
    hugging_face(tmp_path / "store/run", 4)
    hugging_face(tmp_path / "run", 8)
    code, found, said = adopt("run", store=Path("store"), cwd=tmp_path)
    assert code == 0
    assert found[0]["path"] == str(tmp_path / "run/checkpoint-8")
    assert "run is a folder here and a run of store; the folder is meant" in said


def test_a_run_is_called_by_its_folder_and_another_name_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    hugging_face(tmp_path / "exp/bert", 4)
    assert adopt(tmp_path / "exp/bert", "--run", "exp/bert")[0] == 0
    assert refs(tmp_path) == ["exp/bert@4"]
    done = inside("adopt", tmp_path / "exp/bert", "--run", "mine")
    refused(done, 2, "--run mine: manifests beside the files name runs by their folders")
    assert "--manifests store" in done.stderr
    store = tmp_path / "store"
    assert adopt(tmp_path / "exp/bert", "--run", "mine", "--manifests", "store", store=store)[0] == 0
    assert refs(store) == ["mine@4"]


def test_inside_a_store_manifests_go_there_under_the_name_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("store: outputs\n")
    hugging_face(tmp_path / "outputs/bert/a", 4)
    done = inside("adopt", "outputs/bert", cwd=tmp_path)
    assert done.returncode == 0
    assert refs(tmp_path / "outputs") == ["bert/a@4"]
    assert "  ckptkit list" in done.stderr.splitlines(), "the store need not be named"


def test_manifests_apart_from_the_files_leave_the_folder_as_it_was(tmp_path: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    for step in (4, 8):
        hugging_face(out / "a", step)
    before = tree(out, ours=True)
    assert adopt(out, "--manifests", "store", store=store)[0] == 0
    assert tree(out, ours=True) == before
    assert refs(store) == ["out/a@4", "out/a@8"]
    line = inside("resume-cmd", "out/a", store=store).stdout
    assert line.endswith(f"--resume_from_checkpoint {out}/a/checkpoint-8\n")


def test_where_a_folder_cannot_be_written_to_the_manifests_go_into_the_store(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        hugging_face(root / "out", 4)
        (root / "work").mkdir()
        (root / "work").chmod(0o777)
        hugging_face(root / "warm", 4)
        (root / "out").chmod(0o555)
        words, warm = ("adopt", root / "out"), ("adopt", root / "warm")
        done = as_nobody(words, warm=warm, cwd=root / "work", home=root)
        assert done.returncode == 0, done.stderr
        assert f"{root}/out cannot be written to: the manifests go into the store checkpoints" in done.stderr
        assert refs(root / "work/checkpoints") == ["out@4"]
        (root / "out").chmod(0o755)


def test_metrics_of_the_trainer_are_there_for_best(tmp_path: Path) -> None:
    for step, loss in ((4, 0.3), (8, 0.7)):
        hugging_face(tmp_path, step, eval_loss=loss)
    adopt(tmp_path)
    found = inside("resume-cmd", ".@best", "--metric", "eval_loss", "--mode", "min", store=tmp_path)
    assert found.stdout.endswith("checkpoint-4\n"), found.stderr


def test_what_the_trainer_calls_the_best_is_the_best_without_options(tmp_path: Path) -> None:
    for step, loss in ((4, 0.5), (8, 0.25), (12, 0.75)):
        lightning(tmp_path, step, loss)
    adopt(tmp_path)
    best = json.loads(inside("show", ".@best", "--format", "json", store=tmp_path).stdout)["checkpoint"]
    assert best["step"] == 8
    planned = json.loads(inside("prune", "--keep-best", "1", "--format", "json", store=tmp_path).stdout)
    assert [(one["ref"], one["action"]) for one in planned["checkpoints"]] == [
        (".@4", "remove"), (".@8", "keep"), (".@12", "keep"),
    ]  # fmt: skip
    done = inside("show", ".@best", "--metric", "los", "--mode", "min", store=tmp_path)
    assert "has a finite metric 'los' (it has val_loss)" in done.stderr


def test_the_best_of_a_run_whose_trainer_says_none_is_asked_for(tmp_path: Path) -> None:
    hugging_face(tmp_path, 4, eval_loss=0.5)
    adopt(tmp_path)
    refused(inside("prune", "--keep-best", "1", store=tmp_path), 2, ".: keep the best by which metric?")


def test_pruned_and_taken_back_it_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    for step in (4, 8, 12):
        hugging_face(tmp_path, step)
    (tmp_path / "notes.txt").write_text("mine")
    adopt(tmp_path)
    before = tree(tmp_path)
    assert inside("prune", ".", "--keep-last", "1", "--apply", store=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("checkpoint-")) == [
        "checkpoint-12",
        "checkpoint-12@12.manifest.json",
    ]
    for step in (4, 8):
        assert inside("undelete", f".@{step}", store=tmp_path).returncode == 0
    assert tree(tmp_path) == before
    assert inside("verify", store=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"), [(("--keep-last", "3"), "is for --watch"), (("--watch", "--dry-run"), "together")]
)
def test_words_that_do_not_go_together_are_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    hugging_face(tmp_path, 4)
    refused(inside("adopt", tmp_path, *words), 2, said)


def test_a_file_that_was_damaged_since_gets_no_new_manifest(tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path, step)
    adopt(tmp_path)
    safetensors(tmp_path / "checkpoint-8/model.safetensors", 99)
    code, found, _ = adopt(tmp_path)
    assert (code, states(found)["checkpoint-8"]) == (0, ("incomplete", "left"))
    assert "was changed after it was adopted, and the rest was not" in found[-1]["reasons"][0]
    assert resume_command(tmp_path)[0].endswith("checkpoint-4")


def test_a_manifest_is_withdrawn_when_half_of_a_further_file_appears(tmp_path: Path) -> None:
    place = tmp_path / "r"
    place.mkdir()
    torch_like(place / "rl_model_50_steps.zip")
    adopt(tmp_path)
    assert refs(tmp_path) == ["r@50"]
    (place / "rl_model_replay_buffer_50_steps.pkl").write_bytes(b"\x80\x04half")
    assert adopt(tmp_path, "--dry-run")[0] == 1
    assert refs(tmp_path) == ["r@50"]
    code, found, said = adopt(tmp_path)
    assert (code, states(found)) == (1, {"rl_model_50_steps.zip": ("incomplete", "left")})
    assert "r@50: rl_model_50_steps.zip: its trainer is still writing it; its manifest was cleared away" in said
    assert not list(place.glob("*.manifest.json"))


def test_a_training_in_a_checkpoint_of_another_is_not_taken_with_it(tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path / "run", step)
    hugging_face(tmp_path / "run" / "checkpoint-4" / "ft", 2)
    code, found, said = adopt(tmp_path)
    assert (code, states(found)["checkpoint-4"]) == (3, ("complete", "refused"))
    assert f"move it out, or adopt it by itself: ckptkit adopt {tmp_path / 'run/checkpoint-4/ft'}" in said
    assert refs(tmp_path) == ["run@8"]
