"""Help: commands in groups, whole summaries at every width, in words of this tool, with examples that run."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from command_line import PROGRAM, inside
from conftest import write_rng

from ckptkit import CheckpointStore, Files
from ckptkit.cli import built_in, main
from ckptkit.cli import help as pages
from ckptkit.signing import key_files

GROUP: Any = typer.main.get_command(main.app)
COMMANDS: dict[str, Any] = {name: GROUP.get_command(None, name) for name in built_in.NAMES}
ALL: dict[str, Any] = {name: GROUP.get_command(None, name) for name in GROUP.list_commands(None)}
ELSEWHERE = {"check-data"}  # needs a dataset: its examples are typed in tests/plugins/test_data_command.py
WIDTHS = (60, 80, 120, 200)


def told(*arguments: str, width: int = 80) -> str:
    done = inside(*arguments, "--help", env={"COLUMNS": str(width)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summaries_are_whole_at_every_width(width: int) -> None:
    text = told(width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "..." not in text.replace("[ARGS]...", "")
    flowing = " ".join(text.split())
    for name, command in ALL.items():
        if not command.hidden:
            assert f" {name} {pages.summary(command)} " in flowing, name


def test_every_command_of_ours_is_in_a_group_and_those_without_one_come_last() -> None:
    lost = [name for name, command in COMMANDS.items() if not command.rich_help_panel and not command.hidden]
    assert not lost, "name a group in cli/built_in.py"
    assert told().index("check-data") > told().index("\nMore:") > told().index("\nSet up:")


@pytest.mark.parametrize("name", sorted(ALL))
def test_help_says_what_to_write_and_never_what_type_it_has(name: str) -> None:
    for width in (60, 120):
        text = told(name, width=width)
        assert not re.search(r"<\w|list\[|\[\[|\{\w+\}(?=.*Usage)|x>=", text), text
        assert text.startswith(f"Usage: ckptkit {name}")
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", sorted(ALL))
def test_help_is_in_whole_sentences(name: str) -> None:
    for block in pages.blocks(ALL[name].help):
        heading, *lines = block.splitlines()
        if heading == "Exit codes:":
            assert all(re.fullmatch(r"\s+\d+: [A-Z].*[.)]", line) for line in lines), block
        elif heading != "Examples:":
            assert re.match(r"[A-Z`-]", block), block
            assert block.endswith((".", ":")), block


def test_usage_names_arguments_as_messages_and_docs_do() -> None:
    first = {name: told(name).splitlines()[0].removeprefix(f"Usage: ckptkit {name} ") for name in COMMANDS}
    assert first["save"] == "RUN NAME=PATH... [OPTIONS]"
    assert first["verify"] == "[REF...] [OPTIONS] [-- COMMAND]"
    assert first["resume-cmd"] == "REF [OPTIONS] [-- OVERRIDES...]"
    assert first["restore"] == "REF DEST [OPTIONS]"


def test_an_option_that_may_be_repeated_says_so_once(tmp_path: Path) -> None:
    flowing = " ".join(told("save").split())
    assert flowing.count("may be repeated") == len(
        [p for p in COMMANDS["save"].params if getattr(p, "multiple", False)]
    )


def write_weights(path: Path) -> Path:
    """Write a safetensors file of one tensor, byte by byte: no framework is needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return path


@pytest.fixture(scope="module")
def world_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the examples know it: a run and its trash in ./checkpoints, and what a trainer wrote."""
    folder = tmp_path_factory.mktemp("world")
    store = CheckpointStore(folder / "checkpoints")
    write_rng(folder / "rng.json", 1)
    for step in (500, 1000, 2000, 3000, 4000, 5000, 6000, 7000):
        weights = write_weights(folder / f"outputs/checkpoint-{step}/model.safetensors").parent
        (weights / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        items = {"policy": Files(weights), "rng": Files(folder / "rng.json")}
        if step <= 5000:
            store.save("ppo/run1", step, items, metrics={"reward": step / 10}, resume=["true", "{path}"], cwd="/")
    release = key_files.generate(folder / "release.key")
    key_files.generate(folder / "p256.key", "p256")
    store.sign("ppo/run1@5000", release)
    write_weights(folder / "checkpoints/sac/run2/ep000050.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert inside("prune", "ppo/run1", "--keep-last", "5", "--apply").returncode == 0  # leaves 500 in the trash
    return folder


@pytest.fixture
def world(world_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world_once, tmp_path / "world"))


@pytest.mark.parametrize("name", sorted(ALL.keys() - ELSEWHERE))
def test_the_examples_of_every_command_work_as_they_are_typed(name: str, world: Path) -> None:
    lines = pages.examples(ALL[name])
    assert lines, "help shows at least one example"
    for line in lines:
        assert f"ckptkit {name}" in line
        if line.startswith("ckptkit ") and " | " not in line:
            done = inside(*shlex.split(line)[1:], cwd=world)
        else:
            program = f'ckptkit() {{ {shlex.join(PROGRAM)} "$@"; }}\n'
            done = subprocess.run(["sh", "-c", program + line], cwd=world, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (line, done.stdout, done.stderr)


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_example_that_was_broken_to_fit_is_the_same_to_a_shell(name: str) -> None:
    text = told(name, width=60)
    shown = text[text.index("Examples:") :].partition("\n\n")[0].replace("\\\n", "").splitlines()[1:]
    typed = [shlex.split(line) for line in shown if not line.lstrip().startswith("#")]
    assert typed == [shlex.split(line) for line in pages.examples(ALL[name])]
