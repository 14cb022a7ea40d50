"""YAML as ckptkit reads it: plain data with its lines; duplicate keys, aliases and deep nesting are refused.

Keys are always text, as written (``1:`` is "1"). Aliases are refused because a few of them can stand for gigabytes.
"""

from pathlib import Path
from typing import Any

import yaml

from ckptkit.errors import UsageError

MAX_DEPTH = 16
MAX_NODES = 20_000
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
Lines = dict[tuple[str | int, ...], int]


def loads(data: bytes, path: Path) -> tuple[Any, Lines]:
    """Return the value of a YAML document, and the line (from 1) of each key and list entry by its place.

    Raises:
        UsageError: it is not UTF-8, not YAML, or uses what is refused here; names file and line.
    """
    try:
        loader = _Loader(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML ({_one_line(str(error))})", hint="remove that character") from error
    lines: Lines = {}
    try:
        node = loader.get_single_node()
        return (None if node is None else _value(loader, node, (), lines)), lines
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{path}: {where}{error.problem}", hint=error.note or "correct the YAML there") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML ({_one_line(str(error))})", hint="correct the YAML") from error
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, without aliases and with bounds on size and depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        self._depth += 1
        self._nodes += 1
        if self.check_event(yaml.AliasEvent):
            raise _refused("an alias (*name) is not allowed here", mark, "write the value out")
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _refused("too deep or too long for a configuration", mark, "is this the right file?")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _value(loader: _Loader, node: yaml.Node, place: tuple[str | int, ...], lines: Lines) -> Any:
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
        raise _refused(f"the tag {node.tag[:80]!r} is not allowed here", node.start_mark, "write plain YAML")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key must be text", key.start_mark, "write key: value")
            if key.value in found:
                raise _refused(f"the key {key.value[:80]!r} appears twice", key.start_mark, "remove one of them")
            lines[(*place, key.value)] = key.start_mark.line + 1
            found[key.value] = _value(loader, inner, (*place, key.value), lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        entries = []
        for i, inner in enumerate(node.value):
            lines[(*place, i)] = inner.start_mark.line + 1
            entries.append(_value(loader, inner, (*place, i), lines))
        return entries
    try:
        return loader.construct_object(node)
    except (ValueError, KeyError) as error:  # PyYAML lets "2024-13-45" and "0b_" through to Python's constructors
        raise _refused(f"not a value: {node.value[:80]!r}", node.start_mark, "put it in quotes") from error


def _refused(problem: str, mark: Any, note: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark, note=note)


def _one_line(text: str) -> str:
    return " ".join(text.split())
