"""The documentation agrees with the code: links, problem codes, options, and every block that a person would copy."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import inside
from object_servers import Server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))])
_CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def _anchors(page: Path) -> set[str]:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links if "://" not in link]
    assert [_name(page) for page in sorted(DOCS.rglob("*.md")) if page not in seen] == []


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/start-from-an-example.md"])
def test_every_example_is_led_to(page: str) -> None:
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    examples = [path.parent.name for path in (DOCS.parent / "examples").glob("*/README.md")]
    assert [name for name in examples if f"examples/{name}/" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_blocks_compile(page: Path) -> None:
    for block in _blocks(page, "python"):
        ast.parse(block, filename=_name(page))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_blocks_of_data_parse(page: Path) -> None:
    for block in _blocks(page, "json"):
        json.loads(block)
    for block in _blocks(page, "yaml"):
        yaml.safe_load(block)
    for block in _blocks(page, "toml"):
        tomllib.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_tells_to_install_the_stranger_on_pypi(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    told = [line for line in text.splitlines() if re.search(r"pip install ckptkit\b", line)]
    assert [line for line in told if "never" not in line.lower()] == []


def test_the_example_of_the_configuration_loads(tmp_path: Path) -> None:
    from ckptkit.config import load_config

    for page in (DOCS / "reference/configuration.md", DOCS / "how-to/prune-safely.md"):
        (tmp_path / "ckptkit.yaml").write_text(_blocks(page, "yaml")[0], encoding="utf-8")
        config = load_config(tmp_path)
        assert config.for_run("ppo/run1").retention is not None


def test_the_reference_names_every_key_of_the_configuration() -> None:
    from dataclasses import fields

    from ckptkit.config.schema import _File
    from ckptkit.retention import RetentionPolicy

    text = (DOCS / "reference/configuration.md").read_text(encoding="utf-8")
    keys = [*_File.model_fields, *(field.name for field in fields(RetentionPolicy))]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_the_example_manifest_is_lawful_and_its_digest_recomputes() -> None:
    from ckptkit.manifest.reading import parse

    page = (DOCS / "reference/manifest.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- example -->\n```json\n(.*?)```", page, re.DOTALL)
    code = re.search(r"<!-- recompute -->\n```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1], names)
    recompute = names["recompute"]
    assert callable(recompute)
    written, computed = recompute(example[1])
    assert written == computed == parse(example[1].encode()).digest
    assert f"`{written}`" in page


def test_the_reference_names_every_field_of_the_manifest() -> None:
    from ckptkit.manifest import models

    text = (DOCS / "reference/manifest.md").read_text(encoding="utf-8")
    parts = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, models.Part)]
    missing = {field for part in parts for field in part.__annotations__ if f"`{field}`" not in text}
    assert missing == set()


def test_every_problem_code_is_explained_and_none_is_invented() -> None:
    text = (DOCS / "reference/problems.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE))
    guests = {target.partition(":")[0] for target in _entry_points("ckptkit.backends").values()}
    in_code = set()
    for folder in (ROOT / "ckptkit", *(ROOT / "plugins" / guest for guest in guests)):
        for path in folder.rglob("*.py"):
            in_code |= set(_codes(ast.parse(path.read_text(encoding="utf-8"))))
    assert in_code - explained == set(), "codes that problems.md does not explain"
    assert explained - in_code == set(), "codes that no code uses"


def _codes(tree: ast.AST) -> Iterator[str]:
    """Yield what becomes the code of a problem: arguments, defaults, and first parts of yielded or returned pairs."""
    constants = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    for node in ast.walk(tree):
        places: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in ("Problem", "problem", "add", "_complain"):
                places = list(node.args[:1])
            elif called.endswith("Error"):
                places = list(node.args[1:2])
            places += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            places = [node.value]
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
            places = [value for arg, value in zip(named, node.defaults, strict=True) if arg.arg == "code"]
        elif isinstance(node, (ast.Yield, ast.Return)) and isinstance(node.value, ast.Tuple):
            places = list(node.value.elts[:1])
        for place in places:
            for part in [place.body, place.orelse] if isinstance(place, ast.IfExp) else [place]:
                if isinstance(part, ast.Name):
                    part = constants.get(part.id, part)
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and _CODE.fullmatch(part.value):
                    yield part.value


def _commands() -> dict[str, Any]:
    """Return the program and all commands that this project brings, by the heading of their section."""
    import typer.main

    from ckptkit.cli.built_in import NAMES
    from ckptkit.cli.main import app

    program: Any = typer.main.get_command(app)
    names = [*NAMES, *_entry_points("ckptkit.commands")]
    return {"Options before the command": program, **{name: program.get_command(None, name) for name in names}}


def _entry_points(group: str) -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = project["entry-points"].get(group, {})
    return found


def test_every_option_of_every_command_is_in_the_reference() -> None:
    sections: dict[str, str] = {}
    for section in (DOCS / "reference/cli.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        sections |= dict.fromkeys(heading.split(", "), body)
    missing = [
        f"{name} {option}"
        for name, command in _commands().items()
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for option in parameter.opts
        if option.startswith("--") and option not in sections.get(name, "")
    ]
    assert missing == []
    assert [name for name in _commands() if name not in sections] == []


def test_every_option_in_the_reference_exists() -> None:
    options = {option for command in _commands().values() for parameter in command.params for option in parameter.opts}
    text = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--[a-z][a-z-]+", text)) - options - {"--help"} == set()


def test_the_exit_codes_of_all_errors_are_in_the_reference() -> None:
    from ckptkit import errors

    text = (DOCS / "reference/exit-codes.md").read_text(encoding="utf-8")
    tree = [value for value in vars(errors).values() if isinstance(value, type)]
    classes = [c for c in tree if issubclass(c, errors.CkptkitError) and c is not errors.CkptkitError]
    lines = text.splitlines()
    for error in classes:
        assert any(f"| {error.exit_code} |" in line and f"`{error.__name__}`" in line for line in lines), error


def test_the_python_reference_names_every_method_of_the_store() -> None:
    from ckptkit import CheckpointStore

    text = (DOCS / "reference/python-api.md").read_text(encoding="utf-8")
    methods = [name for name in dir(CheckpointStore) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}(" not in text and f"### {name}" not in text] == []


_STEP = re.compile(r"^\$ ((?:.*\\\n)*.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_SIZE = re.compile(r"[0-9.]+ [kMG]?B\b")  # differs with the versions of the libraries
_HEADINGS = re.compile(r"^[A-Z][A-Z, ]+$", re.MULTILINE)
_NOT_ECHOED = re.compile(r"\S  +\S|blake3:|^ |\.\.\.$")  # tables are for terminals; digests, losses are of one machine
LIGHT = ROOT / ".venv-light" / "bin"


@pytest.mark.slow
def test_the_tutorial_goes_as_it_says(tmp_path: Path) -> None:
    page = DOCS / "tutorial/first-checkpoint.md"
    (tmp_path / "train.py").write_text(_blocks(page, "python")[0], encoding="utf-8")
    assert _go(page, tmp_path, home="/home/me/first-checkpoint", broken_by="sh") == 10


def test_the_tutorial_without_a_framework_goes_as_it_says(tmp_path: Path) -> None:
    assert _go(DOCS / "tutorial/without-a-framework.md", tmp_path, programs=LIGHT) == 15


def test_the_twenty_seconds_of_the_readme_go_as_they_say(tmp_path: Path) -> None:
    assert _go(ROOT / "README.md", tmp_path, programs=LIGHT) == 6


def test_keeping_checkpoints_on_s3_goes_as_it_says(tmp_path: Path, s3: Server) -> None:
    page, place = DOCS / "how-to/keep-checkpoints-on-s3.md", s3.place()
    (tmp_path / "page.md").write_text(page.read_text().replace("s3://my-bucket/checkpoints", place), encoding="utf-8")
    (tmp_path / "train.py").write_text(_blocks(page, "python")[0], encoding="utf-8")
    assert _go(tmp_path / "page.md", tmp_path) == 13


def test_the_picture_of_the_readme_can_be_drawn_again_and_shows_no_clock_and_no_folder(tmp_path: Path) -> None:
    """Its commands are those of the README. Where they print something else by now, `make picture` draws it anew."""
    drawn = tmp_path / "drawn.svg"
    command = [sys.executable, DOCS / "pictures/make.py", drawn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for picture in (drawn, DOCS / "pictures/terminal.svg"):
        shown = picture.read_text(encoding="utf-8").replace("&#160;", " ")
        assert len(shown) < 60_000
        assert "resuming" in shown
        assert not re.search(r"https?://(?!www\.w3\.org)(?!www\.textualize\.io)|/tmp/|20\d\d-(?!11-27 09:00)\d", shown)


def _go(
    page: Path,
    folder: Path,
    *,
    home: str = "/home/me",
    programs: Path = Path(sys.executable).parent,
    broken_by: str = "",
) -> int:
    """Type a page's commands (and its damage) in an empty folder; each line and heading that it shows must come."""
    code, commands, here = 0, 0, folder
    for language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == broken_by and "python -c" in text:
            assert _bash(text, here, programs)[0] == 0
        for command, shown in _STEP.findall(text) if language == "console" else ():
            commands += 1
            if command == "echo $?":
                assert code == int(shown)
                continue
            if command.startswith("cd "):
                here /= command.removeprefix("cd ")
                continue
            code, output = _typed(command, here, programs)
            output = output.replace(str(folder), home)
            shown, output = _SIZE.sub("SIZE", shown), _SIZE.sub("SIZE", output)
            told = [line for line in shown.splitlines() if not _NOT_ECHOED.search(line)]
            assert [line for line in told if line not in output.splitlines()] == [], f"{command}\n{output}"
            headings = [one for line in _HEADINGS.findall(shown) for one in re.split(r" {2,}", line)]
            assert set(headings) <= set(re.split(r"[\t\n]", output)), f"{command}\n{output}"
    return commands


def _typed(command: str, folder: Path, programs: Path) -> tuple[int, str]:
    """Run a command; a plain one of ckptkit in this process, which is ten times faster."""
    if not command.startswith("ckptkit ") or re.search(r"[;|$]", command):
        return _bash(command, folder, programs)
    done = inside(*shlex.split(command.replace("\\\n", " "), comments=True)[1:], cwd=folder)
    return done.returncode, done.stdout + done.stderr


def _bash(command: str, folder: Path, programs: Path) -> tuple[int, str]:
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CKPTKIT")} | {"PATH": path}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout
