"""Files of ``torch.save``, checked without torch: the zip form by the role of its members, the old one by pickle.

Byte sniffing would take a raw storage that starts with 0x80 for a pickle, so roles decide: ``*/data.pkl`` is the
pickle, ``*/data/N`` are raw storages, everything else has one known name, or is looked into like any file.

Source: torch/serialization.py (``_save``, ``_legacy_save``), caffe2/serialize/inline_container.cc (member names are
compared without case; CRCs are not checked when reading).
"""

import re
from collections.abc import Iterator, Sequence

from ckptkit.errors import DamagedError
from ckptkit.formats import archives
from ckptkit.formats.archives import Look
from ckptkit.formats.escaped import escaped
from ckptkit.formats.pickle_machine import Machine
from ckptkit.formats.pickle_opcodes import TORCH_MAGIC, follow
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickles import follow_pickle
from ckptkit.formats.sources import Source
from ckptkit.formats.torch_storages import Storages
from ckptkit.formats.zip_directory import Member
from ckptkit.formats.zips import check_zip_stream, member_stream
from ckptkit.problem import Problem

_LEGACY_PICKLES = ("magic number", "protocol version", "system info", "object", "storage keys")
_LEGACY_START = 64
_KNOWN = frozenset((".format_version", ".storage_alignment", "byteorder", "version", ".data/serialization_id"))
_SCRIPT = ("code/", "constants.pkl", "constants/", "extra/", ".data/extern_modules")
_STORAGE = re.compile(r"data/\d+")
_PICKLES = ("data.pkl", "constants.pkl")


def shows_torch(source: Source) -> bool:
    """Return whether the content is a zip with the members of ``torch.save``."""
    if not archives.shows_zip(source):
        return False
    return any(_role(entry) in _PICKLES for entry in source.once(archives.members) or ())


def check_torch(source: Source, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with a file that ``torch.load`` would read, and what it would run.

    Args:
        source: the file.
        look: looks into a member that ``torch.save`` does not write.

    Yields:
        Problems of the zip (``zip-*``), of its pickle (``pickle-*``) and of its storages (``torch-*``); none if it is
        sound and ``torch.load`` of it would run nothing.
    """
    if not archives.shows_zip(source):
        yield source.problem("torch-damaged", "is not a file of torch.save" if source.length else "is empty")
        return
    yield from check_zip_stream(source.stream, source.length, file=source.file, where=source.where)
    entries = source.once(archives.members)
    if entries is not None:  # else check_zip_stream said it
        yield from _check_members(source, entries, look)


def _role(entry: Member) -> str:
    """Return the name of a member without the folder that all are in."""
    return entry.name.partition("/")[2].casefold()


def _check_members(source: Source, entries: Sequence[Member], look: Look) -> Iterator[Problem]:
    """Check what is in the members. They are scanned even if the zip is damaged: torch may read them all the same."""
    storages, sizes = Storages(), dict[str, int]()
    pickles = 0
    for entry in entries:
        role = _role(entry)
        if role == "data.pkl":
            pickles += 1
            yield from _check_data(source, entry, storages)
        elif _STORAGE.fullmatch(role):
            sizes[role.removeprefix("data/")] = entry.size
        elif role not in _KNOWN:
            yield from _check_stranger(source, entry, role, look)
    if not pickles:
        yield source.problem("torch-damaged", "has no data.pkl: not a file of torch.save")
        return
    folders = {entry.name.partition("/")[0] for entry in entries}
    if len(folders) > 1:
        names = ", ".join(escaped(folder, 30) for folder in sorted(folders)[:3])
        yield source.problem("torch-damaged", f"has members under several folders ({names})")
    for code, message in storages.compare(sizes):
        yield source.problem(code, message)


def _check_data(source: Source, entry: Member, storages: Storages) -> Iterator[Problem]:
    try:
        stream = member_stream(source.stream, entry)
    except DamagedError as error:
        yield source.problem("torch-damaged", f"member {escaped(entry.name)!r}: {error}")
        return
    inner = source.inner("data.pkl", stream, entry.size, stored=entry.compressed)
    problems = _follow(inner, 0, storages, inner.where)
    yield from problems
    left = entry.size - stream.tell()
    if left and not any(problem.severity == "error" for problem in problems):
        yield inner.problem("pickle-trailing-data", f"{left} bytes follow its end")


def _check_stranger(source: Source, entry: Member, role: str, look: Look) -> Iterator[Problem]:
    name = escaped(entry.name)
    if role.startswith(_SCRIPT):
        message = f"member {name!r}: is part of a program (TorchScript or torch.package); loading would run it"
        yield source.problem("torch-script", message, "unsafe")
    else:
        yield source.problem("torch-unknown-member", f"member {name!r}: torch.save writes no such file", "warning")
        # Nobody promised what it is: only what it would run counts.
        found = archives.look_into_member(source, entry, look)
        yield from (problem for problem in found if problem.severity != "error")


def shows_legacy(source: Source) -> bool:
    """Return whether the first pickle is the magic number of the old form, in whatever protocol."""
    start = source.start(_LEGACY_START)
    source.stream.seek(0)
    try:
        return follow(Machine(source.stream, len(start))) == TORCH_MAGIC
    except PickleError:
        return False


def check_legacy(source: Source) -> Iterator[Problem]:
    """Yield what is wrong with a file of the old form: all five pickles and the storages after them."""
    message = "is in torch's old format of stacked pickles; save it again with a newer torch"
    yield source.problem("torch-legacy-format", message, "warning")
    storages = Storages()
    place = 0
    for part in _LEGACY_PICKLES:
        problems = _follow(source, place, storages, f"{source.where}/{part}" if source.where else part)
        yield from problems
        if any(problem.severity == "error" for problem in problems):
            return
        place = source.stream.tell()
    left, wanted = source.length - place, storages.legacy_bytes()
    if wanted is not None and left != wanted:
        yield source.problem("torch-storage-size", f"has {left} bytes of storages where {wanted} are needed")
    for code, message in storages.complaints:
        yield source.problem(code, message)


def _follow(source: Source, place: int, storages: Storages, where: str) -> list[Problem]:
    source.stream.seek(place)
    return follow_pickle(
        source.stream,
        source.length,
        file=source.file,
        where=where,
        persistent=storages.persistent,
        call=storages.call,
        stored=source.stored,
    )
