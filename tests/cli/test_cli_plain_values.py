"""Values that stay as they are typed need no conversion; all others, and whatever is wrong, are typer's."""

from pathlib import Path
from typing import Any

import pytest
from command_line import inside, refused

from ckptkit.cli import built_in
from ckptkit.cli.plain_values import taken_plainly


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", ""])
def test_a_number_that_is_none_is_refused_in_the_words_of_before(tmp_path: Path, number: str) -> None:
    done = inside("list", "--limit", number, store=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value for '--limit'" in done.stderr


def test_a_choice_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = inside("list", "--sort", "color", store=tmp_path)
    assert done.returncode == 2
    assert "--sort" in done.stderr


@pytest.mark.parametrize(
    ("line", "empty"),
    [
        ("verify --junit _", "--junit"),
        ("verify --sarif=", "--sarif"),
        ("verify --metrics _", "--metrics"),
        ("verify --baseline _", "--baseline"),
        ("verify --report json=", "--report json="),
        ("verify --scratch _", "--scratch"),
        ("sign r --key _", "--key"),
        ("sign r --key k --to _", "--to"),
        ("sign r --key k --from _", "--from"),
        ("save r --step 1 a=b --sign _", "--sign"),
        ("save r --step 1 a=b --config _", "--config"),
        ("save r --step 1 a=b --trust _", "--trust"),
        ("keygen _", "FILE"),
        ("restore r _", "DEST"),
        ("restore _ there", "REF"),
        ("resume-cmd r --materialise _", "--materialise"),
        ("copy _ there", "SRC"),
        ("copy there _", "DST"),
        ("prune --keep-last 1 --apply --plan _", "--plan"),
        ("list r _", "REF"),
        ("list --since _", "--since"),
        ("--store _ list", "--store"),
    ],
)
def test_a_variable_that_is_not_set_is_not_the_current_folder(tmp_path: Path, line: str, empty: str) -> None:
    words = ["" if word == "_" else word for word in line.split()]
    refused(inside(*words, cwd=tmp_path), 2, f"{empty} is empty")
    assert not list(tmp_path.iterdir())


def test_an_empty_word_for_the_program_that_is_resumed_is_left_alone(tmp_path: Path) -> None:
    refused(inside("resume-cmd", "r", "--", "", cwd=tmp_path), 10, "does not exist")


@pytest.mark.parametrize("name", built_in.NAMES)
def test_every_default_and_every_plain_word_is_what_typer_makes_of_it(name: str) -> None:
    command: Any = built_in.load(name)
    context = command.make_context(name, [], resilient_parsing=True)
    for parameter in taken_plainly(command.params):
        convert = parameter.process_value.args[1]
        for value in (None, "word", ["word", "another"], 3, True, parameter.get_default(context)):
            outcomes = []
            for process in (parameter.process_value, convert):
                try:
                    outcomes.append(process(context, value))
                except Exception as error:
                    outcomes.append(type(error))
            assert outcomes[0] == outcomes[1], (parameter.name, value)
            assert type(outcomes[0]) is type(outcomes[1]), (parameter.name, value)
