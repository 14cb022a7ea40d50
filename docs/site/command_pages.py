"""Writes the page of all commands from the program itself: what `--help` says of each, with links to every option."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from ckptkit.cli import help as help_
from ckptkit.cli.main import app

_TITLE = "All commands"
_INTRODUCTION = (
    "Written from the program when this site was built: what ``--help`` says. :doc:`The page by hand "
    "</docs/reference/cli>` groups the same options and explains more."
)


def write(folder: Path) -> None:
    """Write ``commands.rst`` into a folder."""
    program: Any = typer.main.get_command(app)
    with program.make_context("ckptkit", [], resilient_parsing=True) as context:
        lines = [*_heading(_TITLE, "="), _INTRODUCTION, ""]
        lines += _section("ckptkit", program, context)
        for name in program.list_commands(context):
            command = program.get_command(context, name)
            with command.make_context(name, [], parent=context, resilient_parsing=True) as own:
                lines += _section(f"ckptkit {name}", command, own)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(title: str, command: Any, context: Any) -> Iterator[str]:
    yield from _heading(title, "-")
    yield f".. program:: {title}"
    yield ""
    pieces = " ".join(command.collect_usage_pieces(context))
    yield from _block("text", f"{title} {pieces}")
    for block in help_.blocks(command.help or ""):
        if help_.is_section(block):
            heading, _, lines = block.partition("\n")
            yield from _lines(heading.removesuffix(":"), inspect.cleandoc(lines).splitlines())
        else:
            yield from (_text(" ".join(block.split())), "")
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        named, said = help_.label(parameter, context), _text(help_.explained(parameter, context))
        if parameter.param_type_name == "argument":
            yield from (f"``{named}``", f"   {said}", "")
        else:
            yield from (f".. option:: {named}", "", f"   {said}", "")


def _lines(heading: str, lines: list[str]) -> Iterator[str]:
    """Yield a section of a help: exit codes as a list, examples as they are typed."""
    yield from (f"**{heading}**", "")
    if all(re.match(r"\d+: ", line) for line in lines):
        for line in lines:
            code, told = line.split(": ", 1)
            yield from (f"* ``{code}``: {_text(told)}",)
        yield ""
    else:
        yield from _block("sh", "\n".join(lines))


def _heading(text: str, line: str) -> tuple[str, str, str]:
    return text, line * len(text), ""


def _block(language: str, text: str) -> Iterator[str]:
    yield from (f".. code-block:: {language}", "")
    yield from (f"   {line}" for line in text.splitlines())
    yield ""


def _text(text: str) -> str:
    """Return text of a help as reStructuredText: its ``*``, ``_`` and ``|`` stand for themselves, `words` are code."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for character in "\\*_|":
            parts[index] = parts[index].replace(character, f"\\{character}")
    return "``".join(parts) if len(parts) % 2 else text.replace("`", "\\`")
