"""A stream that is read ahead gives the same bytes, and its errors to who uses them; closed, it is read no more."""

import io
import os
import threading

import pytest

from ckptkit import blocks

DATA = os.urandom(9 << 20)  # more than two of the larger blocks


@pytest.mark.parametrize("size", [0, 1, 1 << 22, len(DATA)])
def test_all_bytes_come_in_order(size: int) -> None:
    data = DATA[:size]
    assert b"".join(map(bytes, blocks.ahead(io.BytesIO(data).readinto))) == data
    assert b"".join(map(bytes, blocks.in_turn(io.BytesIO(data).readinto, size))) == data


def test_more_bytes_than_were_expected_come_too() -> None:
    assert b"".join(map(bytes, blocks.in_turn(io.BytesIO(DATA).readinto, 10))) == DATA


def test_an_error_of_the_stream_is_raised_where_its_bytes_are_used() -> None:
    def broken(buffer: bytearray) -> int:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        next(blocks.ahead(broken))


def test_once_closed_nothing_reads_any_more() -> None:
    reads = 0

    def endless(buffer: bytearray) -> int:
        nonlocal reads
        reads += 1
        return len(buffer)

    before = threading.active_count()
    read = blocks.ahead(endless)
    next(read)
    read.close()
    assert threading.active_count() == before
    assert reads <= 4, "it reads on without end"
