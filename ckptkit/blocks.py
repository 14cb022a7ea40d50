"""The bytes of a stream, block by block: read in turn with what is done with them, or ahead of it in a thread."""

import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue

Read = Callable[[bytearray], int]
"""Fills a buffer from its start, and returns how many bytes it read; none at the end."""

_IN_TURN = 1 << 18  # bytes: what is read is still in the core's own cache when it is used
_AHEAD = 1 << 22  # bytes: enough for the threads of a hasher to share
_BUFFERS = 3  # one that is used, one that is full, one that is being filled


def in_turn(read: Read, expected: int) -> Generator[memoryview, None, None]:
    """Yield all there is to read; each block is gone with the next.

    Args:
        read: of the stream.
        expected: about how many bytes there are. Where there are as many, and the last read might have been longer, it
            was the last: a small file is a single read.

    Raises:
        Exception: what ``read`` raises.
    """
    buffer = bytearray(min(_IN_TURN, expected + 1))
    view = memoryview(buffer)
    done = 0
    while count := read(buffer):
        done += count
        yield view[:count]
        if done == expected and count < len(buffer):
            return


def ahead(read: Read) -> Generator[memoryview, None, None]:
    """Yield the same while a thread reads on, at most two blocks ahead; close it, and nothing is read any more.

    Raises:
        Exception: what ``read`` raises.
    """
    free: SimpleQueue[bytearray | None] = SimpleQueue()
    full: SimpleQueue[tuple[bytearray, int] | BaseException] = SimpleQueue()

    def fill() -> None:
        try:
            while (buffer := free.get()) is not None:
                count = read(buffer)
                full.put((buffer, count))
                if not count:
                    return
        except BaseException as error:  # for who uses the blocks to raise
            full.put(error)

    for _ in range(_BUFFERS):
        free.put(bytearray(_AHEAD))
    thread = threading.Thread(target=fill, name="ckptkit read ahead", daemon=True)
    thread.start()
    try:
        while True:
            got = full.get()
            if isinstance(got, BaseException):
                raise got
            buffer, count = got
            if not count:
                return
            yield memoryview(buffer)[:count]
            free.put(buffer)
    finally:
        free.put(None)
        thread.join()
