"""Help: commands in groups, whole summaries at every width, in words of this tool, with examples that run."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from command_line import inside

from ckptkit.cli import help as pages
from ckptkit.cli import main

COMMANDS: dict[str, Any] = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]  # a group
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
    for name, command in COMMANDS.items():
        if not command.hidden:
            assert f" {name} {pages.summary(command)} " in flowing, name


def test_every_command_of_ours_is_in_a_group_and_those_without_one_come_last() -> None:
    lost = [name for name, command in COMMANDS.items() if not command.rich_help_panel and not command.hidden]
    assert not lost, "name a group in cli/main.py"
    assert told().index("check-data") > told().index("\nMore:") > told().index("\nSet up:")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_says_what_to_write_and_never_what_type_it_has(name: str) -> None:
    for width in (60, 120):
        text = told(name, width=width)
        assert not re.search(r"<\w|list\[|\[\[|\{\w+\}(?=.*Usage)|x>=", text), text
        assert text.startswith(f"Usage: ckptkit {name}")
        options = [line for line in text.splitlines() if line.startswith("  -")]
        assert options
        prose = [line for line in text.splitlines() if not line.lstrip().startswith(("-", "ckptkit", "$", "#"))]
        assert max(map(len, prose)) <= width


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
