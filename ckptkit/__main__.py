"""Where the program begins, as `ckptkit` or as `python -m ckptkit`: Ctrl-C is quiet already while it is imported."""

import gc
import os
import signal

_GARBAGE = 50_000
"""Objects between two searches for circular garbage: imports alone make thousands, none of which is any."""


def _end(number: int, frame: object) -> None:
    os.write(2, b"interrupted, nothing was changed\n")
    os._exit(128 + number)


def run() -> None:
    """Entry point of the console script."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is for a job in the background
        signal.signal(signal.SIGINT, _end)
    gc.set_threshold(_GARBAGE)
    from ckptkit.cli import main

    main.run()


if __name__ == "__main__":
    run()
