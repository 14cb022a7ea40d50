"""The printed command works wherever it is pasted, and gives a trainer what the trainer itself wrote."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import safetensors.numpy
from command_line import inside as ckptkit
from conftest import write_rng

from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError
from ckptkit.manifest import names
from ckptkit.store import Details, wrote


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a space and a quote in its name, a script that says where it is, and what a trainer wrote."""
    import numpy as np

    place = tmp_path / "it's a project"
    place.mkdir()
    (place / "say.py").write_text("import os, sys; print(os.getcwd(), *map(os.path.exists, sys.argv[1:]))")
    out = place / "out" / "checkpoint-8"
    out.mkdir(parents=True)
    safetensors.numpy.save_file({"w": np.ones(2)}, out / "model.safetensors")
    (out / "config.json").write_text("{}")
    write_rng(place / "rng.json")
    return place


def save(project: Path, *words: str, run: str = "r", step: int = 8, env: dict[str, str] | None = None) -> list[str]:
    done = ckptkit("save", run, "--step", str(step), *words, store=Path("my ckpts"), cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def resume(project: Path, *words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    done = ckptkit("resume-cmd", *words, store=project / "my ckpts", cwd=cwd or project)
    assert done.returncode == 0, done.stderr
    return done


def argv(project: Path, *words: str) -> list[str]:
    return json.loads(resume(project, *words, "--format", "json").stdout)["argv"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("asked_in", ["project", "elsewhere"])
@pytest.mark.parametrize("template", ["python say.py {path}", "python say.py '{path}/model.safetensors'"])
def test_the_line_runs_from_any_folder(asked_in: str, template: str, project: Path, tmp_path: Path) -> None:
    save(project, "model=out/checkpoint-8", "--resume", template)
    line = resume(project, "r", cwd=project if asked_in == "project" else tmp_path).stdout
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", line], cwd="/", capture_output=True, text=True)
        assert done.stdout == f"{project} True\n", done.stderr


def test_a_run_that_was_adopted_in_place_knows_its_folder_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "my ckpts" / "r").mkdir(parents=True)
    file = Path(shutil.copy(project / "rng.json", project / "my ckpts" / "r" / "ep000008.json"))
    details = Details(resume=["python", "say.py", "{path}"])
    CheckpointStore(project / "my ckpts").adopt_in_place("r", "ep000008", {"rng": file}, details)
    done = subprocess.run(["sh", "-c", resume(project, "r").stdout], cwd="/", capture_output=True, text=True)
    assert done.stdout == f"{project} True\n"


def test_a_template_of_the_configuration_runs_in_its_folder(project: Path) -> None:
    save(project, "model=out/checkpoint-8")
    (project / "ckptkit.yaml").write_text("resume: python say.py {path}\n")
    (project / "deep").mkdir()
    line = resume(project, "r", cwd=project / "deep").stdout
    assert subprocess.run(["sh", "-c", line], cwd="/", capture_output=True, text=True).stdout == f"{project} True\n"


def test_a_folder_that_is_not_there_any_more_is_said_and_this_one_is_taken(project: Path, tmp_path: Path) -> None:
    save(project, "model=out/checkpoint-8", "--resume", "python say.py")
    moved = project.rename(tmp_path / "moved")
    done = resume(moved, "r")
    assert "which does not exist here; using this folder" in done.stderr
    assert done.stdout == f"cd {shlex.quote(str(moved))} && python say.py\n"


def test_a_variable_that_is_not_set_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(project, "model=out/checkpoint-8", "--resume", "python say.py", "--env", "SURELY_UNSET", "--env", "PATH")
    assert "the run had SURELY_UNSET set, which is not set here" in resume(project, "r").stderr
    assert "PATH," not in resume(project, "r").stderr


GIVEN = {
    "a folder": ("model=out/checkpoint-8", "model"),
    "a folder of one file": ("model=out/alone", "model"),
    "a file": ("model=out/checkpoint-8/model.safetensors", "model/model.safetensors"),
    "a folder of any files": ("any:files=out/checkpoint-8", "any"),
}


@pytest.mark.parametrize("what", GIVEN)
@pytest.mark.parametrize("flat", [False, True])
def test_path_is_what_the_trainer_wrote_and_checkpoint_its_folder(what: str, flat: bool, project: Path) -> None:
    (project / "out" / "alone").mkdir()
    shutil.copy(project / "out" / "checkpoint-8" / "model.safetensors", project / "out" / "alone")
    word, place = GIVEN[what]
    name = word.partition("=")[0].partition(":")[0]
    fields = f"{{path}} {{items.{name}}} {{checkpoint}}"
    save(project, word, "--resume", f"x {fields}", *(["--flat"] if flat else []))
    folder = project / "my ckpts" / "r" / "step-00000008"
    if flat:
        place = place.partition("/")[2]
    path, item, checkpoint = argv(project, "r")[1:]
    assert (path, item, checkpoint) == (str(folder / place), str(folder / place), str(folder))
    assert Path(path).exists()


def test_path_is_the_prefix_of_a_bundle_where_a_prefix_was_given(project: Path) -> None:
    files = {name: project / name for name in ("ckpt-8.index", "ckpt-8.data-00000-of-00001")}
    assert wrote.place("data", project / "ckpt-8", files) == "data/ckpt-8"
    names.check_given("data/ckpt-8", "data", [f"data/{name}" for name in files])


@pytest.mark.parametrize("path", ["data/ckpt", "dat", "../data", "/data", "data/ckpt-8.index/x", "other", "."])
def test_a_manifest_cannot_say_that_an_item_lies_elsewhere(path: str) -> None:
    with pytest.raises(CkptkitError):
        names.check_given(path, "data", ["data/ckpt-8.index", "data/ckpt-8.data-00000-of-00001"])


def test_with_more_than_one_item_path_is_the_folder_and_save_says_where_the_files_are(project: Path) -> None:
    two = ("model=out/checkpoint-8", "rng=rng.json")
    said = save(project, *two, "--resume", "python say.py --resume={path}")
    assert [line for line in said if "resume template" in line] == [
        "the resume template gives {path}, the checkpoint's folder; "
        "the trainer's files are in {items.model}, {items.rng}"
    ]
    assert argv(project, "r")[-1].endswith("step-00000008")


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        (["model=out/checkpoint-8", "--resume", "x {path}"], False),
        (["model=out/checkpoint-8", "--resume", "x {checkpoint}"], True),
        (["model=out/checkpoint-8", "--resume", "x {checkpoint}/model"], False),
        (["model=out/checkpoint-8", "--flat", "--resume", "x {checkpoint}"], False),
        (["model=out/checkpoint-8", "--resume", "x out/checkpoint-8"], True),
        (["model=out/checkpoint-8", "--resume", "x --from=out/checkpoint-8"], True),
        (["model=out/checkpoint-8", "--resume", "x {run}@{step} {{path}}"], False),
        (["model=out/checkpoint-8", "rng=rng.json", "--resume", "x {items.model} {path}"], False),
    ],
)
def test_save_warns_where_a_template_names_what_the_files_are_not_in(
    words: list[str], warns: bool, project: Path
) -> None:
    said = [line for line in save(project, *words) if "the resume template" in line]
    assert bool(said) == warns, said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("x {path}/modle.safetensors", "there is no 'modle.safetensors' in {path}; did you mean 'model.safetensors'?"),
        ("x --from={items.model}/modle.safetensors", "there is no 'modle.safetensors' in {items.model}; did you"),
        ("x {checkpoint}/modell/", "there is no 'modell' in {checkpoint}; did you mean 'model'?"),
        ("sh -c 'x {path}/gone.pt --lr 1'", "there is no 'gone.pt' in {path}"),
        ("x {path}/at-{step}.pt", "there is no 'at-8.pt' in {path}"),
        ("x {path}/" + "n" * 5_000, "there is no 'nnn"),
        ("x {items.modle}", "the resume template has no field {items.modle}"),
        ("x {metrics.loss}", "the resume template has no field {metrics.loss}"),
        ("x {path}/model.safetensors", None),
        ("sh -c 'x {path}/model.safetensors --lr 1'", None),
        ("x {checkpoint}/model/model.safetensors", None),
        ("x {path}/", None),
        ("x {path}/*.pt", None),
        ("x {path}/{path}", None),
    ],
)
def test_save_warns_of_a_file_or_field_that_is_not_there(template: str, said: str | None, project: Path) -> None:
    lines = [line for line in save(project, "model=out/checkpoint-8", "--resume", template) if "template" in line]
    assert [said in line for line in lines if said] == ([True] if said else [])
    assert bool(lines) == bool(said), lines


def test_save_warns_of_a_name_behind_a_path_that_is_a_file(project: Path) -> None:
    said = save(project, "rng=rng.json", "--resume", "x {path}/rng.json")
    assert any("there is no 'rng.json' in {path}, which is a file" in line for line in said), said


def test_a_checkpoint_that_says_no_command_takes_that_of_its_run_for_its_own_paths(project: Path) -> None:
    save(project, "model=out/checkpoint-8", "--resume", "python say.py {path} --step {step}", step=8)
    save(project, "rng=rng.json", "--resume", "python other.py", step=2)
    shutil.copytree(project / "out" / "checkpoint-8", project / "out" / "checkpoint-9")
    save(project, "model=out/checkpoint-9", step=9)
    done = resume(project, "r")
    assert "r@9 has no resume command; using that of r@8" in done.stderr
    folder = project / "my ckpts" / "r" / "step-00000009" / "model"
    assert done.stdout.endswith(f"&& python say.py {shlex.quote(str(folder))} --step 9\n")
    assert argv(project, "r@9", "--template", "python now.py")[-1] == "now.py"
    (project / "ckptkit.yaml").write_text("resume: python configured.py\n")
    assert argv(project, "r@9")[-1] == "configured.py"


def test_a_run_that_never_said_a_command_says_so(project: Path) -> None:
    save(project, "model=out/checkpoint-8")
    done = ckptkit("resume-cmd", "r", store=project / "my ckpts", cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing says how to resume it" in done.stderr


def test_a_manifest_that_was_written_before_keeps_its_meaning(project: Path) -> None:
    frozen = Path(__file__).parents[1] / "compat" / "frozen"
    place = next(path.parent for path in sorted(frozen.rglob("manifest.json")))
    manifest = json.loads((place / "manifest.json").read_text())
    store = next(p for p in place.parents if (p / manifest["run"]).is_dir())
    done = ckptkit("resume-cmd", f"{manifest['run']}@{manifest['step']}", "--template", "x {path}", store=store)
    assert done.stdout.endswith(f"x {shlex.quote(str(place))}\n"), done.stderr
