"""The words of the command line are a promise: a change of them shows here, and belongs into the changelog."""

from pathlib import Path

import typer.main

from ckptkit.cli import built_in, main

SURFACE = Path(__file__).with_name("surface.txt")


def surface() -> str:
    lines = []
    group = typer.main.get_command(main.app)
    commands = {"ckptkit": group, **{name: built_in.load(name) for name in built_in.NAMES}}
    for name, command in commands.items():
        words = []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                words.append((parameter.name or "").upper())
            else:
                words += [o for o in parameter.opts if o not in ("--install-completion", "--show-completion")]
        lines.append(" ".join([name, *sorted(words)]))
    return "\n".join(sorted(lines)) + "\n"


def test_the_commands_and_options_are_those_that_were_promised() -> None:
    assert surface() == SURFACE.read_text(), f"if this is meant: write the new surface to {SURFACE.name}"
