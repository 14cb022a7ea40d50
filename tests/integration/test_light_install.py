"""With the core's own dependencies alone, checkpoints of all four kinds are listed, verified, pruned and resumed."""

import json
from pathlib import Path

import command_line
import four_kinds
import pytest
from command_line import refused

ROOT = Path(__file__).parents[2]
LIGHT = ROOT / ".venv-light" / "bin" / "ckptkit"


@pytest.fixture(autouse=True)
def _there_is_a_light_environment() -> None:
    if not LIGHT.exists():
        pytest.fail(f"{LIGHT} is missing: run `make setup` (it holds the core's own dependencies only)")
    for framework in ("torch", "tensorflow", "numpy", "safetensors", "stable_baselines3", "gymnasium"):
        found = [*(LIGHT.parents[1] / "lib").glob(f"python3*/site-packages/{framework}")]
        assert found == [], f"the light environment must not hold {framework}"


def light(*arguments: str | Path, store: Path) -> str:
    done = command_line.ckptkit(*arguments, store=store, program=[str(LIGHT)])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_list_and_show(four_kinds_store: Path) -> None:
    listed = json.loads(light("list", "--format", "json", store=four_kinds_store))
    assert [c["items"] for c in listed["checkpoints"]] == [four_kinds.ITEMS] * 2
    assert "items.agent.backend\tsb3" in light("show", f"{four_kinds.RUN}@20", store=four_kinds_store)


def test_verify_looks_at_the_structure_of_every_kind(four_kinds_store: Path) -> None:
    report = json.loads(light("verify", "--format", "json", store=four_kinds_store))
    assert report["level"] == "format"
    assert [(c["result"], c["problems"]) for c in report["checkpoints"]] == [("ok", [])] * 2


def test_verify_finds_damage_in_every_kind(four_kinds_store: Path) -> None:
    folder = four_kinds_store / four_kinds.RUN / "step-00000020"
    for item in four_kinds.ITEMS:
        path = sorted((folder / item).iterdir())[0]
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        done = command_line.ckptkit("verify", "--latest", store=four_kinds_store, program=[str(LIGHT)])
        assert done.returncode == 1
        assert f"{item}/{path.name}" in done.stdout
        path.write_bytes(data)


def test_prune_and_undelete(four_kinds_store: Path) -> None:
    light("prune", "--keep-last", "1", "--apply", store=four_kinds_store)
    assert len(light("list", store=four_kinds_store).splitlines()) == 2
    light("undelete", four_kinds.RUN, store=four_kinds_store)
    assert len(light("list", store=four_kinds_store).splitlines()) == 3


def test_resume_cmd(four_kinds_store: Path) -> None:
    folder = four_kinds_store / four_kinds.RUN / "step-00000020"
    line = light("resume-cmd", four_kinds.RUN, store=four_kinds_store)
    assert f"--resume {folder} --agent={folder}/agent --step 20" in line


def test_backends_says_what_to_install(four_kinds_store: Path) -> None:
    found = json.loads(light("backends", "--format", "json", store=four_kinds_store))["backends"]
    states = {b["name"]: b["state"] for b in found}
    assert {name: states[name] for name in four_kinds.ITEMS.values()} == dict.fromkeys(
        four_kinds.ITEMS.values(), "verify only"
    )
    assert states["files"] == "usable"  # it needs no framework
    assert all("pip install" in b["remedy"] for b in found if b["state"] == "verify only")


def test_loading_without_the_framework_names_the_remedy(four_kinds_store: Path) -> None:
    program = [str(LIGHT.with_name("python")), "-c"]
    code = (
        "from ckptkit import CheckpointStore\n"
        "from ckptkit.errors import BackendUnavailableError\n"
        f"store = CheckpointStore({str(four_kinds_store)!r})\n"
        f"try: store.restore({four_kinds.RUN!r}, into={{'rng': None}})\n"
        "except BackendUnavailableError as error: print(error, '|', error.hint)"
    )
    done = command_line.ckptkit(code, program=program)
    assert "needs numpy" in done.stdout, done.stderr
    assert "pip install" in done.stdout


def test_saving_files_works_without_the_frameworks(four_kinds_store: Path, tmp_path: Path) -> None:
    folder = four_kinds_store / four_kinds.RUN / "step-00000020"
    items = [f"policy={folder}/policy", f"data={folder}/data/iterator", f"agent={folder}/agent/model.zip"]
    light("save", "copy", "--step", "20", *items, f"rng={folder}/rng/rng.json", store=tmp_path / "new")
    light("verify", store=tmp_path / "new")


def test_an_unknown_path_is_still_a_clear_error(tmp_path: Path) -> None:
    done = command_line.ckptkit("save", "r", "--step", "1", "x=/etc/hostname", store=tmp_path, program=[str(LIGHT)])
    refused(done, 7, "no installed backend recognises it")
