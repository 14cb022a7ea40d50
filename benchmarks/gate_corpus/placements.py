"""Where a payload can hide: containers, names and backends, each with the loader that runs it."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch

from benchmarks.gate_corpus.payloads import MARKED, payloads

NAMES = ("a.bin", "a.ckpt", "a.joblib", "a.dat", "a.distcp", "a.pkl", "a.pt", "a", "pytorch_model.bin", "a.txt")
"""Names of files: none of them may play a part."""
BARE = ("protocol 0", "protocol 4", "protocol 4 without PROTO", "INST", "before raw bytes")


@dataclass(frozen=True, slots=True)
class Placement:
    """One payload at one place.

    Attributes:
        label: what and where.
        backend: which backend the item is given to.
        files: the item's files by name.
        loader: which loader runs it: ``pickle``, ``torch``, ``joblib``, ``numpy``, ``zip`` (each member, by pickle and
            by torch), ``yaml`` or ``sb3``; empty if there is none at hand to try it with.
        file: the file that the loader loads.
    """

    label: str
    backend: str
    files: dict[str, bytes]
    loader: str
    file: str


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED, *, flags: int = 0) -> bytes:
    """Return a zip, with bits of the flags set in both headers of each member."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if flags:
            entries = [(entry.header_offset, entry.filename) for entry in archive.infolist()]
    data = bytearray(buffer.getvalue())
    if flags:
        for offset, _ in entries:
            data[offset + 6] |= flags
        place = -1
        while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
            data[place + 8] |= flags
    return bytes(data)


def torch_zip(payload: bytes, **extra: bytes) -> bytes:
    """Return a file of ``torch.save`` whose pickle is the payload."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, buffer)
    with zipfile.ZipFile(io.BytesIO(buffer.getvalue())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(members)).partition("/")[0]
    if payload:
        members[f"{folder}/data.pkl"] = payload
    return zipped({**members, **{f"{folder}/{name}": data for name, data in extra.items()}})


def legacy_torch(payload: bytes, place: int) -> bytes:
    """Return a file of torch's old form with the payload in place of one of its five pickles."""
    pickles = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}, [])]
    pickles[place] = payload
    return b"".join(pickles)


def sb3_zip(data: dict[str, object] | None = None, **members: bytes) -> bytes:
    """Return the skeleton of an agent's zip."""
    policy = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, policy)
    content = {"data": json.dumps(data or {"gamma": 0.9}).encode(), "policy.pth": policy.getvalue()}
    return zipped({**content, "_stable_baselines3_version": b"2.9.2", **members})


def tarred(members: dict[str, bytes]) -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def object_array(payload: bytes) -> bytes:
    """Return an array file whose pickled objects are the payload."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return buffer.getvalue() + payload


def behind_an_array(payload: bytes) -> bytes:
    """Return what ``joblib.dump`` writes of an array and then the payload."""
    buffer = io.BytesIO()
    joblib.dump([np.arange(1000.0), np.float64(1)], buffer)
    body = payload[2:] if payload[:1] == b"\x80" else payload
    return buffer.getvalue()[:-1] + body


def serialized(payload: bytes) -> dict[str, object]:
    """Return the table of an agent with the payload under one of its keys."""
    return {"gamma": 0.9, "lr_schedule": {":type:": "x", ":serialized:": base64.b64encode(payload).decode()}}


# By container: the name of the file, what makes it, and the loader that runs it.
CONTAINERS: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "torch zip": ("a.pt", torch_zip, "torch"),
    "torch zip as pytorch_model.bin": ("pytorch_model.bin", torch_zip, "torch"),
    "torch zip without a suffix": ("weights", torch_zip, "torch"),
    "torch zip, second data.pkl": ("a.bin", lambda p: torch_zip(b"", **{"data.pkl": p}), "zip"),
    "torch zip, member of another name": ("a.bin", lambda p: torch_zip(b"", **{"extra.bin": p}), "zip"),
    "torch zip, data/0.pth": ("a.bin", lambda p: torch_zip(b"", **{"data/0.pth": p}), "zip"),
    "old torch, object": ("a.bin", lambda p: legacy_torch(p, 3), "torch"),
    "old torch, system info": ("a.dat", lambda p: legacy_torch(p, 2), "torch"),
    "old torch, storage keys": ("a", lambda p: legacy_torch(p, 4), "torch"),
    "oldest torch, a tar": ("a.bin", lambda p: tarred({"storages": p, "tensors": p, "pickle": p}), "torch"),
    "plain zip": ("a.zip", lambda p: zipped({"a.txt": b"x", "state.pkl": p}), "zip"),
    "plain zip, other suffix": ("a.dat", lambda p: zipped({"a.txt": b"x", "state.bin": p}), "zip"),
    "plain zip, encrypted flag": ("a.zip", lambda p: zipped({"a.txt": b"x", "state.pkl": p}, flags=1), ""),
    "plain zip, deflated": ("a.bin", lambda p: zipped({"state": p}, zipfile.ZIP_DEFLATED), "zip"),
    "plain zip with a comment": ("a.zip", lambda p: commented(zipped({"state.pkl": p})), "zip"),
    "zip in a zip": ("a.zip", lambda p: zipped({"inner.zip": zipped({"state.pkl": p})}), ""),
    "deflated zip in a zip": ("a.zip", lambda p: zipped({"i": zipped({"s": p})}, zipfile.ZIP_DEFLATED), ""),
    "zip behind other bytes": ("a.bin", lambda p: b"weights" * 50 + zipped({"state.pkl": p}), "zip"),
    "agent, extra pickle": ("agent.zip", lambda p: sb3_zip(**{"extra.pkl": p}), "zip"),
    "agent, serialized": ("agent.bin", lambda p: sb3_zip(serialized(p)), "sb3"),
    "agent, policy.pth": ("agent.zip", lambda p: sb3_zip(**{"policy.pth": torch_zip(p)}), "zip"),
    "npy of objects": ("a.npy", object_array, "numpy"),
    "npy of objects, other name": ("a.dat", object_array, "numpy"),
    "npz of objects": ("a.npz", lambda p: zipped({"x.npy": object_array(p)}), "numpy"),
    "joblib, behind an array": ("a.joblib", behind_an_array, "joblib"),
    "joblib, behind an array, other name": ("a.bin", behind_an_array, "joblib"),
    "gzip": ("a.joblib.gz", gzip.compress, "joblib"),
    "zlib": ("a.joblib.z", zlib.compress, "joblib"),
    "bz2": ("a.bin", bz2.compress, "joblib"),
    "xz": ("a.dat", lzma.compress, "joblib"),
    "lzma": ("a.lzma", lambda p: lzma.compress(p, lzma.FORMAT_ALONE), "joblib"),
    "gzip, behind an array": ("a.gz", lambda p: gzip.compress(behind_an_array(p)), "joblib"),
    "tar": ("a.tar", lambda p: tarred({"a.txt": b"x", "state.pkl": p}), ""),
}


def commented(data: bytes) -> bytes:
    """Return a zip with a comment at its end."""
    return data[:-2] + len(b"hello").to_bytes(2, "little") + b"hello"


def placements(marker: str) -> Iterator[Placement]:
    """Yield every payload at every place."""
    all_of_them = payloads(marker)
    for trick, payload in all_of_them.items():
        yield Placement(f"files, bare: {trick}", "files", {"state": payload}, "pickle", "state")
    for name in NAMES:
        for trick in BARE:
            yield Placement(f"files, {name}: {trick}", "files", {name: all_of_them[trick]}, "pickle", name)
            yield Placement(
                f"policy folder, {name}: {trick}",
                "safetensors",
                {"model.safetensors": safetensors(), name: all_of_them[trick]},
                "pickle",
                name,
            )
    for container, (name, make, loader) in CONTAINERS.items():
        for trick in MARKED:
            yield Placement(f"files, {container}: {trick}", "files", {name: make(all_of_them[trick])}, loader, name)
        beside = {"model.safetensors": safetensors(), name: make(all_of_them["protocol 2"])}
        yield Placement(f"policy folder, {container}", "safetensors", beside, loader, name)
    yield from _others(marker, all_of_them["protocol 2"])


def _others(marker: str, payload: bytes) -> Iterator[Placement]:
    for name in ("config.yml", "config.txt"):
        tag = f"!!python/object/apply:os.system ['touch {marker}']\n".encode()
        yield Placement(f"files, {name}: a YAML tag", "files", {name: b"a: 1\nb: " + tag}, "yaml", name)
    layer = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": ""}}}}
    keras = zipped({"metadata.json": b"{}", "config.json": json.dumps(layer).encode()})
    yield Placement("files, a.keras: a Lambda layer", "files", {"a.keras": keras}, "", "a.keras")
    for extra in ({"extra.pkl": payload}, {"policy.pth": torch_zip(payload)}):
        name = next(iter(extra))
        yield Placement(f"agent, {name}", "sb3", {"agent.zip": sb3_zip(**extra)}, "zip", "agent.zip")
    yield Placement("agent, serialized", "sb3", {"agent.zip": sb3_zip(serialized(payload))}, "sb3", "agent.zip")
    distributed = torch_zip(payload) + torch_zip(b"")
    yield Placement("files, .distcp: the first of two", "files", {"__0_0.distcp": distributed}, "", "__0_0.distcp")
    metadata = {".metadata": payload, "__0_0.distcp": torch_zip(b"")}
    yield Placement("files, .metadata", "files", metadata, "pickle", ".metadata")


def safetensors() -> bytes:
    """Return a model of one tensor."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes(8)


def write(placement: Placement, folder: Path) -> Path:
    """Write the files of an item, and return what is to be saved: the folder, or the one file."""
    folder.mkdir(parents=True)
    for name, data in placement.files.items():
        (folder / name).write_bytes(data)
    return folder / placement.file if len(placement.files) == 1 else folder
