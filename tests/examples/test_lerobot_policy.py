"""The policy example: checkpoints as the document draws them, killed and resumed as printed."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lerobot_example
import pytest
import torch
import yaml
from lerobot_example import (
    DRAWN,
    ID,
    KILLER,
    RUN,
    Train,
    as_older_trainer_left_it,
    ckptkit,
    digest_in,
    environment,
    keep_until,
    listed,
)
from safetensors.torch import load_file

from ckptkit.errors import (
    DamagedError,
    InconsistentSetError,
    NotFoundError,
    UnsafeContentError,
)

# pytest finds fixtures among the names of a module
code, here, program, train, whole = (
    getattr(lerobot_example, name) for name in ("code", "here", "program", "train", "whole")
)

# As documented


def test_checkpoints_are_written_as_drawn_with_the_manifest_beside(program: Path, whole: str) -> None:
    run = program / "outputs" / RUN
    assert sorted(p.name for p in run.glob("checkpoint-*")) == [f"checkpoint-{n}" for n in (10, 20, 30, 40, 50)]
    more = ["loader.json", "manifest.json", "module_state.json", "observed.json", "policy_record.json", "rng.json"]
    more.append("scheduler_state.pth")
    assert sorted(p.name for p in (run / "checkpoint-10").iterdir()) == sorted([*DRAWN, *more])
    assert not [p for p in run.rglob("*") if p.name.startswith(".") and p.name != ".ckptkit"]


def test_the_final_model_loads_without_ckptkit_and_acts(code: SimpleNamespace, program: Path, whole: str) -> None:
    run = program / "outputs" / RUN
    said, before, behind = (
        json.loads((run / n).read_text())
        for n in ("config.json", "preprocessor_config.json", "postprocessor_config.json")
    )
    shape = said["state_values"], said["action_values"]
    policy = code.policy.DiffusionPolicy(code.config.PolicyConfig(**said["policy"]), *shape)
    policy.load_state_dict(load_file(run / "policy.safetensors"))
    processors = code.policy.Processors(before, behind, *shape)
    actions = processors.back(policy.act(processors.state(torch.zeros(3, 3))))
    assert actions.shape == (3, 8, 1)
    assert actions.abs().max() <= 2


def test_the_command_line_of_the_document_resumes(program: Path, whole: str, tmp_path: Path) -> None:
    shutil.copytree(program / "outputs", program / "outputs-2")
    try:
        last = keep_until(program / "outputs-2" / RUN, 40).relative_to(program)
        line = f"python src/train.py --output_dir ./{last.parent} --dataset_id {ID} --resume_from_checkpoint ./{last}"
        done = subprocess.run(line, shell=True, cwd=program, env=environment(), capture_output=True, text=True)
    finally:
        shutil.rmtree(program / "outputs-2")
    assert "checkpoint-40 at step 40" in done.stdout, done.stderr
    assert "step    44  since the checkpoint: same" in done.stdout
    assert "step    50/50" in done.stdout
    assert digest_in(done.stdout) == whole


def test_the_python_of_the_document_trains_and_resumes(
    program: Path, code: SimpleNamespace, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program)
    from train import train

    first = train(output_dir="./outputs/from_python", dataset_id="ISdept/piper_arm")
    keep_until(program / "outputs" / "from_python", 30)
    second = train(
        output_dir="./outputs/from_python",
        dataset_id="ISdept/piper_arm",
        resume_from_checkpoint="./outputs/from_python/checkpoint-30",
    )
    shutil.rmtree(program / "outputs" / "from_python")
    assert first["digest"] == second["digest"] == whole
    assert first["mean_return"] == second["mean_return"]


@pytest.mark.parametrize("step", [10, 20, 50])
def test_resuming_from_any_checkpoint_ends_the_same(train: Train, here: Path, whole: str, step: int) -> None:
    last = keep_until(here, step)
    assert train(resume_from_checkpoint=last)["digest"] == whole


def test_a_run_killed_in_two_saves_and_resumed_as_printed_ends_the_same(program: Path, whole: str) -> None:
    store = program / "killed"
    words = ["src/train.py", "--output_dir", f"./killed/{RUN}", "--dataset_id", ID]

    def killed(event: str, mark: str, count: int, words: list[str]) -> None:
        command = [sys.executable, "-c", KILLER, event, mark, str(count), *words]
        done = subprocess.run(command, cwd=program, env=environment(), capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr

    # Killed in the third save: the policy is written, the place in the data is not.
    killed("os.mkdir", "checkpoint/data", 3, words)
    assert any((store / RUN / ".ckptkit/staging").glob("*/checkpoint/policy/policy.safetensors"))
    assert listed(store) == [10, 20]
    assert ckptkit(store, "verify").returncode == 0
    run = store.resolve() / RUN
    line = ckptkit(store, "resume-cmd", RUN, cwd=program).stdout.strip()
    expected = f"--output_dir {run} --dataset_id {ID} --resume_from_checkpoint {run}/checkpoint-20"
    assert line == f"cd {program} && python src/train.py {expected}"

    # Killed when all of checkpoint-40 is written and flushed, but not committed.
    killed("os.rename", "checkpoint-40", 1, ["src/train.py", *line.split()[5:]])
    assert listed(store) == [10, 20, 30]
    assert not (run / "checkpoint-40").exists()

    line = ckptkit(store, "resume-cmd", RUN, cwd=program).stdout.strip()
    done = subprocess.run(line, shell=True, cwd=program, env=environment(), capture_output=True, text=True)
    assert digest_in(done.stdout) == whole
    assert listed(store) == [10, 20, 30, 40, 50]
    assert ckptkit(store, "verify").returncode == 0


def test_the_command_line_lists_verifies_prunes_and_takes_back(here: Path, train: Train, whole: str) -> None:
    store = here.parent
    run, step, _, captured, *_ = ckptkit(store, "list").stdout.splitlines()[1].split("\t")
    assert (run, step, captured.partition(",")[0]) == (RUN, "10", "complete")
    assert ckptkit(store, "verify").returncode == 0
    assert ckptkit(store, "prune", RUN, "--keep-last", "1", "--apply").returncode == 0
    assert sorted(p.name for p in here.glob("checkpoint-*")) == ["checkpoint-50"]
    assert ckptkit(store, "undelete", f"{RUN}@20").returncode == 0
    shutil.rmtree(here / "checkpoint-50")
    assert ckptkit(store, "resume-cmd", RUN).stdout.rstrip().endswith(f"{here}/checkpoint-20")
    assert train(resume_from_checkpoint=here / "checkpoint-20")["digest"] == whole


def test_a_damaged_checkpoint_is_refused_by_name_and_makes_room_again(here: Path, train: Train, whole: str) -> None:
    path = here / "checkpoint-50" / "policy.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"@50: policy.safetensors: content differs"):
        train(resume_from_checkpoint=path.parent)
    done = ckptkit(here.parent, "resume-cmd", RUN)
    assert done.stdout.rstrip().endswith("checkpoint-40")
    assert "@50" in done.stderr
    assert train(resume_from_checkpoint=here / "checkpoint-40")["digest"] == whole
    assert ckptkit(here.parent, "verify").returncode == 0


def test_a_resumed_run_may_be_longer(here: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(resume_from_checkpoint=here / "checkpoint-50", steps=60)["step"] == 60
    assert "step    60/60" in capsys.readouterr().out
    template = json.loads((here / "checkpoint-60" / "manifest.json").read_text())["resume"]["argv"]
    assert template[template.index("--steps") + 1] == "60"


def test_another_output_folder_names_where_it_came_from(here: Path, train: Train) -> None:
    train(here.with_name("other"), resume_from_checkpoint=here / "checkpoint-40")
    manifest = json.loads((here.with_name("other") / "checkpoint-50" / "manifest.json").read_text())
    assert manifest["parent"] == {"run": RUN, "step": 40}


def test_the_older_layout_trains_and_resumes_too(
    program: Path, code: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program)
    make = [sys.executable, "make_dataset.py", str(tmp_path / "v2"), "--episodes", "3", "--layout", "v2.1"]
    subprocess.run(make, cwd=program, check=True, capture_output=True)
    common = {"dataset_id": "v2", "data_root": tmp_path, "steps": 12}
    first = code.train.train(tmp_path / "out" / "a", **common)
    shutil.rmtree(tmp_path / "out" / "a" / "checkpoint-12")
    again = code.train.train(tmp_path / "out" / "a", resume_from_checkpoint=tmp_path / "out/a/checkpoint-10", **common)
    assert again["digest"] == first["digest"]


# Fine-tuning, and checkpoints of an older trainer


def test_fine_tuning_takes_weights_and_processors_into_another_configuration(
    here: Path, program: Path, train: Train, tmp_path: Path
) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["optimizer"]["learning_rate"] = 0.0001
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    common = {"config": tmp_path / "other.yaml", "steps": 5}
    tuned = train(here.with_name("tuned"), resume_from_checkpoint=here / "checkpoint-50", fine_tune=True, **common)
    fresh = train(here.with_name("fresh"), **common)
    assert tuned["step"] == 5
    assert tuned["loss"] < fresh["loss"]
    for name in DRAWN[2:]:
        assert (here.with_name("tuned") / name).read_bytes() == (here / name).read_bytes()


def test_another_learning_rate_goes_on_at_the_step_of_the_checkpoint(
    here: Path, program: Path, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["optimizer"] |= {"learning_rate": 0.0001, "weight_decay": 0.5}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    done = train(
        here.with_name("other"),
        resume_from_checkpoint=here / "checkpoint-30",
        config=tmp_path / "other.yaml",
        change_config=True,
    )
    said = capsys.readouterr()
    assert "at step 30\nchanged: optimizer.learning_rate: 0.003 in it, 0.0001 here\n" in said.out
    assert "since the checkpoint" not in said.out
    assert done["step"] == 50
    assert listed(here.parent) == [10, 20, 30, 40, 50, 40, 50]
    group, was = (
        torch.load(folder / "checkpoint-50/optimizer_state.pth")["param_groups"][0]
        for folder in (here.with_name("other"), here)
    )
    assert group["weight_decay"] == 0.5
    assert group["lr"] == pytest.approx(was["lr"] / 30)  # the same place in the schedule
    other = here.with_name("other")
    parent = json.loads((other / "checkpoint-40/manifest.json").read_text())["parent"]
    assert parent == {"run": "my_training_run", "step": 30}
    again = train(
        other, resume_from_checkpoint=other / "checkpoint-40", config=tmp_path / "other.yaml", replace_newer=True
    )
    assert "since the checkpoint: same" in capsys.readouterr().out
    assert again["digest"] == done["digest"]


def test_the_four_files_of_an_older_trainer_resume_with_a_note(
    here: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    old = as_older_trainer_left_it(here, 40)
    done = train(resume_from_checkpoint=old)
    said = capsys.readouterr().out
    assert "at step 40: policy, preprocessor, postprocessor, optimizer\n" in said
    assert "note: it has no manifest, so nothing in it could be verified" in said
    assert "note: these start over: data order, random generators\n" in said
    assert "note: the learning rate is that of step 40" in said
    assert done["step"] == 50
    assert listed(here.parent) == [50]
    steps = {int(entry["step"]) for entry in torch.load(here / "checkpoint-50/optimizer_state.pth")["state"].values()}
    assert steps == {50}


def test_the_four_files_of_an_older_trainer_are_told_by_list_and_resume_once_adopted(
    here: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    old = as_older_trainer_left_it(here, 40)
    told = ckptkit(here.parent, "list", RUN).stderr.splitlines()
    assert told[-2] == f"{RUN}: 1 checkpoint has no manifest and cannot be listed: {old.name} (safetensors)"
    assert told[-1].endswith(f"ckptkit --store {here.parent} adopt {RUN}")
    assert ckptkit(here.parent, "adopt", RUN).returncode == 0
    assert listed(here.parent) == [40]
    assert train(resume_from_checkpoint=old)["step"] == 50
    said = capsys.readouterr().out
    assert "note: it was adopted" in said
    assert "note: these start over: data order, random generators\n" in said
    weights = old / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match=r"policy\.safetensors"):
        train(here.with_name("other"), resume_from_checkpoint=old)


def test_four_files_of_ours_stand_alone_too(here: Path, train: Train) -> None:
    alone = here.with_name("alone") / "checkpoint-40"
    alone.mkdir(parents=True)
    for name in DRAWN:
        shutil.copyfile(here / "checkpoint-40" / name, alone / name)
    assert train(alone.parent, resume_from_checkpoint=alone)["step"] == 50
    assert train(here.with_name("tuned"), resume_from_checkpoint=alone, fine_tune=True, steps=1)["step"] == 1


def test_an_older_checkpoint_without_processors_uses_the_statistics_of_the_dataset(
    here: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    old = as_older_trainer_left_it(here, 40)
    for name in DRAWN[2:]:
        (old / name).unlink()
    train(resume_from_checkpoint=old)
    said = capsys.readouterr().out
    assert "the preprocessor (from the dataset's statistics), the postprocessor (from the dataset's statistics)" in said


@pytest.mark.parametrize("name", DRAWN[:2])
def test_an_older_checkpoint_without_weights_or_optimizer_is_refused(here: Path, train: Train, name: str) -> None:
    old = as_older_trainer_left_it(here, 40)
    (old / name).unlink()
    with pytest.raises(NotFoundError, match=f"checkpoint-40: {name} is missing"):
        train(resume_from_checkpoint=old)


def test_an_older_checkpoint_under_another_number_is_refused(here: Path, train: Train) -> None:
    old = as_older_trainer_left_it(here, 40).rename(here / "checkpoint-30")
    with pytest.raises(InconsistentSetError, match="its name says step 30, its optimizer made 40"):
        train(resume_from_checkpoint=old)


def test_an_older_optimizer_that_would_run_code_is_refused(here: Path, train: Train) -> None:
    old = as_older_trainer_left_it(here, 40)
    torch.save({"state": {}, "param_groups": [], "run": print}, old / "optimizer_state.pth")
    with pytest.raises((UnsafeContentError, DamagedError), match=r"checkpoint-40: optimizer_state.pth: "):
        train(resume_from_checkpoint=old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "steps"}, "is not of the type 'normalize'"),
        ({"features": {}}, "with 'observation.state'"),
        ({"std": [0, 1, 1]}, "observation.state.std does not hold usable numbers"),
        ({"mean": [0, 1]}, "observation.state.mean has 2 values, the dataset 3"),
    ],
)
def test_a_processor_that_is_not_what_it_should_be_is_refused(
    here: Path, train: Train, change: dict[str, Any], message: str
) -> None:
    path = as_older_trainer_left_it(here, 40) / "preprocessor_config.json"
    config = json.loads(path.read_text())
    (config if "type" in change or "features" in change else config["features"]["observation.state"]).update(change)
    path.write_text(json.dumps(config))
    with pytest.raises(DamagedError, match=f"preprocessor_config.json: .*{message}"):
        train(resume_from_checkpoint=path.parent)
