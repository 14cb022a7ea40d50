"""The keys of the dict at the top of a torch file, read without torch and without unpickling."""

from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.pickle_machine import INERT, Machine
from ckptkit.formats.pickle_opcodes import follow
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.zips import list_members, member_stream


def top_keys(path: Path) -> frozenset[str]:
    """Return the text keys of the dict that the file holds; empty for anything else, and for a dict of one key.

    Args:
        path: a file of ``torch.save`` in today's form, a zip.

    Raises:
        DamagedError: it is not such a file.
    """
    try:
        with opened(path) as (stream, length):
            found = [e for e in list_members(stream, length) if e.name.partition("/")[2].casefold() == "data.pkl"]
            if len(found) != 1:
                raise DamagedError(f"{path.name}: has no data.pkl: not a file of torch.save")
            entry = found[0]
            machine = _TopKeys(
                member_stream(stream, entry), entry.size, persistent=lambda _: INERT, stored=entry.compressed
            )
            follow(machine)
    except (OSError, PickleError) as error:
        raise DamagedError(f"{path.name}: cannot be read ({reason(error)})") from error
    return frozenset(machine.keys)


class _TopKeys(Machine):
    """Follows the pickle and notes what is put into the one value that lies below all marks."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.keys: set[str] = set()

    def pop_mark(self) -> list[object]:
        items = super().pop_mark()
        if not self.marks and self.depth == 1:
            self.keys |= {key for key in items[::2] if isinstance(key, str)}
        return items
