"""Any words on the command line end with a code of the table and no traceback, and harm no checkpoint."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from command_line import inside
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit import CheckpointStore
from ckptkit.cli.built_in import NAMES
from ckptkit.cli.main import app

EXAMPLES = 150
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 10, 11}
ENDLESS = {"--watch", "--steps", "--seconds"}
"""They wait for others, or run the command that a checkpoint names."""


def _program() -> Any:
    import typer.main

    return typer.main.get_command(app)


def options(name: str) -> list[str]:
    """Return the options of a command, short ones too."""
    command = _program().get_command(None, name)
    return sorted({word for one in command.params for word in one.opts if word.startswith("-")} - ENDLESS)


# Not "/" nor "~": what a word names lies in the folder that the test runs in. "-" alone would wait for a person.
WORD = st.text(st.characters(exclude_characters="/~"), max_size=12).filter(lambda word: word != "-")
KNOWN = st.sampled_from(
    ["run", "run@1", "run@latest", "run@best", "run@3", "run@x", "r*", "rng=rng.json", "rng:files=rng.json", "loss=1",
     "1", "0", "-1", "3", "1e99", "99999999999999999999", "7d", "10GB", "all", "min", "max", "json", "tsv", "github",
     "digest", "presence", "format", "1/2", "5%", "store", "rng.json", "out", "nothing", ".", "", "--", "x" * 5000],
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """Return a command with words of any kind behind it."""
    name = draw(st.sampled_from(sorted(NAMES)))
    known = options(name)
    words: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        match draw(st.sampled_from(["option", "pair", "known", "known", "any"])):
            case "option":
                words.append(draw(st.sampled_from(known)))
            case "pair":
                words += [draw(st.sampled_from(known)), draw(KNOWN | WORD)]
            case "known":
                words.append(draw(KNOWN))
            case _:
                words.append(draw(WORD))
    return [name, *words]


def test_any_words_end_with_a_code_of_the_table_and_what_is_left_verifies(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    for step in (1, 2, 3):
        rng = np.random.default_rng(step)
        store.save("run", step, {"rng": rng}, metrics={"loss": 1 / step}, resume=["x", "{path}"])
    shutil.copy(tmp_path / "store/run/step-00000001/rng/rng.json", tmp_path / "rng.json")

    @given(lines())
    @settings(max_examples=EXAMPLES)
    def attempt(words: list[str]) -> None:
        done = inside(*words, store=tmp_path / "store", cwd=tmp_path)
        assert done.returncode in CODES, (words, done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        if done.returncode == 2:
            assert any(line.startswith(("ckptkit: ", '{"schema_version"')) for line in done.stderr.splitlines()), words

    attempt()
    assert store.verify("run").exit_code == 0
