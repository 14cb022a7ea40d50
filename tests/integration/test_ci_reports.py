"""Reports for CI servers keep to their schemas, say when nothing could be verified, and no name breaks them."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_readers as read
from command_line import inside as ckptkit
from command_line import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit import CheckpointStore
from ckptkit.cli.reports import hosts, junit, lines, markdown, meanings, sarif
from ckptkit.layouts import STEP_FOLDER
from ckptkit.problem import Problem
from ckptkit.storage import Entry, open_storage
from ckptkit.verification import CheckpointReport, RefsReport, Report

FORMATS = ("json", "junit", "sarif", "github", "gitlab", "markdown")
PAGE = Path(__file__).parents[2] / "docs/reference/problems.md"
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("%:;,\r\n\t\0\x1b\x7f`'\"<>&|*_#[]()!\\@~ ./-\u202e\u2028\ufeff\udcff"),
        st.characters(),
    ),
    min_size=1,
    max_size=30,
)
PROBLEMS = st.builds(
    Problem,
    code=st.sampled_from(["digest-mismatch", "file-extra", "pickle-dangerous", "of-a-guest"]),
    message=HOSTILE,
    file=st.none() | HOSTILE,
    item=st.none() | HOSTILE,
    severity=st.sampled_from(["warning", "unjudged", "error", "unsafe"]),
)


@pytest.fixture(scope="module")
def store_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    store = CheckpointStore(folder / "store")
    for step in (1, 2, 3):
        state = folder / "rng.json"
        state.write_text(json.dumps(np.random.PCG64(step).state))
        store.save("a/run", step, {"rng": state})
    return folder / "store"


@pytest.fixture
def store(store_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store_once, tmp_path / "store"))


def damage(store: Path, name: str = "rng/rng.json", step: int = 2) -> None:
    path = store / "a" / "run" / f"step-{step:08d}" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def written(store: Path, folder: Path, *words: str, **how: Any) -> tuple[int, dict[str, str]]:
    """Verify; return the exit code and the report in every format."""
    options = [word for name in FORMATS for word in ("--report", f"{name}={folder / name}")]
    done = ckptkit("verify", *options, *words, store=store, **how)
    return done.returncode, {name: (folder / name).read_text(encoding="utf-8") for name in FORMATS}


def test_every_format_tells_of_damage_and_keeps_to_its_schema(store: Path, tmp_path: Path) -> None:
    damage(store)
    code, texts = written(store, tmp_path)
    assert code == 1
    document = json.loads(texts["json"])
    assert (document["verdict"], document["counts"]["ok"], document["counts"]["damaged"]) == ("damaged", 2, 1)
    suites = read.junit(texts["junit"])
    assert [suite.get("failures") for suite in suites] == ["0", "1", "0"]
    assert all(float(suite.get("time", "0")) > 0 for suite in suites)
    run = read.sarif(texts["sarif"])
    assert [one["ruleId"] for one in run["results"]] == ["digest-mismatch"]
    assert run["invocations"][0]["executionSuccessful"] is True
    (issue,) = read.gitlab(texts["gitlab"])
    assert issue["severity"] == "critical"
    assert [kind for kind, _, _ in read.github(texts["github"])] == ["error", "error"]
    headings, bullets = read.markdown(texts["markdown"])
    assert headings == ["Checkpoints: damaged", "What was found", "What can still be resumed", "What to type"]
    assert "a/run: step 3" in bullets
    assert any(f"ckptkit --store {store} resume-cmd a/run" in bullet for bullet in bullets)


def test_what_is_whole_is_told_in_every_format(store: Path, tmp_path: Path) -> None:
    code, texts = written(store, tmp_path)
    assert (code, json.loads(texts["json"])["verdict"]) == (0, "good")
    assert [suite.get("tests") for suite in read.junit(texts["junit"])] == ["2", "2", "2"]
    assert read.sarif(texts["sarif"])["results"] == read.gitlab(texts["gitlab"]) == []
    assert read.github(texts["github"]) == [("notice", {"title": "ckptkit verify"}, "3 checkpoints, 3 files, 0 errors")]
    assert read.markdown(texts["markdown"])[0] == ["Checkpoints: good"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [((), 10, "does not exist"), (("--sample", "x"), 2, "neither a share"), (("nix",), 4, "nix")],
    ids=["no store", "misuse", "no such run"],
)
def test_a_verification_that_cannot_be_done_is_told_in_every_report(
    words: tuple[str, ...], code: int, reason: str, store: Path, tmp_path: Path
) -> None:
    found, texts = written(store if words else tmp_path / "nowhere", tmp_path, *words)
    assert found == code
    document = json.loads(texts["json"])
    assert (document["verdict"], document["exit_code"], document["checkpoints"]) == ("broken", code, [])
    assert reason in document["message"]
    (suite,) = read.junit(texts["junit"])
    assert (suite.get("errors"), suite.get("tests")) == ("1", "1")
    (invocation,) = read.sarif(texts["sarif"])["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, code)
    (issue,) = read.gitlab(texts["gitlab"])
    assert (issue["check_name"], issue["severity"]) == ("not-verified", "blocker")
    ((kind, _, text),) = read.github(texts["github"])
    assert kind == "error"
    headings, bullets = read.markdown(texts["markdown"])
    assert headings == ["Checkpoints: not verified"]
    assert all(reason in told for told in (issue["description"], text, bullets[0]))


def test_a_ci_server_is_told_of_a_missing_store_on_stdout_too(tmp_path: Path) -> None:
    for format_ in ("junit", "sarif", "github", "gitlab", "markdown"):
        done = ckptkit("verify", "--format", format_, store=tmp_path / "nowhere")
        assert done.returncode == 10
        assert done.stderr.startswith("ckptkit: store ")
        getattr(read, format_)(done.stdout)


@pytest.mark.parametrize("word", ["junit", "=x", "table=x", "junit="])
def test_a_report_without_a_format_or_a_file_is_refused(word: str, store: Path) -> None:
    said = "is empty" if word == "junit=" else "is not FORMAT=FILE"
    refused(ckptkit("verify", "--report", word, store=store), 2, said)


def test_names_on_disk_break_no_format(store: Path, tmp_path: Path) -> None:
    folder = store / "a" / "run" / "step-00000001" / "rng"
    for name in ("%0A::error::x", "a\r\n::stop-commands::x", "<&>\"']]>", "\u202ex", "`|`<img src=x>", "##[error]"):
        (folder / name).write_text("x")
    (store / "a" / "run").rename(store / "a" / "##[error]x`%0A")
    code, texts = written(store, tmp_path)
    assert code == 1
    for name in FORMATS[1:]:
        getattr(read, name)(texts[name])
    assert len(read.gitlab(texts["gitlab"])) == 6


def test_of_many_findings_the_worst_ten_are_annotated(store: Path, tmp_path: Path) -> None:
    folder = store / "a" / "run" / "step-00000001" / "rng"
    for number in range(60):
        (folder / f"extra{number}").write_text("x")
    damage(store, step=3)
    _, texts = written(store, tmp_path)
    told = read.github(texts["github"])
    assert len(told) == 10
    assert told[-1][2].endswith("61 errors (52 more than are shown here)")
    assert len(read.sarif(texts["sarif"])["results"]) == 61
    assert "and 11 more: they are in the report" in read.markdown(texts["markdown"])[1]


def test_each_code_is_linked_where_the_documentation_is_known(store: Path, tmp_path: Path) -> None:
    damage(store)
    docs = "https://code.example.org/o/ckptkit/blob/v1/docs"
    _, texts = written(store, tmp_path, env={meanings.VARIABLE: docs})
    (rule,) = read.sarif(texts["sarif"])["tool"]["driver"]["rules"]
    assert rule["helpUri"] == f"{docs}/reference/problems.md#the-manifest-and-its-files"
    assert "at least one bit differs" in rule["fullDescription"]["text"]
    assert f"]({rule['helpUri']})" in texts["markdown"]
    for unusable in ("javascript:x", "https://", "https://x/)[a](y"):
        _, texts = written(store, tmp_path, env={meanings.VARIABLE: unusable})
        assert "helpUri" not in texts["sarif"]
        assert "](" not in texts["markdown"]


def test_codes_mean_what_their_page_says() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \|(?: |$)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    plain = {}
    for code, text in rows:
        shown = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text).replace("`", "").replace("\\|", "|")
        plain.setdefault(code, shown[0].upper() + shown[1:])
    assert {code: meanings.of(code) for code in plain} == plain
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}
    assert {section for section, _ in meanings._table().values()} <= anchors


def entry(folder: Path, run: str) -> Entry:
    return Entry(run, "step-00000001", STEP_FOLDER, open_storage(str(folder)))


@given(
    run=HOSTILE,
    problems=st.lists(PROBLEMS, min_size=1, max_size=12),
    failure=st.tuples(HOSTILE, HOSTILE),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_name_and_no_words_break_a_format(
    run: str, problems: list[Problem], failure: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = entry(tmp_path_factory.getbasetemp(), run)
    one = CheckpointReport(at, "format", None, problems, files_checked=1)
    refs = dataclasses.replace(problems[0], code="refs-damaged", file="refs.json", severity="error")
    report = Report("format", [one], [RefsReport(run, f"/{run}/refs.json", refs)])
    assert len(json.loads(lines.document(report))["checkpoints"][0]["problems"]) == len(problems)
    assert len(read.junit(junit.render(report))) == 2
    assert len(read.sarif(sarif.render(report), schema=False)["results"]) == len(problems) + 1
    assert len(read.gitlab(hosts.gitlab(report))) == len(problems) + 1
    assert len(read.github(hosts.github(report))) == min(10, len(problems) + 2)
    read.markdown(markdown.render(report))
    message, hint = failure
    read.junit(junit.failed(message, hint))
    read.sarif(sarif.failed(message, hint, 10), schema=False)
    read.gitlab(hosts.gitlab_failed(message, hint))
    assert len(read.github(hosts.github_failed(message, hint))) == 1
    read.markdown(markdown.failed(message, hint))
    for text in (junit.render(report), sarif.render(report), hosts.gitlab(report), markdown.render(report)):
        text.encode("utf-8")
