"""ONNX models, checked without a library: the protocol buffer to its end, and the files that hold its large tensors.

A protocol buffer has no signature: only the name ``.onnx`` tells that it is one.

Source: onnx/onnx.proto (``ModelProto``, ``GraphProto``, ``TensorProto``).
"""

from collections.abc import Iterator
from pathlib import Path

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
    """Yield what tells that an ONNX file is not whole."""
    try:
        there = {field.number for field in stream_fields(source.stream, 0, source.length)}
    except WireError as error:
        yield source.problem("onnx-damaged", f"is not a whole protocol buffer: {error}")
        return
    missing = [what for number, what in _REQUIRED.items() if number not in there]
    if missing:
        yield source.problem("onnx-damaged", f"has no {missing[0]}: cut short, or no ONNX model")


def external_files(path: Path) -> Iterator[str]:
    """Yield the names of the files beside a model that hold its large tensors, each once; nothing for a damaged one."""
    seen: set[str] = set()
    try:
        with opened(path) as (stream, length):

            def inside(field: Field, number: int) -> list[Field]:
                return [f for f in stream_fields(stream, field.offset, field.size) if f.number == number]

            def text(field: Field) -> str:
                stream.seek(field.offset)
                return stream.read(min(field.size, _MOST_TEXT)).decode("utf-8", "replace")

            for graph in [f for f in stream_fields(stream, 0, length) if f.number == _GRAPH]:
                for tensor in inside(graph, _INITIALIZER):
                    for pair in inside(tensor, _EXTERNAL):
                        key, value = ([text(f) for f in inside(pair, n)] for n in (1, 2))
                        if key == ["location"] and value and value[0] not in seen:
                            seen.add(value[0])
                            yield value[0]
    except (WireError, DamagedError, OSError):
        return  # check_onnx says it
