"""Draw terminal.svg: the twenty seconds of the README, run in an empty folder and shown as a terminal shows them.

    python docs/pictures/make.py [FILE]

The commands are those of the README, and the lines are what they print. What differs from run to run is made the same:
the folder, the date, ages and digests.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]
TARGET = Path(__file__).with_name("terminal.svg")
WIDTH = 120
HOME = "/home/me"
_BLOCK = re.compile(r"^## Twenty seconds\n.*?^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.+)$", re.MULTILINE)
_SAME = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-11-27 09:00"),
    (r"\b\d+([smh]) ago", r"1\1 ago"),
    (r"blake3:[0-9a-f]{64}", "blake3:..."),
)
_FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)


def commands() -> list[str]:
    """Return what the README types in its twenty seconds."""
    found = _BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("README.md has no block of twenty seconds")
    return _COMMAND.findall(found[1])


class _Screen(io.TextIOWrapper):
    """What a program writes to; a terminal, for those who ask."""

    def __init__(self, shown: io.BytesIO, terminal: bool) -> None:
        super().__init__(shown, encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def close(self) -> None:
        """Stay open: two of them write to the same screen."""


def run(command: str) -> str:
    """Return what a command prints: ckptkit in this process, as on a terminal; any other in a shell."""
    if not command.startswith("ckptkit ") or "|" in command:
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    from ckptkit.cli import main

    shown = io.BytesIO()
    # No progress bars on stderr: how far one comes is a matter of the machine.
    streams = {"stdout": _Screen(shown, True), "stderr": _Screen(shown, False)}
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    with (
        mock.patch.multiple(sys, argv=words.stdout.split("\0")[:-1], **streams),
        contextlib.suppress(SystemExit),
    ):
        main.run()
    return shown.getvalue().decode()


def drawn(folder: Path) -> str:
    """Return the picture of all commands, typed in a folder."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    screen = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command in commands():
        screen.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        output = run(command).replace(str(folder), HOME)
        for pattern, same in _SAME:
            output = re.sub(pattern, same, output)
        if output:
            screen.print(Text.from_ansi(output.rstrip("\n")))
    screen.print(Text("$", "bold green"))
    form = _FONT_FROM_ELSEWHERE.sub("", CONSOLE_SVG_FORMAT)
    return screen.export_svg(title="ckptkit", code_format=form, unique_id="ckptkit")


def main(target: Path) -> None:
    """Draw into a file."""
    variables = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    for name in [name for name in os.environ if name.startswith("CKPTKIT") or name == "NO_COLOR"]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, variables):
        home = Path(folder).resolve() / "me"
        home.mkdir()
        os.environ["CKPTKIT_CACHE"] = f"{folder}/cache"
        with contextlib.chdir(home):
            picture = drawn(home)
    target.write_text(picture, encoding="utf-8")
    print(f"{target}: {len(picture)} characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if sys.argv[1:] else TARGET)
