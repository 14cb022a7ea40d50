"""Manifests, policies, references, templates and settings of any words are taken, or refused in words.

Nothing but errors of ckptkit comes out: one line each as it is shown, with a line that says what to do.
"""

import copy
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ckptkit.cli.output import safe
from ckptkit.config import schema
from ckptkit.digest import digest_bytes
from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit.manifest.reading import parse
from ckptkit.resume import Command, format_command
from ckptkit.resume.template import FIELDS, expand, parse_template
from ckptkit.retention import Candidate, RetentionPolicy, plan
from ckptkit.retention.policy import policy_from_words
from ckptkit.store.reference import Ref

FROZEN = Path(__file__).parents[1] / "compat/frozen/v1.2"
MANIFESTS = [json.loads(path.read_bytes()) for path in sorted(FROZEN.rglob("*manifest.json"))]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ODD = st.sampled_from(
    ["../x", "/etc/passwd", "a@b", "con", "NaN", "1e999", "-1", "0", "\0", "\x1b[2J", "\u202e", "x" * 999]
)
WORDS = TEXT | ODD | st.text(max_size=5)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.sampled_from([2**63, 2**70, -1, 0, 10**13]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@contextmanager
def in_words() -> Iterator[None]:
    """Let an error of ckptkit pass that is one line, not too long, with one line that says what to do."""
    try:
        yield
    except CkptkitError as error:
        told = error
    else:
        return
    assert told.hint
    assert len(told.message) < 1000
    for line in (told.message, told.hint):
        assert safe(line).isprintable()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a JSON value: what holds it, and key or index."""
    found = []
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


@given(st.sampled_from(MANIFESTS), st.data())
@settings(max_examples=300)
def test_a_manifest_with_anything_anywhere_is_read_or_refused(manifest: dict[str, Any], data: st.DataObject) -> None:
    fields = copy.deepcopy(manifest)
    del fields["digest"]
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(fields)))
        match data.draw(st.sampled_from(["put", "put", "put", "drop", "rename"])):
            case "drop":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[data.draw(WORDS)] = holder.pop(key)
            case _:
                holder[key] = data.draw(JSON)
        assume(fields)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    fields["digest"] = digest_bytes(canonical.encode("utf-8", "surrogatepass"))
    with in_words():
        read = parse(json.dumps(fields).encode())
        assert strict_json.dumps(read.metrics)
        for item in read.items.values():
            for file in item.files:
                assert ".." not in file.path.split("/")
                assert not file.path.startswith("/")


NAMES = st.sampled_from([field.name for field in fields(RetentionPolicy)])
VALUES = (
    st.integers(-2, 12) | st.integers().map(str) | st.integers(1, 9) | WORDS | st.lists(WORDS, max_size=2) | JSON
    | st.sampled_from(["7d", "1h", "2w", "10GB", "1.5KiB", "all", "min", "max", "loss", "1e99", "٣"])
)  # fmt: skip
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
STORE = [
    Candidate("a", step, step, NOW - timedelta(hours=7 * (30 - step)), size=100, metrics={"loss": 1 / (step + 1)},
              tags=frozenset(["x"]) if step % 9 == 0 else frozenset(), good=step % 5 != 0)
    for step in range(30)
]  # fmt: skip


@given(st.dictionaries(NAMES | st.just("keep_lots"), VALUES, max_size=4))
@settings(max_examples=400)
@example({"keep_last": "1", "keep_within": "7d"})
@example({"keep_best": 2, "metric": "loss", "mode": "min"})
def test_any_words_are_a_policy_that_keeps_something_or_are_refused(words: dict[str, Any]) -> None:
    with in_words():
        policy = policy_from_words(words)
        found = plan(STORE, policy, now=NOW)
        assert STORE[29] in found.kept
        assert len(found.kept) + len(found.removed) == len(STORE)


@given(WORDS | st.builds("{}@{}".format, WORDS | st.just("a/b"), WORDS | st.integers() | st.just("latest")))
@settings(max_examples=400)
def test_any_text_is_a_reference_that_reads_back_as_itself_or_is_refused(text: str) -> None:
    with in_words():
        ref = Ref.parse(text)
        assert Ref.parse(str(ref)) == ref
        assert ".." not in ref.run.split("/")


FIELD = st.sampled_from(
    [f"{{{name.replace('NAME', 'n')}}}" for name in FIELDS] + ["{path!hydra}", "{{", "}}", "{x}", "{"]
)
LINE = st.lists(FIELD | WORDS | st.sampled_from(["'", '"', "\\", ";", "|", "$(x)", " ", "python"]), max_size=6)
GIVEN = {
    "path": "/s/a b/step-1", "checkpoint": Path("/s/it's"), "run": "a/b", "step": 1, "store": "s3://b/c",
    "items": {"n": Path("-x")}, "counters": {"n": 3}, "metrics": {"n": float("nan")}, "config": {"n": "$(touch x)\n"},
}  # fmt: skip


@given(LINE.map(" ".join) | LINE.map("".join))
@settings(max_examples=400)
def test_any_line_is_a_template_or_refused_and_each_field_stays_inside_one_argument(line: str) -> None:
    with in_words():
        template = parse_template(line)
        filled = expand(template, GIVEN, ["--last"])
        assert len(filled) == len(template) + 1
        written = format_command(Command(filled))
        assert shlex.split(written) == filled


@given(st.lists(WORDS, min_size=1, max_size=5))
@settings(max_examples=300)
def test_any_arguments_are_written_so_that_they_are_read_back_or_refused(arguments: list[str]) -> None:
    with in_words():
        assert shlex.split(format_command(Command(arguments))) == arguments
    with in_words():
        assert format_command(Command(arguments), "argv0").split("\0")[:-1] == arguments
    for format_ in ("json", "slurm", "k8s"):
        with in_words():
            assert format_command(Command(arguments), format_)  # type: ignore[arg-type]  # one of the formats


KEYS = st.sampled_from(
    ["store", "level", "retention", "runs", "mirror", "resume", "trainers", "digest", "dedup", "best"]
)
SETTINGS = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none() | st.floats() | st.dates() | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | KEYS | TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS | TEXT, SETTINGS, max_size=4))
@settings(max_examples=250)
@example({"retention": {"keep_last": 3}, "runs": {"ppo/*": {"retention": {"keep_daily": 7}}}})
def test_any_settings_are_read_or_refused_with_the_name_of_the_file(values: dict[str, Any]) -> None:
    data = yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass")
    with in_words():
        try:
            schema.parse(data, Path("ckptkit.yaml"))
        except CkptkitError as error:
            told = error
        else:
            return
        assert told.message.startswith("ckptkit.yaml: ")
        raise told


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"a: [", b"? [a]\n: b", b"a: &x [1]\nb: *x", b"a: 2024-13-45", b"a: 0b_"]
)
def test_settings_that_are_no_yaml_of_ours_are_refused_in_words(data: bytes) -> None:
    with in_words():
        schema.parse(data, Path("ckptkit.yaml"))
