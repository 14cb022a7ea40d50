"""Values that stay as they are typed need no conversion; all others, and whatever is wrong, are typer's."""

from pathlib import Path
from typing import Any

import pytest
from command_line import inside

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
