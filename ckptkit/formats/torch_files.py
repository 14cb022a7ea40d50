"""Files of ``torch.save``, checked without torch: the zip form by the role of its members, the old one by pickle.

Byte sniffing would take a raw storage that starts with 0x80 for a pickle, so roles decide: ``*/data.pkl`` is the
pickle, ``*/data/N`` are raw storages, everything else has one known name.

Source: torch/serialization.py (``_save``, ``_legacy_save``), caffe2/serialize/inline_container.cc (member names are
compared without case; CRCs are not checked when reading).
"""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.pickles import follow_pickle
from ckptkit.formats.shown import shown
from ckptkit.formats.torch_storages import Storages
from ckptkit.formats.zip_directory import Entry
from ckptkit.formats.zips import check_zip_stream, list_members, read_entry
from ckptkit.problem import Problem

MAX_PICKLE = 64 << 20
_MAX_STRANGER = 16 << 20
_MAX_DEPTH = 1
_MOST_STRANGERS = 32
_MOST_PICKLES = 4  # one is right; two are refused, but both are looked into
_KNOWN = frozenset((".format_version", ".storage_alignment", "byteorder", "version", ".data/serialization_id"))
_SCRIPT = ("code/", "constants.pkl", "constants/", "extra/")
_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = ("protocol version", "system info", "object", "storage keys")
_ZIP_MAGIC = b"PK\x03\x04"


def check_torch_file(source: Path | bytes, *, file: str, where: str = "") -> list[Problem]:
    """Check a file that ``torch.load`` would read.

    Args:
        source: the file, or its bytes when it lies in another file.
        file: name for the problems.
        where: locator put in front of each message, such as ``policy.pth``.

    Returns:
        Problems of the zip (``zip-*``), of its pickle (``pickle-*``) and of its storages (``torch-*``); empty if it
        is sound and ``torch.load`` of it would run nothing. The old form gives at least a warning.
    """
    try:
        with opened(source) as (stream, length):
            return _check(stream, length, file, where, depth=0)
    except (DamagedError, OSError) as error:
        return [Problem("torch-damaged", _at(where, f"cannot be read ({reason(error)})"), file)]


def _check(stream: BinaryIO, length: int, file: str, where: str, *, depth: int) -> list[Problem]:
    magic = stream.read(len(_LEGACY_MAGIC))
    if magic.startswith(_ZIP_MAGIC):
        problems = check_zip_stream(stream, length, file=file, where=where)
        return problems + _check_members(stream, length, file, where, depth)
    stream.seek(0)
    if magic == _LEGACY_MAGIC:
        return _check_legacy(stream, length, file, where)
    return _check_unknown(stream, length, file, where)


def _check_members(stream: BinaryIO, length: int, file: str, where: str, depth: int) -> list[Problem]:
    """Check what is in the members. They are scanned even if the zip is damaged: torch may read them all the same."""
    try:
        entries = list_members(stream, length)
    except DamagedError:
        return []  # check_zip_stream said it
    problems: list[Problem] = []
    storages = Storages()
    sizes: dict[str, int] = {}
    roles = {entry: entry.name.partition("/")[2].casefold() for entry in entries}
    pickles = [entry for entry in entries if roles[entry] == "data.pkl"]
    for entry in pickles[:_MOST_PICKLES]:
        problems += _check_data(stream, entry, storages, file, where)
    others = [entry for entry in entries if entry not in pickles]
    strangers = [entry for entry in others if not roles[entry].startswith("data/") and roles[entry] not in _KNOWN]
    for entry in strangers[:_MOST_STRANGERS]:
        problems += _check_stranger(stream, entry, roles[entry], file, where, depth)
    for entry in others:
        if roles[entry].startswith("data/"):
            sizes[roles[entry].removeprefix("data/")] = entry.size
    folders = {entry.name.partition("/")[0] for entry in entries}
    if len(strangers) > _MOST_STRANGERS:
        message = f"has {len(strangers)} members that torch.save does not write"
        problems.append(Problem("torch-damaged", _at(where, message), file))
    if not pickles:
        unsafe = [problem for problem in problems if problem.severity == "unsafe"]
        return [*unsafe, Problem("torch-damaged", _at(where, "has no data.pkl: not a file of torch.save"), file)]
    if len(folders) > 1:
        names = ", ".join(shown(folder, 30) for folder in sorted(folders)[:3])
        problems.append(Problem("torch-damaged", _at(where, f"has members under several folders ({names})"), file))
    problems += [Problem(code, _at(where, message), file) for code, message in storages.compare(sizes)]
    return problems


def _check_data(stream: BinaryIO, entry: Entry, storages: Storages, file: str, where: str) -> list[Problem]:
    try:
        data = read_entry(stream, entry, limit=MAX_PICKLE + 1, check_crc=False)
    except DamagedError as error:
        return [Problem("torch-damaged", _at(where, str(error)), file)]
    if len(data) > MAX_PICKLE:
        return [Problem("torch-too-large", _at(where, f"has a data.pkl of more than {MAX_PICKLE} bytes"), file)]
    inner = f"{where}/data.pkl" if where else "data.pkl"
    stream = BytesIO(data)
    problems = follow_pickle(
        stream, len(data), file=file, where=inner, persistent=storages.persistent, call=storages.call
    )
    if stream.tell() < len(data) and not any(problem.severity == "error" for problem in problems):
        message = f"{inner}: {len(data) - stream.tell()} bytes follow its end"
        problems.append(Problem("pickle-trailing-data", message, file))
    return problems


def _check_stranger(stream: BinaryIO, entry: Entry, role: str, file: str, where: str, depth: int) -> list[Problem]:
    name = shown(entry.name)
    if role.startswith(_SCRIPT):
        message = f"member {name!r}: is part of a TorchScript program; torch.load would run it"
        return [Problem("torch-script", _at(where, message), file, severity="unsafe")]
    message = f"member {name!r}: torch.save writes no such file"
    problems = [Problem("torch-unknown-member", _at(where, message), file, severity="warning")]
    try:
        data = read_entry(stream, entry, limit=_MAX_STRANGER, check_crc=False)
    except DamagedError:
        return problems
    inner = f"{where}/{name}" if where else name
    if depth < _MAX_DEPTH:  # a file inside a file, or a pickle under another name
        found = _check(BytesIO(data), len(data), file, inner, depth=depth + 1)
        problems += [problem for problem in found if problem.severity == "unsafe"]
    return problems


def _check_legacy(stream: BinaryIO, length: int, file: str, where: str) -> list[Problem]:
    message = "is in torch's old format of stacked pickles; save it again with a newer torch"
    problems = [Problem("torch-legacy-format", _at(where, message), file, severity="warning")]
    stream.seek(len(_LEGACY_MAGIC))
    storages = Storages()
    for part in _LEGACY_PICKLES:
        inner = f"{where}/{part}" if where else part
        problems += follow_pickle(
            stream, length, file=file, where=inner, persistent=storages.persistent, call=storages.call
        )
        if any(problem.severity == "error" for problem in problems):
            return problems
    left, wanted = length - stream.tell(), storages.legacy_bytes()
    if wanted is not None and left != wanted:
        message = f"has {left} bytes of storages where {wanted} are needed"
        problems.append(Problem("torch-storage-size", _at(where, message), file))
    problems += [Problem(code, _at(where, message), file) for code, message in storages.complaints]
    return problems


def _check_unknown(stream: BinaryIO, length: int, file: str, where: str) -> list[Problem]:
    """Report that it is no torch file; torch.load would all the same unpickle what it begins with."""
    problems = follow_pickle(stream, length, file=file, where=where)
    unsafe = [problem for problem in problems if problem.severity == "unsafe"]
    message = "is empty" if not length else "is not a file of torch.save"
    return [*unsafe, Problem("torch-damaged", _at(where, message), file)]


def _at(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message
