"""The policy example: checkpoints as the document draws them, killed, resumed as printed, and bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from ckptkit_numpy import GlobalRng
from safetensors.torch import load_file, save_file

from ckptkit.errors import (
    BackendError,
    CkptkitError,
    ConflictError,
    DamagedError,
    InconsistentSetError,
    NotFound,
    RefusedError,
    RunNameError,
    UnsafeContentError,
    UsageError,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lerobot_policy"
CKPTKIT = Path(sys.executable).with_name("ckptkit")
RUN, ID = "my_training_run", "ISdept/piper_arm"
DRAWN = ["optimizer_state.pth", "policy.safetensors", "postprocessor_config.json", "preprocessor_config.json"]
MODULES = ("train", "training", "policy", "dataset", "config", "checkpoints")
KILLER = """\
import os, runpy, signal, sys
event, mark, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def hook(name, args):
    global count
    if name == event and any(mark in str(a) for a in args):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[4:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and kills it at the count-th time that an audit event mentions a word."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with a smaller configuration: the documented command lines run in it as they are."""
    folder = tmp_path_factory.mktemp("example") / "lerobot_policy"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "outputs", "__pycache__"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"steps": 50, "save_every": 10, "log_every": 10, "eval_episodes": 1}
    config["policy"] |= {"hidden": 16, "diffusion_steps": 4}
    config["data"]["batch_size"] = 256  # 15 batches in an epoch
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def code(program: Path) -> Iterator[SimpleNamespace]:
    """The modules of the example, imported; other examples have modules of the same names."""
    before = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(program / "src"))
    threads = torch.get_num_threads()
    with GlobalRng():
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    torch.set_num_threads(threads)
    sys.path.remove(str(program / "src"))
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture(scope="module")
def whole(program: Path) -> str:
    """The digest of a run that was never interrupted, started from scratch as documented."""
    line = f"python src/train.py --output_dir ./outputs/{RUN} --dataset_id {ID}"
    done = subprocess.run(line, shell=True, cwd=program, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"note: data/{ID} is not there, and nothing is downloaded")
    return digest_in(done.stdout)


Train = Callable[..., dict[str, Any]]


@pytest.fixture
def here(program: Path, whole: str, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, in a store of its own."""
    shutil.copytree(program / "outputs", tmp_path / "outputs")
    return tmp_path / "outputs" / RUN


@pytest.fixture
def train(code: SimpleNamespace, program: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """``train`` of the example, in the folder of the example."""
    monkeypatch.chdir(program)
    return lambda output_dir=here, dataset_id=ID, **more: code.train.train(output_dir, dataset_id, **more)


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def digest_in(output: str) -> str:
    return next(line.removeprefix("digest ") for line in output.splitlines() if line.startswith("digest "))


def ckptkit(store: Path, *words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([CKPTKIT, "--store", store, *words], capture_output=True, text=True, timeout=60, cwd=cwd)


def listed(store: Path) -> list[int]:
    return [int(line.split("\t")[1]) for line in ckptkit(store, "list").stdout.splitlines()[1:]]


def keep_until(run: Path, step: int) -> Path:
    """Remove the checkpoints after a step, as if the run had been killed there; return the last one left."""
    for later in range(step + 10, 51, 10):
        shutil.rmtree(run / f"checkpoint-{later}")
    return run / f"checkpoint-{step}"


def as_older_trainer_left_it(run: Path, step: int) -> Path:
    """Replace the run by one checkpoint of the four drawn files, written with torch and safetensors alone."""
    old = run / f"checkpoint-{step}"
    weights, optimizer = load_file(old / "policy.safetensors"), torch.load(old / "optimizer_state.pth")
    configs = {name: (old / name).read_bytes() for name in DRAWN[2:]}
    shutil.rmtree(run)
    old.mkdir(parents=True)
    save_file(weights, old / "policy.safetensors")
    for group in optimizer["param_groups"]:
        del group["initial_lr"]  # what a schedule leaves there
    torch.save(optimizer, old / "optimizer_state.pth")
    for name, content in configs.items():
        (old / name).write_bytes(content)
    return old


# As documented


def test_checkpoints_are_written_as_drawn_with_the_manifest_beside(program: Path, whole: str) -> None:
    run = program / "outputs" / RUN
    assert sorted(p.name for p in run.glob("checkpoint-*")) == [f"checkpoint-{n}" for n in (10, 20, 30, 40, 50)]
    more = ["loader.json", "manifest.json", "observed.json", "rng.json", "scheduler_state.pth"]
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
    assert "step    44  since the checkpoint: exact" in done.stdout
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
    assert line == f"python src/train.py {expected}"

    # Killed when all of checkpoint-40 is written and flushed, but not committed.
    killed("os.rename", "checkpoint-40", 1, ["src/train.py", *line.split()[2:]])
    assert listed(store) == [10, 20, 30]
    assert not (run / "checkpoint-40").exists()

    line = ckptkit(store, "resume-cmd", RUN, cwd=program).stdout.strip()
    done = subprocess.run(line, shell=True, cwd=program, env=environment(), capture_output=True, text=True)
    assert digest_in(done.stdout) == whole
    assert listed(store) == [10, 20, 30, 40, 50]
    assert ckptkit(store, "verify").returncode == 0


def test_the_command_line_lists_verifies_prunes_and_takes_back(here: Path, train: Train, whole: str) -> None:
    store = here.parent
    assert ckptkit(store, "list").stdout.splitlines()[1].startswith(f"{RUN}\t10\tlisted\texact\t")
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


def test_the_four_files_of_an_older_trainer_resume_with_a_note(
    here: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    old = as_older_trainer_left_it(here, 40)
    done = train(resume_from_checkpoint=old)
    said = capsys.readouterr().out
    assert "at step 40: policy, preprocessor, postprocessor, optimizer\n" in said
    assert "note: it has no manifest, so nothing in it could be verified" in said
    assert "note: these start anew: data order, random generators\n" in said
    assert "note: the learning rate is that of step 40" in said
    assert done["step"] == 50
    assert listed(here.parent) == [50]
    steps = {int(entry["step"]) for entry in torch.load(here / "checkpoint-50/optimizer_state.pth")["state"].values()}
    assert steps == {50}


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
    with pytest.raises(NotFound, match=f"checkpoint-40: {name} is missing"):
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


# Bad input


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(here: Path, train: Train) -> None:
    with pytest.raises(NotFound, match="checkpoint-45: is not there") as caught:
        train(resume_from_checkpoint=here / "checkpoint-45")
    assert "checkpoint-10, checkpoint-20" in caught.value.hint


def test_a_name_without_a_step_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(UsageError, match="its name does not give the step"):
        train(resume_from_checkpoint=(here / "checkpoint-40").rename(here / "newest"))


def test_a_checkpoint_under_another_number_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(DamagedError, match="says step 40, but its name 'checkpoint-41' says 41"):
        train(resume_from_checkpoint=keep_until(here, 40).rename(here / "checkpoint-41"))


@pytest.mark.parametrize("name", DRAWN)
def test_a_missing_file_is_named(here: Path, train: Train, name: str) -> None:
    (here / "checkpoint-50" / name).unlink()
    with pytest.raises(DamagedError, match=f"@50: {name}: is missing"):
        train(resume_from_checkpoint=here / "checkpoint-50")


def test_a_lost_manifest_makes_no_older_checkpoint(here: Path, train: Train) -> None:
    last = keep_until(here, 40)
    (last / "manifest.json").unlink()
    with pytest.raises(DamagedError, match="checkpoint-40: lost its manifest"):
        train(resume_from_checkpoint=last)


def test_a_checkpoint_of_another_configuration_is_refused_field_by_field(
    here: Path, program: Path, train: Train, tmp_path: Path
) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["policy"]["hidden"], config["seed"], config["save_every"] = 32, 1, 25
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RefusedError) as caught:
        train(resume_from_checkpoint=here / "checkpoint-50", config=tmp_path / "other.yaml")
    expected = "checkpoint-50: was trained otherwise: policy.hidden: 16 in it, 32 here; seed: 42 in it, 1 here"
    assert caught.value.message == expected


def test_fine_tuning_another_network_is_refused(here: Path, program: Path, train: Train, tmp_path: Path) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["policy"]["hidden"] = 32
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(BackendError, match=r"24 of another shape: 'time.weight'"):
        train(
            here.with_name("tuned"),
            resume_from_checkpoint=here / "checkpoint-50",
            fine_tune=True,
            config=tmp_path / "other.yaml",
        )


def test_another_dataset_is_refused_field_by_field(here: Path, program: Path, train: Train, tmp_path: Path) -> None:
    shutil.copytree(program / "data" / ID, tmp_path / "data" / ID)
    (info := tmp_path / "data" / ID / "meta" / "info.json").write_text(info.read_text().replace('"0:20"', '"0:19"'))
    with pytest.raises(
        RefusedError, match=r"dataset.episodes: 20 in it, 19 here; dataset.frames: 4000 in it, 3800 here"
    ):
        train(resume_from_checkpoint=here / "checkpoint-50", data_root=tmp_path / "data")


def test_a_new_run_does_not_start_over_an_old_one(here: Path, train: Train) -> None:
    with pytest.raises(ConflictError, match="checkpoint-10: is there already, and verifies"):
        train()


def test_going_back_behind_a_good_checkpoint_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(ConflictError, match="checkpoint-40: is there already, and verifies") as caught:
        train(resume_from_checkpoint=here / "checkpoint-30")
    assert caught.value.hint.startswith("--resume_from_checkpoint")


def test_a_checkpoint_of_an_older_trainer_is_never_overwritten(here: Path, train: Train) -> None:
    as_older_trainer_left_it(here, 40)
    with pytest.raises(ConflictError, match="checkpoint-40: is there already, and has no manifest"):
        train()


def test_two_checkpoints_of_one_step_are_refused(here: Path, train: Train) -> None:
    shutil.copytree(here / "checkpoint-50", here / "a-copy-50")
    with pytest.raises(ConflictError, match="a-copy-50 claims the same step"):
        train(resume_from_checkpoint=here / "checkpoint-50")


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"fine_tune": True}, UsageError, "--fine_tune needs a checkpoint"),
        ({"steps": 0}, UsageError, "steps: Input should be greater than or equal to 1"),
        ({"dataset_id": "../elsewhere"}, UsageError, "dataset id '../elsewhere' is none"),
        ({"dataset_id": "a/b/c"}, UsageError, "dataset id 'a/b/c' is none"),
        ({"config": "nowhere.yaml"}, UsageError, "nowhere.yaml: cannot be read"),
        ({"output_dir": "out/.hidden"}, RunNameError, "'.hidden'"),
    ],
)
def test_absurd_calls_are_refused(
    here: Path, train: Train, more: dict[str, Any], kind: type[CkptkitError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train(**{"output_dir": here.with_name("new"), **more})
    assert not here.with_name("new").exists()


def test_a_run_shorter_than_its_checkpoint_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(UsageError, match=r"checkpoint-50 is beyond the end of the run \(40\)"):
        train(resume_from_checkpoint=here / "checkpoint-50", steps=40)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: {heads: 4}", r"policy.heads: Extra inputs are not permitted"),
        ("policy: {hidden: 0}", r"policy.hidden: Input should be greater"),
        ("- 1", "does not hold fields"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_configuration_names_the_field(code: SimpleNamespace, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        code.config.load_config(tmp_path / "config.yaml")


def test_the_configuration_file_shows_the_defaults(code: SimpleNamespace) -> None:
    assert code.config.load_config(EXAMPLE / "config.yaml") == code.config.Config()


def _no_info(root: Path) -> None:
    (root / "meta" / "info.json").unlink()


def _no_state(root: Path) -> None:
    path = root / "meta" / "info.json"
    path.write_text(path.read_text().replace('"observation.state"', '"observation.joints"'))


def _no_data(root: Path) -> None:
    next((root / "data").rglob("*.parquet")).unlink()


def _cut_data(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def _nan(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    table = pq.read_table(path)
    values = table.column("action").to_numpy().copy()
    values[7] = np.nan
    pq.write_table(table.set_column(table.schema.get_field_index("action"), "action", pa.array(values)), path)


def _lost_frame(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.filter(np.arange(len(table)) != 5), path)


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (_no_info, NotFound, "is not a LeRobot dataset"),
        (_no_state, DamagedError, "features has no 'observation.state'"),
        (_no_data, DamagedError, r"file-000.parquet: is not there"),
        (_cut_data, DamagedError, r"file-000.parquet: cannot be read"),
        (_nan, DamagedError, "'action' holds NaN or infinity"),
        (_lost_frame, DamagedError, "episode 0 does not hold its 200 frames in order"),
    ],
)
def test_a_damaged_dataset_is_told_by_file(
    program: Path,
    code: SimpleNamespace,
    whole: str,
    tmp_path: Path,
    damage: Callable[[Path], None],
    kind: type[CkptkitError],
    message: str,
) -> None:
    shutil.copytree(program / "data" / ID, tmp_path / ID)
    damage(tmp_path / ID)
    with pytest.raises(kind, match=message):
        code.dataset.read_frames(code.dataset.resolve(ID, tmp_path, print))


def test_the_program_tells_an_error_in_two_lines(
    here: Path, code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(here / "checkpoint-1")
    words = ["train.py", "--output_dir", str(here), "--dataset_id", ID, "--resume_from_checkpoint", path]
    monkeypatch.setattr(sys, "argv", words)
    assert code.train.main() == 4
    assert capsys.readouterr().err.startswith(f"error: {path}: is not there, or no folder\n  in {here}: checkpoint-10,")


def test_every_test_that_the_table_names_exists() -> None:
    folders = Path(__file__).parent, Path(__file__).parents[1] / "plugins"
    written = "".join(path.read_text() for folder in folders for path in folder.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (EXAMPLE / "COVERAGE.md").read_text())
    assert [name for name in named if f"def {name}(" not in written] == []
