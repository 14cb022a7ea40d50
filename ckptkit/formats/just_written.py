"""Archives that this process has just written: the sums of their large members were taken of the very bytes written."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ckptkit.formats.zip_directory import Member

_LARGE = 1 << 20  # bytes; smaller members are compared all the same: a writer without sums is found by them
_STORED = 0
_files: ContextVar[Collection[str]] = ContextVar("just_written", default=())


@contextmanager
def just_written(files: Collection[str]) -> Iterator[None]:
    """Within the block large members of these files, which are stored as they are, are not read for their sums."""
    token = _files.set(files)
    try:
        yield
    finally:
        _files.reset(token)


def was_summed(member: Member, file: str) -> bool:
    """Return whether a member need not be compared with its sum."""
    plain = member.method == _STORED and member.size == member.compressed
    return plain and member.size > _LARGE and file in _files.get()
