"""What is fuzzed: each reader of files by strangers, as the commands use it; only errors of ckptkit may come out of it.

A finding "cannot be read as ..." is a failure too: the walker says it of what a reader did not expect.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import structures
import trained
from structures import Structured

from ckptkit.catalog import refs
from ckptkit.config import schema
from ckptkit.errors import CkptkitError
from ckptkit.formats import dcp, generator_states, onnx, pickles, strict_json, tensors, tf_bundle, tf_table
from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickle_values import plain_value
from ckptkit.formats.safetensors_header import HeaderError, read_header_of
from ckptkit.formats.sources import Source
from ckptkit.formats.tensor_bytes import Held
from ckptkit.formats.torch_values import torch_value
from ckptkit.formats.zips import list_members
from ckptkit.manifest import reading
from ckptkit.problem import Problem
from ckptkit.signing import claims, oms, statement
from ckptkit.signing.envelope import Envelope, authenticated

Read = Callable[[bytes], None]
_TENSORS, _BLOCKS = 20, 20
_memory = Path("/dev/shm")
_folder = tempfile.TemporaryDirectory(dir=_memory if _memory.is_dir() else None)
PLACE = Path(_folder.name)
"""For readers that take files only."""
SIGNED = claims.Signable("run", 1, f"blake3:{'0' * 64}", b"{}", "manifest.json", "/store/run", 1)
"""A checkpoint that signatures may be about."""


class UnexpectedError(Exception):
    """A reader met bytes that it had no words for."""


def _judged(problems: list[Problem]) -> None:
    for problem in problems:
        if "cannot be read as" in problem.message:
            raise UnexpectedError(problem.message)
        if not problem.message.isprintable():
            raise UnexpectedError(f"not printable: {problem.message!a}")


def _source(data: bytes, name: str) -> Source:
    return Source(io.BytesIO(data), len(data), name, name, stored=len(data))


def _file(data: bytes, name: str) -> Path:
    path = PLACE / name
    path.write_bytes(data)
    return path


def _tensors(data: bytes, name: str) -> None:
    """List the tensors and read the first bytes of the first of them."""
    with contextlib.suppress(CkptkitError):
        for tensor in tensors.tensors_in(_source(data, name))[:_TENSORS]:
            tensor.label, tensor.elements  # noqa: B018  # both are computed
            if tensor.place.offset == tensors.NOWHERE or tensor.place.shard:
                continue
            stream = tensors.opened(io.BytesIO(data), tensor.place)
            for _, _block in zip(range(_BLOCKS), Held(tensor, stream).blocks(as_stored=False), strict=False):
                pass


def safetensors(data: bytes) -> None:
    _judged(look_into_bytes(data, file="x.safetensors", name="x.safetensors", kind="safetensors"))
    with contextlib.suppress(HeaderError):
        read_header_of(_source(data, "x.safetensors"))
    _tensors(data, "x.safetensors")


def zips(data: bytes) -> None:
    """Plain ones, agents, Keras models, and files of torch: which it is, the content says."""
    _judged(look_into_bytes(data, file="x.zip", name="x.zip"))
    with contextlib.suppress(CkptkitError):
        list_members(io.BytesIO(data), len(data))
        torch_value(_file(data, "x.pth"))
    _tensors(data, "x.zip")


def npy(data: bytes) -> None:
    name = "x.npz" if data.startswith(b"PK") else "x.npy"
    _judged(look_into_bytes(data, file=name, name=name, kind=name[2:]))
    _tensors(data, name)


def pickle(data: bytes) -> None:
    _judged(pickles.check_pickle(data, file="x.pkl"))
    with contextlib.suppress(PickleError):
        plain_value(io.BytesIO(data), len(data))
    dcp.extents(_file(data, ".metadata"))
    _tensors(data, "x.pt")


def bundle(data: bytes) -> None:
    index, shard = structures.parted(data)
    _file(shard, "b.data-00000-of-00001")
    path = _file(index, "b.index")
    _judged(look_into_file(path, file="b.index"))
    with contextlib.suppress(CkptkitError):
        opened = tf_bundle.Bundle.open(PLACE / "b")
        _judged(list(opened.problems()))
        for key in list(opened.tensors)[:_TENSORS]:
            opened.integer(key)


def table(data: bytes) -> None:
    with contextlib.suppress(tf_table.TableError):
        tf_table.read_table(data)
    with contextlib.suppress(CkptkitError):
        tf_bundle.read_index(data)


class _State:
    """A store that holds the pins and tags of a run."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read_state(self, run: str, name: str, limit: int) -> bytes:
        return self.data

    def where_state(self, run: str, name: str) -> str:
        return name


def json(data: bytes) -> None:
    with contextlib.suppress(CkptkitError):
        reading.parse(data)
    with contextlib.suppress(CkptkitError):
        refs.read(_State(data), "run")  # type: ignore[arg-type]  # two methods of a store are asked for
    _judged(look_into_bytes(data, file="x.json", name="x.json"))
    with contextlib.suppress(CkptkitError):
        value = strict_json.loads(data)
        again = strict_json.dumps(value)
        if strict_json.dumps(strict_json.loads(again, max_bytes=1 << 30, max_depth=200)) != again:
            raise UnexpectedError("is another value when it is read again")
        if isinstance(value, dict):
            list(generator_states.leaf_faults(value, "x", foreign=True))
            _signatures(value.get("signatures"))
    for kind in (statement.TYPE, oms.TYPE):
        claims.objection(Envelope(kind, data, "key", b""), SIGNED)


def _signatures(value: object) -> None:
    for one in value if isinstance(value, list) else ():
        with contextlib.suppress(CkptkitError):
            made = Envelope.of(one)
            authenticated(made.type, made.payload)
            {made.key}  # noqa: B018  # it is looked up among keys
            claims.objection(made, SIGNED)


def yaml(data: bytes) -> None:
    with contextlib.suppress(CkptkitError):
        schema.parse(data, Path("ckptkit.yaml"))
    _judged(look_into_bytes(data, file="x.yaml", name="x.yaml"))


def others(data: bytes) -> None:
    """HDF5, GGUF, ONNX, parquet, OCDBT, tars and packed files, recognised by their content."""
    _judged(look_into_bytes(data, file="x", name="x"))
    onnx.external_extents(_file(data, "x.onnx"))
    _tensors(data, "x")


def trainers(data: bytes) -> None:
    """What trainers wrote, in the form that the first byte names; see ``trained``."""
    if (form := trained.FORMS.get(data[:1])) is not None:
        trained.asked(PLACE / "trained", form(data[1:]))


READERS: dict[str, tuple[Read, Structured | None]] = {
    "safetensors": (safetensors, structures.safetensors),
    "zip": (zips, structures.zips),
    "npy": (npy, structures.npy),
    "pickle": (pickle, None),
    "tf-bundle": (bundle, structures.bundle),
    "sstable": (table, structures.table),
    "json": (json, structures.json),
    "yaml": (yaml, None),
    "others": (others, None),
    "trainers": (trainers, structures.after_its_form),
}
"""What reads, and what changes a file so that it stays one: checksums, lengths and digests are right again."""
