"""A serialized dataset graph: its Merkle hash, and its ops with their parameters as text."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit_tfdata.lazy_import import tensorflow

_NAMES_ONLY = {"metadata", "shared_name", "container", "name", "device", "token"}
_TUNING = {"legacy_autotune", "buffer_size_min", "slack_period"}  # of prefetch: speed only, set from Python by version
_QUIET = {"output_types", "output_shapes", "Toutput_types", "Targuments"}  # in the hash, but noise in a summary
_RESOURCE, _VARIANT = 20, 21
_MAX_OPS = 2000


@dataclass(frozen=True, slots=True)
class Op:
    """One op of the summary.

    Attributes:
        name: the op, after the path of functions it is in (``InterleaveDataset.f/TFRecordDataset``).
        parameters: its constants and attributes that are not at their default, as short text.
    """

    name: str
    parameters: Mapping[str, str]

    @property
    def kind(self) -> str:
        """The op without its path."""
        return self.name.rpartition("/")[2]


class Graph:
    """A GraphDef that returns one dataset.

    Args:
        graph_def: as ``tf.raw_ops.DatasetToGraphV2`` serializes it.
    """

    def __init__(self, graph_def: Any) -> None:
        self._functions = {f.signature.name: f for f in graph_def.library.function}
        self._digests: dict[str, str] = {}
        self._top = {node.name: node for node in graph_def.node}
        self._roots = [node.name for node in graph_def.node if node.op == "_Retval"]

    def digest(self) -> str:
        """Return the hex SHA-256 of what the graph computes."""
        digests = self._digest_nodes(self._top, {}, self._roots)
        return _sha(digests[root] for root in self._roots)

    def ops(self) -> list[Op]:
        """Return the summary: every op but constants and plumbing, inputs first, functions' datasets included."""
        found: list[Op] = []
        for op in self._walk(self._top, self._roots, "", ()):
            found.append(op)
            if len(found) == _MAX_OPS:
                break
        return found

    def nodes(self) -> Iterator[Any]:
        """Yield all nodes, those of functions too."""
        yield from self._top.values()
        for function in self._functions.values():
            yield from function.node_def

    def unsaved(self) -> str | None:
        """Name what the graph uses and does not hold, and TensorFlow lets pass: tables that can be written to."""
        handles = {
            name for name, node in self._top.items() if node.op == "Const" and node.attr["dtype"].type == _RESOURCE
        }
        for node in self._top.values():
            if node.op.startswith("Mutable"):
                return f"{node.op} can be written to at any time"
            called = [self._functions[name] for _, name in _functions_of(node) if name in self._functions]
            looks_up = any(inner.op.startswith("LookupTable") for function in called for inner in function.node_def)
            if looks_up and handles.intersection(reference.partition(":")[0] for reference in node.input):
                return f"Resource of {node.op}, a table, is known by its handle only"
        return None

    def _digest_nodes(self, nodes: Mapping[str, Any], given: dict[str, str], roots: Sequence[str]) -> dict[str, str]:
        done = dict(given)
        for name in _inputs_first(nodes, roots):
            node = nodes[name]
            parts = [node.op, *self._attributes(node)]
            for reference in node.input:
                if not reference.startswith("^"):
                    source, _, port = reference.partition(":")
                    parts.append(f"{done[source]}:{port or 0}")
            parts += sorted("^" + done[r[1:]] for r in node.input if r.startswith("^"))
            done[name] = _sha(parts)
        return done

    def _attributes(self, node: Any) -> Iterator[str]:
        if node.op == "Const":
            yield _tensor_digest(node.attr["value"].tensor)
            return
        for name, value in _attributes(node):
            if value.WhichOneof("value") == "func":
                yield f"{name}={self._function(value.func.name)}"
            elif value.list.func:
                yield f"{name}={[self._function(f.name) for f in value.list.func]}"
            elif value.WhichOneof("value") == "tensor":
                yield f"{name}={_tensor_digest(value.tensor)}"
            else:
                yield f"{name}={value.SerializeToString(deterministic=True).hex()}"

    def _function(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = "calls itself"
            function = self._functions.get(name)
            self._digests[name] = f"unknown {name}" if function is None else self._function_digest(function)
        return self._digests[name]

    def _function_digest(self, function: Any) -> str:
        arguments = {a.name: f"argument {i} {a.type}" for i, a in enumerate(function.signature.input_arg)}
        nodes, roots = _body(function)
        done = self._digest_nodes(nodes, arguments, roots)
        parts = [*arguments.values()]
        for output in function.signature.output_arg:
            source, _, port = function.ret[output.name].partition(":")
            parts.append(f"{done[source]}:{port}")
        parts += sorted("^" + done[name] for name in function.control_ret.values())
        return _sha(parts)

    def _walk(self, nodes: Mapping[str, Any], roots: Sequence[str], path: str, inside: tuple[str, ...]) -> Iterator[Op]:
        for name in _inputs_first(nodes, roots):
            node = nodes[name]
            if node.op in ("Const", "Identity", "_Retval", "NoOp") or (path and "Dataset" not in node.op):
                continue
            for attribute, function in _functions_of(node):
                if function in self._functions and function not in inside:
                    body, ends = _body(self._functions[function])
                    yield from self._walk(body, ends, f"{path}{node.op}.{attribute}/", (*inside, function))
            yield Op(path + node.op, self._parameters(node, nodes))

    def _parameters(self, node: Any, nodes: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        for name, reference in zip(_input_names(node), node.input, strict=False):
            source = nodes.get(reference.partition(":")[0])
            if source is not None and source.op == "Const" and source.attr["dtype"].type not in (_RESOURCE, _VARIANT):
                found[name] = _tensor_text(source.attr["value"].tensor)
        functions = dict(_functions_of(node))
        for name, value in _attributes(node):
            if name in functions:
                found[name] = self._function_text(functions[name])
            elif name not in _QUIET and not name.startswith("T"):
                found[name] = _attribute_text(value)
        return found

    def _function_text(self, name: str) -> str:
        function = self._functions.get(name)
        ops = [] if function is None else [n.op for n in function.node_def if n.op not in ("Identity", "NoOp")]
        listed = ",".join(ops[:12]) + (",..." if len(ops) > 12 else "")
        return f"({listed})#{self._function(name)[:12]}"


def texts_in(graph: Graph) -> list[str]:
    """Return the distinct strings in the graph's constants that could name a file, in order of appearance."""
    tf = tensorflow()
    found: dict[str, None] = {}
    for node in graph.nodes():
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            for value in _decoded(node.attr["value"].tensor)[1]:
                if 0 < len(value) < 4096 and b"\0" not in value:
                    found[value.decode("utf-8", "surrogateescape")] = None
    return list(found)


def _body(function: Any) -> tuple[dict[str, Any], list[str]]:
    arguments = {a.name for a in function.signature.input_arg}
    returned = [*(r.partition(":")[0] for r in function.ret.values()), *function.control_ret.values()]
    return {n.name: n for n in function.node_def}, sorted({r for r in returned if r not in arguments})


def _inputs_first(nodes: Mapping[str, Any], roots: Sequence[str]) -> list[str]:
    """Return the nodes that the roots need, inputs before users; without recursion, since chains can be long."""
    order: dict[str, None] = {}
    entered: set[str] = set()
    stack = list(reversed(roots))
    while stack:
        name = stack[-1]
        if name in order or name not in nodes:
            stack.pop()
        elif name in entered:
            order[name] = None
            stack.pop()
        else:
            entered.add(name)
            stack += [r.removeprefix("^").partition(":")[0] for r in reversed(nodes[name].input)]
    return list(order)


def _definition_of(op: str) -> Any:
    # The one private name: public TensorFlow has no way to ask an op for its defaults and the names of its inputs.
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def _attributes(node: Any) -> list[tuple[str, Any]]:
    """Return the attributes that mean something and are not at their default, by name."""
    definition = _definition_of(node.op)
    defaults = (
        {} if definition is None else {a.name: a.default_value for a in definition.attr if a.HasField("default_value")}
    )
    return [
        (name, node.attr[name])
        for name in sorted(node.attr)
        if name not in _NAMES_ONLY | _TUNING and not name.startswith("_") and defaults.get(name) != node.attr[name]
    ]


def _functions_of(node: Any) -> list[tuple[str, str]]:
    return [(k, node.attr[k].func.name) for k in sorted(node.attr) if node.attr[k].WhichOneof("value") == "func"]


def _input_names(node: Any) -> list[str]:
    definition = _definition_of(node.op)
    names: list[str] = []
    for argument in [] if definition is None else definition.input_arg:
        if argument.number_attr:
            names += [f"{argument.name}[{i}]" for i in range(node.attr[argument.number_attr].i)]
        elif argument.type_list_attr:
            names += [f"{argument.name}[{i}]" for i in range(len(node.attr[argument.type_list_attr].list.type))]
        else:
            names.append(argument.name)
    return names


def _sha(parts: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()


def _tensor_digest(tensor: Any) -> str:
    if tensor.dtype in (_RESOURCE, _VARIANT):
        return f"handle {tensor.dtype}"  # a handle is only good in its process; what made it is a node of its own
    shape, values = _decoded(tensor)
    hasher = hashlib.sha256(f"{tensor.dtype} {shape} ".encode())
    if values.dtype.hasobject:
        for value in values:
            hasher.update(len(value).to_bytes(8, "little") + value)
    else:
        hasher.update(values.tobytes())
    return hasher.hexdigest()


def _tensor_text(tensor: Any) -> str:
    shape, array = _decoded(tensor)
    if array.size > 4:
        return f"{shape}#{_tensor_digest(tensor)[:12]}"
    values = [v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else v for v in array.tolist()]
    text = str(values if shape else values[0])
    if array.dtype.kind == "b":
        text = text.lower()
    return text if len(text) <= 200 else f"{text[:180]}...#{_tensor_digest(tensor)[:12]}"


def _decoded(tensor: Any) -> tuple[list[int], Any]:
    """Return ``(shape, flat NumPy array)``; ``tf.make_ndarray`` cannot read strings that are stored as content."""
    tf = tensorflow()
    with tf.device("CPU:0"):
        value = tf.io.parse_tensor(tensor.SerializeToString(), out_type=tf.as_dtype(tensor.dtype))
        return value.shape.as_list(), tf.reshape(value, [-1]).numpy()


def _attribute_text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "s":
        text: str = value.s.decode("utf-8", "backslashreplace")
        return text if len(text) <= 60 and text.isprintable() else f"#{hashlib.sha256(value.s).hexdigest()[:12]}"
    if kind in ("i", "f", "b"):
        return str(getattr(value, kind)).lower()
    return f"#{hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()[:12]}"
