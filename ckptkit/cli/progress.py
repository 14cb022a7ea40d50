"""How far a long command is, in one line of stderr that never wraps; only on a terminal, and only after a second."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptkit.cli import output
from ckptkit.progress import Meter, Progress

_AFTER = 1.0  # second
_EVERY = 0.1  # second
_BAR = (6, 24)  # cells, if there is room
_CONTROL_C = 3  # cells left free at the end: the terminal writes ^C there, which must not begin a line
_LABEL = 16  # cells that what is done keeps at least


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what shows how far it is, an ``on_progress``; None where nobody would see it."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    bar = _Bar()
    try:
        yield bar.show
    finally:
        bar.clear()


@contextmanager
def bytes_progress(label: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the size of every block of bytes read."""
    with progress_bar(quiet=quiet) as show:
        meter = Meter(label, on_progress=show)
        meter.expect(total)
        yield meter


def line(now: Progress, width: int, bar: str = "━╌") -> str:
    """Return how far it is in so many cells at most: the bar gives way first, then the time left, then the label.

    Args:
        now: how far it is.
        width: cells that there are.
        bar: what it is drawn of: done, and not yet.
    """
    from ckptkit.cli import tables

    part = min(now.done / now.total, 1.0) if now.total else None
    whole, told = output.safe(f"{now.doing} {now.of}".strip()), list(_numbers(now, part))
    least = min(_LABEL, tables.cells(whole))
    numbers = next((text for text in told if len(text) + 2 + least <= width), told[-1])
    room = width - len(numbers) - 2
    label = tables.cut(whole, max(room, 1))
    cells = min(room - tables.cells(label) - 2, _BAR[1])
    drawn = f"{bar[0] * round(part * cells):{bar[1]}<{cells}}  " if part is not None and cells >= _BAR[0] else ""
    return f"{label}  {drawn}{numbers}"


def _numbers(now: Progress, part: float | None) -> Iterator[str]:
    """Yield what is said in numbers, from all of it to the least."""
    rate = f"{output.size(int(now.rate))}/s"
    if part is None or now.total is None:
        yield f"{output.size(now.done)}  {rate}"
        yield output.size(now.done)
        return
    share = f"{int(part * 100):3}%"  # 100 only when nothing is left
    most = f"{share}  {output.size(now.done)} of {output.size(now.total)}  {rate}"
    if now.rate and now.done < now.total:
        yield f"{most}  {_clock((now.total - now.done) / now.rate)} left"
    yield most
    yield share


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Bar:
    def __init__(self) -> None:
        self._drawn = 0.0
        self._there = False

    def show(self, now: Progress) -> None:
        moment = time.monotonic()
        if now.seconds > _AFTER and moment - self._drawn >= _EVERY:
            self._drawn, self._there = moment, True
            bar = "━╌" if output.writable("━╌", sys.stderr) else "#-"
            text = line(now, _width() - _CONTROL_C, bar)
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._there:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _width() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
