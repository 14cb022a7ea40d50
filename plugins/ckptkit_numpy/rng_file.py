"""The file rng.json: written and read as strict JSON, judged as a whole, and foreign JSON recognised."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError, NewerFormatError, UsageError
from ckptkit.formats import strict_json
from ckptkit.formats.generator_states import as_integer, is_leaf, label, shown
from ckptkit_numpy.trees import leaves, tree_faults

FILE_NAME = "rng.json"
FORMAT = "ckptkit.numpy-rng"
FORMAT_VERSION = 2
DIGEST = "state_digest"
"""Field of a lone state file (``state_file``) that holds the digest of the others."""
MAX_BYTES = 64 << 20
_HEADER = ("format", "format_version", "kind")
_SAFE_INTEGER = 2**53 - 1
_READ = (1, 2)  # 2 has seed sequences, JAX keys and plain values
_TEXTS = {"kind", "bit_generator", "device", "path", "impl", "json"}

RngState = dict[str, Any]


def new_state(kind: str, tree: Mapping[str, Any]) -> RngState:
    """Return a state of this format around a tree whose first level is ``generators`` (and the global parts)."""
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": kind, **tree}


def is_own(state: Any) -> bool:
    """Return whether a JSON value claims to be of this format."""
    return isinstance(state, Mapping) and state.get("format") == FORMAT


def begins_as_one(data: bytes) -> bool:
    """Return whether a file that is no JSON (any more) begins as ours, or as a state dumped from NumPy."""
    start = b"".join(data[:200].split())
    return start.startswith(b'{"bit_generator":"') or f'"format":"{FORMAT}"'.encode() in start


def is_global(state: Any) -> bool:
    """Return whether a state holds the global generators of a process."""
    return is_own(state) and state.get("kind") == "global"


def to_bytes(state: RngState) -> bytes:
    """Return the file's bytes: integers beyond 2**53 - 1 as decimal text, which every JSON reader keeps."""
    return strict_json.dumps(_encoded(state)) + b"\n"


def from_bytes(data: bytes, name: str = FILE_NAME) -> Any:
    """Parse a file's bytes. Raises DamagedError naming the file."""
    try:
        return strict_json.loads(data, max_bytes=MAX_BYTES)
    except DamagedError as error:
        raise DamagedError(f"{name}: {error}") from error


def file_of(files: Sequence[str]) -> str:
    """Return the name of the item's one file, relative to its folder; without a list, the name that we give it."""
    return files[0] if len(files) == 1 else FILE_NAME


def read(directory: Path, files: Sequence[str]) -> Any:
    """Return the parsed content of the item's file. Raises DamagedError (also when it is missing) naming the file."""
    name = file_of(files)
    try:
        with (directory / name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DamagedError(f"{name}: cannot be read ({error.strerror or error})") from error
    return from_bytes(data, name)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, once every field of it has been judged.

    Attributes:
        tree: JSON leaves in dicts and lists, all integers plain.
        is_global: the tree holds the global generators of a process.
        foreign: another program wrote the file (``json.dump(generator.bit_generator.state, f)``).
    """

    tree: Any
    is_global: bool = False
    foreign: bool = False


def validated(directory: Path, files: Sequence[str]) -> Content:
    """Return the content of the item's file once every field of it has been judged.

    Raises:
        DamagedError: a field is not valid; the message names the file, the field and its value.
        NewerFormatError: written by a newer version of this backend.
    """
    name, state = file_of(files), read(directory, files)
    refuse_newer(state, name)
    found = list(faults(state))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DamagedError(f"{name}: {found[0]}{more}")
    return Content(decoded_tree(state), is_global(state), not is_own(state))


def refuse_newer(state: Any, name: str) -> None:
    """Raise NewerFormatError if the state says that a newer version of this backend wrote it."""
    version = state.get("format_version") if is_own(state) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise NewerFormatError(f"{name}: format_version {version} is newer than {FORMAT_VERSION}")


def tree_of(state: Any) -> Any:
    """Return the tree of leaves in a state; in a foreign one, only the branches that lead to a generator."""
    if is_own(state):
        return {key: value for key, value in state.items() if key not in _HEADER}
    return _pruned(state)


def decoded_tree(state: Any) -> Any:
    """Return the tree of a state without faults, with plain integers."""
    return _decoded(tree_of(state))


def faults(state: Any) -> Iterator[str]:
    """Yield what is wrong with a state, one line per field, without NumPy."""
    tree = tree_of(state)
    if not is_own(state):
        if isinstance(state, Mapping) and DIGEST in state and state[DIGEST] != digest_of(state):
            yield f"{DIGEST}: the content is not what was written"
        if tree is None:
            yield "holds no state of a generator"
        else:
            yield from tree_faults(tree, foreign=True)
        return
    if type(state.get("format_version")) is not int or state["format_version"] not in _READ:
        yield f"format_version: {shown(state.get('format_version'))} is neither 1 nor 2"
    if state.get("kind") == "global":
        yield from _global_faults(tree)
    elif state.get("kind") != "generators":
        yield f"kind: {shown(state.get('kind'))} is neither generators nor global"
    elif set(tree) != {"generators"}:
        yield f"has the parts {', '.join(map(shown, sorted(tree)))}, not just generators"
    elif not leaves(tree):
        yield "generators: holds no generator"
    yield from tree_faults(tree)


def digest_of(state: Mapping[str, Any]) -> str | None:
    """Return the digest of a lone state file over all fields but the digest; None where it is not one of ours."""
    content = {name: value for name, value in state.items() if name != DIGEST}
    try:
        return f"sha256:{hashlib.sha256(strict_json.dumps(content)).hexdigest()}"
    except UsageError:  # a key that we would not have written
        return None


def _global_faults(tree: Mapping[str, Any]) -> Iterator[str]:
    for name in tree:
        if name not in ("python", "numpy", "torch", "generators"):
            yield f"{label(name)}: is not a part of the global generators"
    for name, kind in (("python", "python-random"), ("numpy", "random-state")):
        if (name in tree or name == "python") and _kind_at(tree, name) != kind:
            yield f"{name}: {shown(tree.get(name))} is not the state of a {kind}"
    if not isinstance(tree.get("generators"), Mapping) or is_leaf(tree["generators"]):
        yield f"generators: {shown(tree.get('generators'))} is not an object of named generators"
    if "torch" in tree:
        yield from _torch_faults(tree["torch"])


def _kind_at(tree: Mapping[str, Any], name: str) -> Any:
    return tree[name].get("kind") if is_leaf(tree.get(name)) else None


def _torch_faults(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping) or set(part) != {"cpu", "cuda"} or not isinstance(part["cuda"], list):
        yield "torch: is not an object of cpu and a list cuda"
        return
    devices = [("torch.cpu", "cpu", part["cpu"])]
    devices += [(f"torch.cuda[{i}]", f"cuda:{i}", leaf) for i, leaf in enumerate(part["cuda"])]
    for where, device, leaf in devices:
        if not is_leaf(leaf) or leaf.get("kind") != "torch-generator" or leaf.get("device") != device:
            yield f"{where}: {shown(leaf)} is not the state of the torch generator of {device}"


def _pruned(value: Any) -> Any:
    """Return the branches of a foreign JSON value that end in a NumPy state, or None if there is none."""
    if isinstance(value, Mapping):
        if isinstance(value.get("bit_generator"), str) and "state" in value:
            return value
        branches = {key: _pruned(item) for key, item in value.items()}
    elif isinstance(value, list):
        branches = {str(index): _pruned(item) for index, item in enumerate(value)}
    else:
        return None
    found = {key: branch for key, branch in branches.items() if branch is not None}
    return list(found.values()) if isinstance(value, list) and len(found) == len(value) > 0 else found or None


def _encoded(value: Any) -> Any:
    if type(value) is int and abs(value) > _SAFE_INTEGER:
        return str(value)
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    return [_encoded(item) for item in value] if isinstance(value, list) else value


def _decoded(node: Any) -> Any:
    """Return a validated node with decimal texts as integers; the texts of a leaf stay as they are."""
    if isinstance(node, Mapping):
        texts = {*_TEXTS, "state"} if node.get("kind") == "torch-generator" else _TEXTS if is_leaf(node) else ()
        return {key: item if key in texts else _decoded(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_decoded(item) for item in node]
    number = as_integer(node)
    return node if number is None else number
