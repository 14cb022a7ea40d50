"""Changes to the inside of a file that leave its outside whole: checksums, lengths and digests are made anew.

Without this a fuzzer seldom comes past the first checksum. Whatever cannot be taken apart raises an error; then the
bytes are changed blindly.
"""

import io
import json as json_
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from ckptkit.digest import digest_bytes
from ckptkit.formats.crc32c import extend, mask
from ckptkit.formats.tf_table import MAGIC, read_table

Change = Callable[[bytes], bytes]
Structured = Callable[[bytes, Change, random.Random], bytes]
NUMBERS = (0, 1, -1, 2, 7, 64, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63))
ODD = (*NUMBERS, None, True, 0.5, float("nan"), "", "a", "../x", "\x00", "\x1b[2J", "\ud800", "x" * 300, [], {}, [[]])


def zips(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change the content or the name of a member, add one, leave one out, or pack it otherwise."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(entry.filename, archive.read(entry), entry.compress_type) for entry in archive.infolist()]
    number = chance.randrange(len(members))
    name, content, method = members[number]
    match chance.randrange(8):
        case 0:
            name = change(name.encode()).decode("utf-8", "replace").replace("\0", "_") or "x"
        case 1:
            method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        case 2:
            members.append(chance.choice(members))
        case 3 if content.startswith(b"PK\3\4"):
            content = zips(content, change, chance)
        case _:
            content = change(content)
    members[number] = (name, content, method)
    if chance.random() < 0.1:
        members.pop(chance.randrange(len(members)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, method in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def npy(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change the description of an array, or a member of an ``.npz``."""
    if data.startswith(b"PK"):
        return zips(data, lambda inner: npy(inner, change, chance) if inner[:1] == b"\x93" else change(inner), chance)
    size = struct.unpack_from("<H", data, 8)[0]
    header, rest = data[10 : 10 + size], data[10 + size :]
    if chance.random() < 0.3:
        rest = change(rest)
    else:
        header = change(header)
    return data[:8] + struct.pack("<H", min(len(header), 0xFFFF)) + header[:0xFFFF] + rest


def safetensors(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change a value in the header, or its text, or the tensors."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    kind = chance.random()
    if kind < 0.6:
        header = _odd(header, chance)
    elif kind < 0.9:
        header = change(header)
    else:
        rest = change(rest)
    return len(header).to_bytes(8, "little") + header + rest


def json(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Put an odd value somewhere; where the whole has a digest of its own, it is right again."""
    value = json_.loads(_odd(data, chance, keep={"digest"}))
    if isinstance(value, dict) and "digest" in value:
        del value["digest"]
        canonical = json_.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        value["digest"] = digest_bytes(canonical.encode("utf-8", "surrogatepass"))
    return json_.dumps(value).encode()


def table(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change a key or a value of a sorted table."""
    entries = read_table(data)
    key = chance.choice(list(entries))
    if chance.random() < 0.25:
        entries[change(key)] = entries.pop(key)
    else:
        entries[key] = change(entries[key])
    return _table(entries)


def bundle(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change the index or the data file of a bundle; checksums of tensors of a fixed size are right again."""
    index, shard = parted(data)
    if chance.random() < 0.5:
        index = table(index, change, chance)
    else:
        shard = change(shard)
    if chance.random() < 0.8:
        index = _table({key: _summed(value, shard) if key else value for key, value in read_table(index).items()})
    return joined(index, shard)


def after_its_form(data: bytes, change: Change, chance: random.Random) -> bytes:
    """Change what stands behind a byte that says in which form it is."""
    inner = {b"j": json, b"z": zips, b"a": npy}.get(data[:1])
    return data[:1] + (change(data[1:]) if inner is None else inner(data[1:], change, chance))


def parted(data: bytes) -> tuple[bytes, bytes]:
    """Return index and data file of a bundle that are one behind the other, after the size of the first."""
    size = int.from_bytes(data[:4], "little")
    return data[4 : 4 + size], data[4 + size :]


def joined(index: bytes, shard: bytes) -> bytes:
    """Do the opposite of ``parted``."""
    return len(index).to_bytes(4, "little") + index + shard


def words(data: bytes, chance: random.Random, known: tuple[bytes, ...]) -> bytes:
    """Put a word of the format somewhere."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(known) + data[at + chance.choice([0, 0, 1, 4]) :]


def _odd(text: bytes, chance: random.Random, keep: set[str] = frozenset()) -> bytes:  # type: ignore[assignment]
    value = json_.loads(text)
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            if key not in keep:
                places.append((node, key))
            if isinstance(node[key], (dict, list)):
                waiting.append(node[key])
    node, key = chance.choice(places)
    match chance.randrange(6):
        case 0 if isinstance(node, dict):
            del node[key]
        case 1 if isinstance(node, dict):
            node[str(chance.choice(ODD))] = node.pop(key)
        case 2:
            other, place = chance.choice(places)
            node[key] = json_.loads(json_.dumps(other.get(place) if isinstance(other, dict) else other[place]))
        case _:
            node[key] = chance.choice(ODD)
    return json_.dumps(value).encode()


def _summed(value: bytes, shard: bytes) -> bytes:
    """Return an entry of a bundle whose last field, the checksum, is that of the bytes it names, if it names any."""
    from ckptkit.formats.protobuf import fields

    numbers = {number: of for number, of in fields(value) if isinstance(of, int)}
    at, size = numbers.get(4, 0), numbers.get(5, 0)
    if value[-5:-4] != b"\x35" or at + size > len(shard):
        return value
    return value[:-4] + struct.pack("<I", mask(extend(0, shard[at : at + size])))


def _table(entries: dict[bytes, bytes]) -> bytes:
    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)

    def block(rows: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in rows) + struct.pack("<II", 0, 1)
        return body + b"\0" + struct.pack("<I", mask(extend(0, body + b"\0")))

    def handle(offset: int, size: int) -> bytes:
        return varint(offset) + varint(size)

    data, meta = block(sorted(entries.items())), block([])
    index = block([(max(entries, default=b""), handle(0, len(data) - 5))])
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(index) - 5)
    return data + meta + index + footer.ljust(40, b"\0") + MAGIC


def packed(data: bytes) -> bytes:
    """Return the bytes as gzip packs them, without a time."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()
