"""The memo of the inert machine: it knows every entry, and keeps the few whose value may be looked at."""


class Memo:
    """A memo in which plain data costs nothing: nearly all entries are, and there may be one for every second byte.

    Args:
        plain: the value that is not kept, only known to be there.
    """

    def __init__(self, plain: object) -> None:
        self._plain = plain
        self._kept: dict[int, object] = {}
        self._count = 0  # all indices below were put
        self._others: set[int] = set()

    def __len__(self) -> int:
        """Return how many entries there are."""
        return self._count + len(self._others)

    @property
    def cost(self) -> int:
        """How many entries take memory."""
        return len(self._kept) + len(self._others)

    def put(self, index: int, value: object) -> None:
        """Put a value away, over another one that may be there."""
        if index == self._count:
            self._count += 1
            while self._others and self._count in self._others:
                self._others.discard(self._count)
                self._count += 1
        elif index > self._count:
            self._others.add(index)
        if value is not self._plain:
            self._kept[index] = value
        elif self._kept:
            self._kept.pop(index, None)

    def get(self, index: int) -> object:
        """Return a value; raises KeyError when none was put there."""
        if index in self._kept:
            return self._kept[index]
        if 0 <= index < self._count or index in self._others:
            return self._plain
        raise KeyError(index)
