"""A progress bar on stderr, for people, and only when the work takes longer than a second."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bytes_progress(label: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the size of every block of bytes read."""
    bar = _Bar(label, total, visible=not quiet and sys.stderr.isatty())
    try:
        yield bar.advance
    finally:
        bar.close()


class _Bar:
    def __init__(self, label: str, total: int | None, *, visible: bool) -> None:
        self._label, self._total, self._visible = label, total, visible
        self._started, self._done = time.monotonic(), 0
        self._progress: Any = None
        self._task: Any = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._visible and self._progress is None and time.monotonic() - self._started > 1:
            self._start()
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._label, total=self._total)
        self._progress.start()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
