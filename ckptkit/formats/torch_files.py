"""Files of ``torch.save``, checked without torch: the zip form by the role of each member, the old one pickle by pickle.

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
from ckptkit.formats.pickles import check_pickle, follow_pickle
from ckptkit.formats.shown import shown
from ckptkit.formats.torch_storages import Storages
from ckptkit.formats.zip_directory import Entry
from ckptkit.formats.zips import check_zip_stream, list_members, read_entry
from ckptkit.problem import Problem

MAX_PICKLE = 64 << 20
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
            magic = stream.read(len(_LEGACY_MAGIC))
            if magic.startswith(_ZIP_MAGIC):
                return check_zip_stream(stream, length, file=file, where=where) + _check_members(
                    stream, length, file, where
                )
            stream.seek(0)
            if magic == _LEGACY_MAGIC:
                return _check_legacy(stream, length, file, where)
            return _check_unknown(stream, length, file, where)
    except (DamagedError, OSError) as error:
        return [Problem("torch-damaged", _at(where, f"cannot be read ({reason(error)})"), file)]


def _check_members(stream: BinaryIO, length: int, file: str, where: str) -> list[Problem]:
    """Check what is in the members. They are scanned even if the zip is damaged: torch may read them all the same."""
    try:
        entries = list_members(stream, length)
    except DamagedError:
        return []  # check_zip said it
    folders = {entry.name.partition("/")[0] for entry in entries}
    problems: list[Problem] = []
    if len(folders) != 1:
        names = ", ".join(shown(folder, 30) for folder in sorted(folders)[:3])
        problems.append(Problem("torch-damaged", _at(where, f"has members under several folders ({names})"), file))
    pickles, storages = 0, Storages()
    sizes: dict[str, int] = {}
    for entry in entries:
        role = entry.name.partition("/")[2]
        if role == "data.pkl":
            pickles += 1
            problems += _check_data(stream, entry, storages, file, where)
        elif role.startswith("data/"):
            sizes[role.removeprefix("data/")] = entry.size
        elif role not in _KNOWN:
            problems += _check_stranger(stream, entry, role, file, where)
    if not pickles:
        problems.append(Problem("torch-damaged", _at(where, "has no data.pkl: not a file of torch.save"), file))
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


def _check_stranger(stream: BinaryIO, entry: Entry, role: str, file: str, where: str) -> list[Problem]:
    name = shown(entry.name)
    if role.startswith(_SCRIPT):
        message = f"member {name!r}: is part of a TorchScript program; torch.load would run it"
        return [Problem("torch-script", _at(where, message), file, severity="unsafe")]
    message = f"member {name!r}: torch.save writes no such file"
    problems = [Problem("torch-unknown-member", _at(where, message), file, severity="warning")]
    try:
        data = read_entry(stream, entry, limit=MAX_PICKLE, check_crc=False)
    except DamagedError:
        return problems
    found = check_pickle(data, file=file, where=f"{where}/{name}" if where else name)
    return problems + [problem for problem in found if problem.severity == "unsafe"]


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
