"""Hostile files cost little: each is judged in a fresh process that may not grow, and imports no framework."""

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

MEMORY = 300 << 20
CHECK = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from ckptkit.formats.kinds import look_into_file
kind = {"pkl": "pickle", "pth": "torch"}.get(sys.argv[2], sys.argv[2])
problems = look_into_file(Path(sys.argv[1]), file="x", kind=kind)
status = Path("/proc/self/status")  # ru_maxrss would start with what the parent had at the fork
peak = int(status.read_text().split("VmHWM:")[1].split()[0]) << 10 if status.exists() else 0
heavy = [name for name in ("numpy", "torch", "tensorflow", "stable_baselines3", "gymnasium") if name in sys.modules]
print(json.dumps([[p.code for p in problems], peak, heavy]))
"""


def judge(path: Path, kind: str) -> list[str]:
    """Return the codes of the problems; fails if the process grew, imported a framework or crashed."""
    run = subprocess.run([sys.executable, "-c", CHECK, str(path), kind], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    codes, memory, heavy = json.loads(run.stdout)
    assert memory < MEMORY
    assert heavy == []
    return list(codes)


def bomb(size_mib: int, *, claim: int | None = None) -> bytes:
    """Return a zip of one member of so many MiB of zeros, at 1000:1, made without ever holding them."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    body = once * size_mib + packer.flush(zlib.Z_FINISH)
    crc = 0
    for _ in range(size_mib):
        crc = zlib.crc32(block, crc)
    size = size_mib << 20 if claim is None else claim
    numbers = struct.pack("<2H3I", 0, 33, crc, len(body), size)
    local = b"PK\3\4" + struct.pack("<3H", 20, 0, 8) + numbers + struct.pack("<2H", 7, 0) + b"big.npy"
    central = (
        b"PK\1\2" + struct.pack("<4H", 20, 20, 0, 8) + numbers + struct.pack("<5H2I", 7, 0, 0, 0, 0, 0, 0) + b"big.npy"
    )
    start = len(local) + len(body)
    return local + body + central + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(central), start, 0)


@pytest.mark.parametrize("kind", ["zip", "npz", "pth"])
def test_a_bomb_of_a_gigabyte_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bomb(1024))
    assert judge(tmp_path / "x", kind)[0] == "zip-bomb"


@pytest.mark.parametrize("claim", [1000, 100 << 20])
def test_a_bomb_that_claims_to_be_small_is_refused(claim: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bomb(1024, claim=claim))
    assert judge(tmp_path / "x", "zip")[0] == "zip-damaged"


def test_a_million_members_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    entry = b"PK\1\2" + bytes(42)
    with (tmp_path / "x").open("wb") as stream:
        for _ in range(100):
            stream.write(entry * 10_000)
        size = stream.tell()
        stream.write(b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 1_000_000, 1_000_000, size, 0))
        stream.write(b"PK\6\7" + struct.pack("<IQI", 0, size, 1))
        stream.write(b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, size, 0, 0))
    assert judge(tmp_path / "x", "zip")[-1] == "zip-too-large"


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


PICKLES: dict[str, tuple[bytes, str]] = {
    "BINBYTES8 of 2**40": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".", "pickle-damaged"),
    "BYTEARRAY8 of 2**40": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", "pickle-damaged"),
    "LONG_BINPUT of 2**31": (b"\x80\x02Nr\x00\x00\x00\x80\xff", "pickle-damaged"),
    "a number of a million digits": (b"I" + b"9" * 1_000_000 + b"\n\xff", "pickle-damaged"),
    "a line of 20 megabytes": (b"V" + b"x" * (20 << 20) + b"\n\xff", "pickle-damaged"),
    "nesting of 100,000": (b"]" * 100_000 + b"a" * 99_999 + b"\xff", "pickle-damaged"),
    "tuples that double 10,000 times": (b"N" + b"2\x86" * 10_000 + b"\xff", "pickle-damaged"),
    "five million memo entries": (b"]" + b"\x94" * 5_000_000 + b"\xff", "pickle-damaged"),
    "a million marks": (b"(" * 1_000_000 + b".", "pickle-too-complex"),
    "text without end": (b"".join(text("x" * 200) + b"0" for _ in range(180_000)) + b"\xff", "pickle-damaged"),
    "thousands of names": (b"".join(b"cm%d\nn\n0" % i for i in range(100_000)) + b"N.", "pickle-too-complex"),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("kind", ["pkl", "pth"])
def test_a_pickle_that_costs_much_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    data, code = PICKLES[name]
    (tmp_path / "x").write_bytes(data)
    assert judge(tmp_path / "x", kind)[0 if kind == "pth" else -1] == (code if kind == "pkl" else "torch-damaged")


def test_tuples_of_a_torch_file_stay_within_the_budget(tmp_path: Path) -> None:

    tuples = b"\x80\x02" + b"(" + (b"J\x01\x02\x03\x04" * 50 + b"t0(") * 60_000 + b"."
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("archive/data.pkl", tuples)
    assert "pickle-too-complex" in judge(tmp_path / "x", "pth")


def test_an_array_in_a_big_honest_pickle_is_skipped_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as stream:
        stream.write(b"\x80\x04\x8e" + struct.pack("<Q", 4 << 30))
        stream.seek(4 << 30, 1)  # a hole: takes no room on the disk
        stream.write(b".")
    assert judge(tmp_path / "x", "pkl") == []


@pytest.mark.parametrize(
    "shape", ["(1099511627776,)", "(" + "2147483647," * 60 + ")", "(0, 9223372036854775807)", "(1, -1)"]
)
def test_an_array_of_giant_shape_allocates_nothing(shape: str, tmp_path: Path) -> None:
    header = ("{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + "}").encode()
    (tmp_path / "x").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
    assert judge(tmp_path / "x", "npy") == ["npy-damaged"]
