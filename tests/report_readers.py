"""Read the reports of a verification as the programs do that they are for, and hold each against its schema."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema
from markdown_it import MarkdownIt

SCHEMAS = Path(__file__).parent / "schemas"
_COMMAND = re.compile(r"::(?P<kind>[a-z-]+)(?: (?P<properties>.*?))?::(?P<data>.*)", re.DOTALL)


@functools.cache
def node_package(name: str) -> Path:
    """Return the folder of a package that ``npm install --global`` put there; without it the test is skipped."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    root = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, timeout=60, check=True).stdout
    folder = Path(root.strip()) / name
    if not folder.is_dir():
        pytest.skip(f"the npm package {name} is not installed")
    return folder


@functools.cache
def _xsd() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMAS / "junit.xsd")


@functools.cache
def _code_quality() -> Any:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / "gitlab-code-quality.json").read_text()))


@functools.cache
def _sarif() -> Any:
    text = (node_package("@microsoft/jest-sarif") / "lib/schemas/sarif-2.1.0-rtm.5.json").read_text()
    return jsonschema.Draft7Validator(json.loads(text), format_checker=jsonschema.FormatChecker())


def junit(text: str) -> ET.Element:
    """Return the root of a document that keeps to the XSD, and whose counts are right."""
    _xsd().validate(text)
    root = ET.fromstring(text)
    for suite in root:
        for kind, counted in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert suite.get(counted) == str(len(suite.findall(f"testcase/{kind}")))
        assert suite.get("tests") == str(len(suite.findall("testcase")))
    return root


def sarif(text: str, *, schema: bool = True) -> dict[str, Any]:
    """Return the run of a document that keeps to the schema; each result's rule has words."""
    document = json.loads(text)
    if schema:
        _sarif().validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri.isascii()
        assert uri.isprintable()
        assert unquote(uri, errors="surrogateescape")
    assert all(rule["fullDescription"]["text"] and rule["help"]["text"] for rule in rules)
    return dict(run)


def gitlab(text: str) -> list[dict[str, Any]]:
    """Return the issues of a report that keeps to the schema."""
    issues = json.loads(text)
    _code_quality().validate(issues)
    return list(issues)


def github(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Return kind, properties and text of each line, as GitHub's runner reads them; at most ten, and nothing else."""
    assert text.endswith("\n")
    found = []
    for line in text[:-1].split("\n"):  # neither \r nor a separator of Unicode ends a line of the runner's
        matched = _COMMAND.fullmatch(line)
        assert matched is not None, line
        pairs = (pair.partition("=") for pair in (matched["properties"] or "").split(","))
        properties = {key: _unescaped(value) for key, _, value in pairs}
        assert set(properties) <= {"file", "title"}
        found.append((matched["kind"], properties, _unescaped(matched["data"])))
    assert len(found) <= 10
    assert {kind for kind, _, _ in found} <= {"error", "warning", "notice"}
    return found


def _unescaped(text: str) -> str:
    assert not re.search(r"%(?!25|0A|0D|3A|2C)", text), text
    for code, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, meant)
    return text


def markdown(text: str) -> tuple[list[str], list[str]]:
    """Return the headings and the other texts of a document without images, HTML, or links but to https."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    headings, bullets, inside = [], [], ""
    for token in parser.parse(text):
        assert token.type in (
            "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "bullet_list_open",
            "bullet_list_close", "list_item_open", "list_item_close",
        ), token  # fmt: skip
        if token.type.endswith("_open"):
            inside = token.type
        elif token.type == "inline":
            for child in token.children or ():
                assert child.type in ("text", "text_special", "code_inline", "link_open", "link_close", "softbreak")
                assert child.type != "link_open" or str(child.attrs["href"]).startswith("https://")
            shown = "".join(child.content for child in token.children or ())
            (headings if inside == "heading_open" else bullets).append(shown)
    return headings, bullets
