"""What can be said of an item's files without SB3, torch or NumPy and without unpickling: layout, pickles, states."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.backend import CheckContext
from ckptkit.errors import CkptkitError, DamagedError, UnsafeContentError
from ckptkit.problem import Problem, fails
from ckptkit_sb3 import generators, layout, process_rng

_IN_A_WORKER = re.compile(r"environments\[\d+\]\.rng")
_SECTIONS = ("attributes", "spaces", "wrappers", "noise", "observations", "environments", "rng")

_LEAVES = {int, str}

_LATER = ("settings", "modules", "callbacks")
"""Sections that checkpoints of before format 2 of the backend lack."""


def check(directory: layout.Place, context: CheckContext) -> Iterator[Problem]:
    """Yield everything that is wrong with the files of an item."""
    where = layout.place(directory, context)
    for problem in _check(where, context):
        if isinstance(where, layout.Flat) and problem.file is not None:
            problem = replace(problem, file=where.named(problem.file))
        yield problem


def _check(directory: layout.Place, context: CheckContext) -> Iterator[Problem]:
    name = layout.zip_name(directory, context)
    native = context.metadata.get("captured", (directory / layout.STATE).is_file())
    if not (directory / name).is_file():
        yield Problem("file-missing", "the agent's zip is missing", file=name)
    else:
        yield from check_model_zip(directory / name, name)
    if native:
        yield from _check_state(directory)
    if not native or isinstance(directory, layout.Flat):
        yield from _check_adopted(directory, name)
    for file in context.files:
        path = directory / file
        if file.endswith(".pkl") and path.is_file():
            yield from _look(path, file, "pickle")


def _check_adopted(directory: layout.Place, name: str) -> Iterator[Problem]:
    try:
        mismatch = layout.episode_mismatch(directory, name)
    except CkptkitError as error:
        mismatch = error.message
    if mismatch is not None:
        yield Problem("sb3-metadata", mismatch, file=f"{Path(name).stem}{layout.METADATA}")


def refuse(directory: layout.Place, context: CheckContext) -> None:
    """Raise UnsafeContentError or DamagedError for the worst problem of an item, before anything of it is loaded."""
    problems = [p for p in check(directory, context) if fails([p])]
    for p in sorted(problems, key=lambda p: p.severity != "unsafe"):
        if p.severity == "unsafe":
            raise UnsafeContentError(f"{p.file}: {p.message}")
        raise DamagedError(f"{p.file}: {p.message}")


def check_model_zip(path: Path, file: str) -> Iterator[Problem]:
    """Yield what is wrong with an SB3 zip: layout, CRCs, JSON, every pickle hidden in it."""
    from ckptkit.formats import kinds, zips

    problems = kinds.look_into_file(path, file=file, kind="zip")
    yield from problems
    if any(p.code.startswith("zip-") for p in problems if fails([p])):
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    for member in layout.MEMBERS:
        if member not in names:
            yield Problem("sb3-member-missing", f"{member} is not in it", file=file)
    if "data" in names:
        raw = zips.read_member(path, "data", max_bytes=layout.MAX_DATA)
        try:
            if not isinstance(layout.parse_data(raw), dict):
                yield Problem("sb3-data", "data is not a table", file=file)
        except DamagedError as error:
            yield Problem("sb3-data", f"data {error.message}", file=file)


def _check_state(directory: layout.Place) -> Iterator[Problem]:
    try:
        state = layout.read_state(directory)
    except (DamagedError, OSError) as error:
        yield Problem("sb3-state", str(error).removeprefix(f"{(directory / layout.STATE).name}: "), file=layout.STATE)
        return
    if state is None:
        yield Problem("file-missing", "the state beside the zip is missing", file=layout.STATE)
        return
    yield from (Problem("sb3-state", text, file=layout.STATE) for text in _faults(state))
    members: set[str] = set()
    wanted_files = {
        layout.ARRAYS: bool(state.get("arrays")),
        layout.REPLAY: state.get("replay") is not None,
        layout.ROLLOUT: state.get("rollout") is not None,
    }
    for name, wanted in wanted_files.items():
        path = directory / name
        if not wanted:
            continue
        if not path.is_file():
            yield Problem("file-missing", "arrays of the agent's state are missing", file=name)
            continue
        problems = [_numbers_only(problem) for problem in _look(path, name, "npz")]
        yield from problems
        if not fails(problems):
            with zipfile.ZipFile(path) as archive:
                members |= {f"{name}:{m.removesuffix('.npy')}" for m in archive.namelist()}
            yield from _members_missing(state, name, members)


def _numbers_only(problem: Problem) -> Problem:
    """The arrays of the state are plain numbers: objects in one were put there by somebody else."""
    return replace(problem, severity="unsafe") if problem.code == "npy-object-dtype" else problem


def _look(path: Path, name: str, kind: str) -> Iterable[Problem]:
    from ckptkit.formats import kinds

    return kinds.look_into_file(path, file=name, kind=kind)


def _members_missing(state: Mapping[str, Any], name: str, members: set[str]) -> Iterator[Problem]:
    described = state["replay"] if name == layout.REPLAY else state.get("rollout")
    wanted = state["arrays"] if name == layout.ARRAYS else _keys(described)
    for array in wanted:
        if f"{name}:{array}" not in members:
            yield Problem("sb3-member-missing", f"array {array} is not in it", file=name)


def _keys(described: Any) -> list[str]:
    tables = [described.get(key) for key in ("arrays", "noise")] if isinstance(described, dict) else []
    return [str(name) for table in tables if isinstance(table, dict) for name in table]


def _faults(state: Mapping[str, Any]) -> Iterator[str]:
    if state.get("format") != 1:
        yield f"is of format {str(state.get('format'))[:20]}, this backend reads 1"
        return
    sections = state.get("sections")
    if not isinstance(sections, dict) or any(name not in sections for name in _SECTIONS):
        yield "a section is missing"
        return
    for name in ("agent", "optimizers", "configuration", "counters"):
        if not isinstance(state.get(name), dict):
            yield f"{name} is missing"
    if not isinstance(state.get("captured", state.get("exactness")), dict):
        yield "captured is missing"
    for name in ("replay", "not_in_zip", "inside_learn"):
        if name not in state:
            yield f"{name} is missing"
    arrays = state.get("arrays")
    if not isinstance(arrays, list):
        yield "arrays is missing"
        return
    for name in (*_SECTIONS, *_LATER):
        yield from _walk(sections.get(name), name, frozenset(map(str, arrays)))


def _walk(node: Any, where: str, arrays: frozenset[str]) -> Iterator[str]:
    if isinstance(node, list):
        for i, part in enumerate(node) if set(map(type, node)) - _LEAVES else ():  # states of generators are long
            yield from _walk(part, f"{where}[{i}]", arrays)
    elif isinstance(node, dict):
        try:
            _check_node(node, where, arrays)
        except DamagedError as error:
            yield error.message
        for key, part in node.items():
            yield from _walk(part, f"{where}.{key}", arrays)


def _check_node(node: Mapping[str, Any], where: str, arrays: frozenset[str]) -> None:
    kind = node.get("@")
    if kind == "generator":
        generators.validate(node, where)
    elif kind == "random-state":
        generators.validate_legacy(node, where)
    elif kind == "random":
        generators.decode_python(node.get("state"), where)
    elif kind in ("array", "scalar") and "member" in node and node["member"] not in arrays:
        raise DamagedError(f"{where}: array {str(node['member'])[:40]} is not in {layout.ARRAYS}")
    elif where == "rng":
        process_rng.check_rng(node)
    elif kind is None and _IN_A_WORKER.fullmatch(where):
        generators.validate_legacy(node.get("numpy"), f"{where}.numpy")
        generators.decode_python(node.get("python"), f"{where}.python")
