"""Templates: splitting, fields that stay inside their argument, and what is refused."""

from pathlib import Path

import pytest

from ckptkit.errors import UsageError
from ckptkit.resume import FIELDS, expand, parse_template

VALUES = {
    "path": Path("/store/ppo/run 1/step-00005000"),
    "run": "ppo/run 1",
    "step": 5000,
    "items": {"agent": "/store/a b/agent.zip"},
    "counters": {"episode": 50},
    "metrics": {"reward": 187.5},
}


def test_a_line_is_split_as_a_shell_does() -> None:
    line = "python train.py --name 'two words' --resume {path} \\\n  --note \"it's\""
    assert parse_template(line) == ["python", "train.py", "--name", "two words", "--resume", "{path}", "--note", "it's"]


def test_a_list_is_taken_as_it_is() -> None:
    argv = ["python", "train.py", "a && b", "", "{path}"]
    assert parse_template(argv) == argv


def test_every_documented_field_is_accepted() -> None:
    parse_template(["x", *(f"{{{name}}}" for name in FIELDS)])


@pytest.mark.parametrize("text", ["", "   ", [], [""], ["", "x"]])
def test_an_empty_template_is_refused(text: str | list[str]) -> None:
    with pytest.raises(UsageError, match="empty"):
        parse_template(text)


@pytest.mark.parametrize(
    "line",
    ["cd x && python t.py", "cd x; python t.py", "python t.py > log", "python t.py 2>&1", "a | b", "(a)", "a &", "a&b"],
)
def test_shell_operators_are_refused_because_no_shell_runs(line: str) -> None:
    with pytest.raises(UsageError, match="shell operator"):
        parse_template(line)


def test_quoted_operators_are_ordinary_text() -> None:
    assert parse_template("sh -c 'cd x && exec python t.py \"$@\"' -- {path}")[2] == 'cd x && exec python t.py "$@"'
    assert parse_template("python t.py --note '#1 (a;b)' #2")[-1] == "#2"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("python 'open", "cannot be split"),
        ("A=1 python t.py", "starts with an assignment"),
        ("python {path", "single {"),
        ("python path}", "single }"),
        ("python {{path}", "single }"),
        ("python {}", "no field {}"),
        (
            "python {pth}",
            "no field {pth}; there are checkpoint, config.NAME, counters.NAME, items.NAME, metrics.NAME, path",
        ),
        ("python {items}", "no field {items}"),
        ("python {path.x}", "no field {path.x}"),
        ("python {path!r}", "unknown conversion"),
        ("python {path!}", "unknown conversion"),
        ("python {0}", "no field"),
        (["python", "a\0b"], "NUL"),
    ],
)
def test_a_template_that_means_nothing_is_refused(template: str | list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason.replace("{", r"\{")):
        parse_template(template)


def test_each_field_expands_inside_one_argument() -> None:
    template = parse_template(
        "python t.py --resume {path} agent={items.agent} --tag={run}@{step} {counters.episode} r{metrics.reward} {{x}}"
    )
    assert expand(template, VALUES) == [
        *("python", "t.py", "--resume", "/store/ppo/run 1/step-00005000", "agent=/store/a b/agent.zip"),
        *("--tag=ppo/run 1@5000", "50", "r187.5", "{x}"),
    ]


def test_a_value_with_braces_is_not_expanded_again() -> None:
    assert expand(["x", "{path}"], {"path": "/a/{step}/{{b}}"}) == ["x", "/a/{step}/{{b}}"]


def test_overrides_are_appended_as_they_are() -> None:
    assert expand(["x", "{step}"], {"step": 1}, ["--lr", "{step}"]) == ["x", "1", "--lr", "{step}"]


def test_an_item_that_the_checkpoint_does_not_have_names_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"no field \{items.agnet\}.* items.agent, ") as caught:
        expand(["x", "{items.agnet}"], VALUES)
    assert caught.value.hint == "did you mean {items.agent}?"


def test_values_and_overrides_with_nul_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\{path\} holds NUL"):
        expand(["x", "{path}"], {"path": "a\0b"})
    with pytest.raises(UsageError, match="override holds NUL"):
        expand(["x"], {}, ["a\0b"])


def test_a_path_that_looks_like_an_option_still_names_the_same_file() -> None:
    assert expand(["x", "{path}", "-f{path}", "{counters.n}"], {"path": "-rf", "counters": {"n": -1}}) == [
        *("x", "./-rf", "-f-rf", "-1"),
    ]


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("/r/epoch=12-step=500.ckpt", "'/r/epoch=12-step=500.ckpt'"),
        ("it's", r"'it\'s'"),
        ("a\\b", "'a\\b'"),
        ("end\\", "'end\\\\'"),
        ("a\\'b", "'a\\\\\\'b'"),
        ("${x}", r"'\${x}'"),
        ("\\${x}", r"'\\\${x}'"),
    ],
)
def test_hydra_values_are_quoted_by_hydras_rules(value: str, quoted: str) -> None:
    # The expected texts were read back unchanged by Hydra 1.3.
    assert expand(["x", "ckpt_path={path!hydra}"], {"path": value}) == ["x", f"ckpt_path={quoted}"]


def test_the_message_names_where_the_template_came_from() -> None:
    with pytest.raises(UsageError, match=r"^ckptkit.yaml: line 3: resume has a single \{"):
        parse_template("python {", where="ckptkit.yaml: line 3: resume")
