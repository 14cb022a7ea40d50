"""A torch checkpoint of any size that takes no room: `python -m benchmarks.sparse_checkpoint PATH --gigabytes 200`.

Writes what `torch.save` writes of one tensor (ZIP64, aligned storage), with a hole in place of its zeros; called again,
it looks into it with the gate. Prints seconds and the peak of memory.
"""

import argparse
import io
import resource
import struct
import time
import zipfile
import zlib
from pathlib import Path

LONG = 0xFFFFFFFF
ALIGNMENT = 64


def write(path: Path, size: int) -> None:
    """Write a checkpoint whose one storage is a hole of ``size`` bytes, a multiple of 4."""
    import torch

    small = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, small)
    archive = zipfile.ZipFile(small)
    members = {name: archive.read(name) for name in archive.namelist()}
    count = size // 4
    # The counts of the real pickle are one-byte integers of 3: storage, and shape of the tensor.
    wide = b"\x8a\x06" + count.to_bytes(6, "little")
    pickled = next(name for name in members if name.endswith("data.pkl"))
    members[pickled] = members[pickled].replace(b"K\x03", wide)
    entries = []
    with path.open("wb") as stream:
        for name, data in members.items():
            storage = name.endswith("data/0")
            length = size if storage else len(data)
            crc = crc_of_zeros(size) if storage else zlib.crc32(data)
            entries.append((name, stream.tell(), length, crc))
            extra = struct.pack("<2H2Q", 1, 16, length, length)
            padding = -(stream.tell() + 30 + len(name) + len(extra) + 4) % ALIGNMENT
            extra += struct.pack("<2H", 0x4246, padding) + b"Z" * padding
            stream.write(struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, crc, LONG, LONG, len(name), len(extra)))
            stream.write(name.encode() + extra)
            if storage:
                stream.seek(size, 1)
            else:
                stream.write(data)
        _directory(stream, entries)


def _directory(stream: io.BufferedWriter, entries: list[tuple[str, int, int, int]]) -> None:
    start = stream.tell()
    for name, offset, length, crc in entries:
        extra = struct.pack("<2H3Q", 1, 24, length, length, offset)
        fixed = (b"PK\1\2", 45, 45, 0, 0, 0, 33, crc, LONG, LONG, len(name), len(extra), 0, 0, 0, 0, LONG)
        stream.write(struct.pack("<4s6H3I5H2I", *fixed) + name.encode() + extra)
    size = stream.tell() - start
    count = len(entries)
    stream.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start))
    stream.write(struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1))
    stream.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, LONG, 0))


def crc_of_zeros(size: int) -> int:
    """Return the CRC-32 of so many zero bytes in steps that double: appending zeros is a linear map of the register."""
    # Rows of the map for one zero byte: what it makes of each bit of the register.
    rows = [_shifted(1 << bit) for bit in range(32)]
    register = LONG
    while size:
        if size & 1:
            register = _apply(rows, register)
        rows = [_apply(rows, row) for row in rows]
        size >>= 1
    return register ^ LONG


def _shifted(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (0xEDB88320 if register & 1 else 0)
    return register


def _apply(rows: list[int], register: int) -> int:
    result = 0
    for bit, row in enumerate(rows):
        if register >> bit & 1:
            result ^= row
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--gigabytes", type=int, default=200)
    options = parser.parse_args()
    from ckptkit.formats.kinds import look_into_file

    if not options.path.exists():
        write(options.path, options.gigabytes * 10**9)
        return
    start = time.monotonic()
    problems = look_into_file(options.path, file=options.path.name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    found = options.path.stat()
    print(f"{found.st_size} bytes, {found.st_blocks * 512} on the disk")
    print(f"problems: {problems}; {time.monotonic() - start:.1f} s, peak {peak} MiB")


if __name__ == "__main__":
    main()
