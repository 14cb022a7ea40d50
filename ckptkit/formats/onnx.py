"""ONNX models, checked without a library: the protocol buffer to its end, and the files that hold its large tensors.

A protocol buffer has no signature: only the suffix ``.onnx`` shows what it is.

Source: onnx/onnx.proto (``ModelProto``, ``GraphProto``, ``TensorProto``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened
from ckptkit.formats.protobuf import Field, WireError, stream_fields
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

_GRAPH = 7
_REQUIRED = {1: "version", _GRAPH: "graph", 8: "operator sets"}
_INITIALIZER, _EXTERNAL = 5, 13
_MOST_TEXT = 4096


def check_onnx(source: Source) -> Iterator[Problem]:
    """Yield what shows that an ONNX file is not whole."""
    try:
        there = {field.number for field in stream_fields(source.stream, 0, source.length)}
    except WireError as error:
        yield source.problem("onnx-damaged", f"is not a whole protocol buffer: {error}")
        return
    missing = [what for number, what in _REQUIRED.items() if number not in there]
    if missing:
        yield source.problem("onnx-damaged", f"has no {missing[0]}: cut short, or not an ONNX model")


def external_extents(path: Path) -> dict[str, int]:
    """Return how many bytes of each file beside a model its large tensors use; empty for a damaged model."""
    found: dict[str, int] = {}
    try:
        with opened(path) as (stream, length):
            for graph in _inside(stream, 0, length, _GRAPH):
                for tensor in _inside(stream, graph.offset, graph.size, _INITIALIZER):
                    told = _told(stream, tensor)
                    if "location" in told:
                        end = int(told.get("offset", "0")) + int(told.get("length", "0"))
                        found[told["location"]] = max(end, found.get(told["location"], 0))
    except (WireError, DamagedError, OSError, ValueError):
        return {}  # check_onnx says it
    return found


def _inside(stream: BinaryIO, offset: int, size: int, number: int) -> list[Field]:
    return [field for field in stream_fields(stream, offset, size) if field.number == number]


def _told(stream: BinaryIO, tensor: Field) -> dict[str, str]:
    """Return what a tensor says about its external data: location, offset, length."""
    pairs = {}
    for pair in _inside(stream, tensor.offset, tensor.size, _EXTERNAL):
        words = [_text(stream, field) for n in (1, 2) for field in _inside(stream, pair.offset, pair.size, n)]
        if len(words) == 2:
            pairs[words[0]] = words[1]
    return pairs


def _text(stream: BinaryIO, field: Field) -> str:
    stream.seek(field.offset)
    return stream.read(min(field.size, _MOST_TEXT)).decode("utf-8", "replace")
