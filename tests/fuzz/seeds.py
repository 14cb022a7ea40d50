"""What fuzzing begins with: small whole files of each kind, from the frozen checkpoints and made here."""

import hashlib
import io
import json
import pickle
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structures

from ckptkit.signing import oms, statement
from ckptkit.signing.envelope import Envelope

TESTS = Path(__file__).parents[1]
FROZEN = TESTS / "compat" / "frozen" / "v1.2"
STEP = FROZEN / "ppo" / "run1" / "step-00000010"
OTHERS = TESTS / "unit" / "frozen_formats"
WHOLE = Path(__file__).with_name("whole")
"""HDF5 in its old and its new form by h5py, and a table by pyarrow: neither is imported here."""
MOST = 32_768
"""Bytes of a file to begin with, and of what becomes of it."""


def _zip(method: int, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/")), data, compress_type=method)
    return buffer.getvalue()


def _npy(descr: str, shape: str, data: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a/weights.npy")
        data = _npy("'<f4'", "(2,)", bytes(8))
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _read(*paths: Path) -> list[bytes]:
    return [path.read_bytes() for path in paths if path.stat().st_size <= MOST]


def _arrays() -> list[bytes]:
    plain = [_npy("'<f8'", "(3,)", bytes(24)), _npy("[('a', '<i4'), ('b', '|S3')]", "(2, 1)", bytes(14))]
    return [*plain, _npy("'|O'", "()", pickle.dumps([1])), _zip(zipfile.ZIP_DEFLATED, a=plain[0], b=plain[1])]


def _pickles() -> list[bytes]:
    class Local:
        pass

    values = [{"a": [1, 2.5, None, "x", b"y"], "b": (True, {1, 2})}, [2**70, -1, frozenset("ab")], complex(1, 2)]
    dumped = [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 4, 5)]
    return [*dumped, b"cos\nsystem\n(S'x'\ntR.", b"(S'x'\nios\nsystem\n.", b"\x80\x04\x8c\x02os\x8c\x06system\x93."]


def _bundles() -> list[bytes]:
    return [structures.joined(*_read(STEP / "data" / "iterator.index", STEP / "data" / "iterator.data-00000-of-00001"))]


def _signed() -> list[bytes]:
    """What is signed of a checkpoint, in both forms, and an envelope around it; the signatures are nobody's."""
    digest = hashlib.sha256(b"{}").hexdigest()
    said = statement.Statement("run", 1, f"blake3:{'0' * 64}", digest, "2026-06-01T12:00:00Z")
    nobody: Any = SimpleNamespace(public=SimpleNamespace(id="SHA256:z"), sign=lambda data: b"")
    other = oms.signed("run", {"manifest.json": digest}, (), nobody).payload
    envelopes = [Envelope(statement.TYPE, said.payload, "SHA256:x", b"1"), Envelope(oms.TYPE, other, "SHA256:y", b"2")]
    beside = {"schema_version": "1.0", "signatures": [one.plain() for one in envelopes]}
    return [said.payload, other, json.dumps(beside).encode()]


def _packed() -> list[bytes]:
    import bz2
    import lzma

    content = pickle.dumps({"a": list(range(20))})
    return [_tar(), structures.packed(content), bz2.compress(content), lzma.compress(content)]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "safetensors": lambda: _read(*sorted(FROZEN.rglob("*.safetensors"))),
    "zip": lambda: [
        _zip(zipfile.ZIP_STORED, data=b"{}", policy__x=b"content"),
        _zip(zipfile.ZIP_DEFLATED, **{"a.npy": _arrays()[0], "b.pkl": _pickles()[0], "c.json": b'{"a": 1}'}),
        _zip(zipfile.ZIP_STORED, inner=_zip(zipfile.ZIP_STORED, data=b"x")),
        *_read(STEP / "agent" / "model.zip", STEP / "policy" / "optimizer_state.pth"),
        *_read(*sorted((TESTS / "compat" / "frozen_torch").rglob("*.pth"))),
    ],
    "npy": _arrays,
    "pickle": _pickles,
    "tf-bundle": _bundles,
    "sstable": lambda: _read(STEP / "data" / "iterator.index"),
    "json": lambda: [
        *_read(STEP / "manifest.json", STEP / "rng" / "rng.json", FROZEN / "ppo" / "run1" / ".ckptkit" / "refs.json"),
        *_read(FROZEN / "trained" / "checkpoint-4" / "trainer_state.json", STEP / "policy" / "module_state.json"),
        *_signed(),
        b'[1, -2.5e3, "a\\u00e9\\n", null, true, {"$number": "nan"}, {"a": {"b": []}}]',
    ],
    "yaml": lambda: [
        b"store: checkpoints\nretention:\n  keep_last: 3\n  keep_daily: 7\nruns:\n  'ppo/*':\n    level: digest\n"
        b"    resume: [python, train.py, '{path}']\n",
        b"mirror: {store: backup, retention: {keep_last: all}}\ntrainers: {lightning: 'python {path}'}\n",
        b"!!python/object/apply:os.system ['x']\n--- # two\n- !!python/tuple [1, 2]\n- &a {b: 1}\n- *a\n",
        b"%TAG ! tag:yaml.org,2002:python/\n---\n!object/new:x.Y\nargs: [2024-01-01, 0x1f, 1_0, ~, .inf]\n",
    ],
    "others": lambda: [
        *_read(*(path for path in sorted(OTHERS.iterdir()) if path.suffix != ".py")),
        *_read(*sorted(WHOLE.iterdir())),
        *_packed(),
    ],
}
SEEDS["trainers"] = lambda: [
    form + data
    for form, reader in ((b"j", "json"), (b"z", "zip"), (b"a", "npy"), (b"y", "yaml"), (b"p", "pickle"))
    for data in (*SEEDS[reader](), *_TRAINED.get(form, ()))
    if len(data) < MOST
]
_TRAINED: dict[bytes, tuple[bytes, ...]] = {
    b"j": (
        b'{"global_step": 4, "epoch": 0.5, "log_history": [{"step": 4, "loss": 0.5}], "best_global_step": 2,'
        b' "best_model_checkpoint": "x/checkpoint-2"}',
        b'{"step": 2}', b"global_step4\n", b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
    ),
    b"y": (
        b"!!python/object/apply:collections.OrderedDict\n- - - algo\n    - ppo\n  - - env\n    - CartPole-v1\n"
        b"  - - n_timesteps\n    - 1e4\n",
    ),
}  # fmt: skip
WORDS: dict[str, tuple[bytes, ...]] = {
    "safetensors": (
        *(b'"dtype":"F32"', b'"F4"', b'"shape":[', b'"data_offsets":[0,', b'"__metadata__":{', b"9223372036854775807"),
    ),
    "zip": (
        *(b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\x01\x00\x18\x00", b"\xff\xff\xff\xff", b"../"),
        *(
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"X\x07\x00\x00\x00storage",
            b"ctorch\nFloatStorage\n",
            b"Q",
            b"R",
            b"(t",
        ),
    ),
    "npy": (
        *(b"\x93NUMPY", b"'descr'", b"'|O'", b"'shape'", b"(1,)", b"True", b"[('a', '<f4', (2,))]", b"-1", b"'<M8[s]'"),
    ),
    "pickle": (*(op.code.encode("latin-1") for op in pickletools.opcodes), b"cos\nsystem\n", b"\x8c\x04eval"),
    "tf-bundle": (b"\x08\x09", b"\x12\x04", b"\x28", b"\x35", b"\xff\xff\xff\xff\x0f", b"\x3a\x00"),
    "sstable": (structures.MAGIC, b"\xff\xff\xff\xff\x0f", b"\x00\x01\x00", b"\x80\x80\x80\x80\x80\x80"),
    "json": (
        *(b'{"$number":"nan"}', b'"schema_version"', b"NaN", b"1e999", b"\\ud800", b"[" * 40, b"null", b'"path":'),
    ),
    "yaml": (
        *(b"!!python/name:", b"*a", b"&a ", b"<<: ", b"? ", b"!<tag:", b"%TAG", b"---\n", b"...\n", b"|2-\n", b"0b_"),
    ),
    "trainers": (b"global_step", b"num_timesteps", b"best_model_checkpoint", b"weight_map", b"- - - algo\n", b"1e999"),
    "others": (
        *(b"\x89HDF\r\n\x1a\n", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"GGUF", b"PAR1", b"ustar", b"\x1f\x8b", b"BZh9"),
    ),
}
"""Of each format, for the fuzzer to try."""
