"""A progress bar on stderr, for people, and only when the work takes longer than a second."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ckptkit.progress import Meter, Progress

_AFTER = 1  # second


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what shows how far it is, an ``on_progress``; None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar()
    try:
        yield bar.show
    finally:
        bar.close()


@contextmanager
def bytes_progress(label: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the size of every block of bytes read."""
    with progress_bar(quiet=quiet) as show:
        meter = Meter(label, on_progress=show)
        meter.expect(total)
        yield meter


class _Bar:
    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None

    def show(self, now: Progress) -> None:
        if self._progress is None and now.seconds > _AFTER:
            self._start(f"{now.doing} {now.of}".strip())
        if self._progress is not None:
            self._progress.update(self._task, completed=now.done, total=now.total)

    def _start(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(label, total=None)
        self._progress.start()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
