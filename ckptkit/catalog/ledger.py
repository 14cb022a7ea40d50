"""The ledger: which checkpoints of a store were verified, how, when, and by which stamps they are still the same.

It says nothing that a verification could not say again, lies outside the store, and may be lost at any time. It knows
names and stamps only: what lies behind them, and whether a line is to be trusted, others decide.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.catalog.cache_folder import ledger_file
from ckptkit.catalog.known import Known
from ckptkit.catalog.table import Line, Table

_TOGETHER = 500  # lines that are written at once: a long verification that is cut off loses no more


class Ledger:
    """What is known of the checkpoints of one store.

    Args:
        store: tells this store from any other, at any time and on any machine that shares the file.
        file: where it is kept; None: nothing is known and nothing is kept.
    """

    def __init__(self, store: str, file: Path | None) -> None:
        self._store = store
        self._table = None if file is None else Table(file)
        self._waiting: list[Line] | None = None

    @classmethod
    def of(cls, store: str, *, cache: bool = True) -> "Ledger":
        """Return the ledger of a store in the user's cache folder, or with ``cache=False`` one that knows nothing."""
        return cls(store, ledger_file() if cache else None)

    def of_run(self, run: str, names: Collection[str] | None = None) -> dict[str, Known]:
        """Return what is known of the checkpoints of a run, by name: of these names, or of all."""
        lines = {} if self._table is None else self._table.of_run(self._store, run, names)
        return {name: known for name, text in lines.items() if (known := _decoded(text)) is not None}

    def one(self, run: str, name: str) -> Known | None:
        """Return what is known of one checkpoint."""
        return self.of_run(run, {name}).get(name)

    def note(self, run: str, name: str, known: Known) -> None:
        """Keep what was found of a checkpoint, in place of what was known of it."""
        if self._table is None:
            return
        line = (run, name, known.encoded())
        waiting = self._waiting
        if waiting is None:
            self._table.put(self._store, [line])
            return
        waiting.append(line)
        if len(waiting) >= _TOGETHER:
            self._flush(go_on=True)

    def forget(self, run: str, names: Iterable[str]) -> None:
        """Drop what is known of checkpoints that are gone."""
        gone = list(names)
        if gone and self._table is not None:
            self._table.drop(self._store, run, gone)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is noted in the block in few goes; many checkpoints then cost little more than one."""
        if self._waiting is not None:
            yield
            return
        self._waiting = []
        try:
            yield
        finally:
            self._flush(go_on=False)

    def _flush(self, *, go_on: bool) -> None:
        lines, self._waiting = self._waiting, [] if go_on else None
        if lines and self._table is not None:
            self._table.put(self._store, lines)


def _decoded(text: str) -> Known | None:
    try:
        return Known.decoded(text)
    except (ValueError, TypeError, AttributeError):
        return None
