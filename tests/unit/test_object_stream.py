"""The stream over an object reads what a file of the same bytes reads, and asks for no more than it must."""

import io
import random
from datetime import UTC, datetime

import pytest

from ckptkit.errors import ConflictError
from ckptkit.storage.objects.service import Info
from ckptkit.storage.objects.stream import BLOCK, GLANCE, ObjectStream

SIZE = 5 * BLOCK + 4711
DATA = random.Random(5).randbytes(SIZE)


class _Service:
    def __init__(self, data: bytes = DATA) -> None:
        self.data, self.version = data, "v1"
        self.asked: list[tuple[int, int]] = []

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        assert length is not None
        self.asked.append((start, length))
        return self.data[start : start + length], Info(key, len(self.data), self.version, datetime.now(UTC))

    def open(self) -> ObjectStream:
        return ObjectStream(self.read, "key", "s3://b/key")


def test_it_reads_what_a_file_reads_wherever_it_is_sought() -> None:
    draws = random.Random(7)
    with io.BytesIO(DATA) as file, _Service().open() as stream:
        for _ in range(60):
            whence = draws.choice([io.SEEK_SET, io.SEEK_SET, io.SEEK_END, io.SEEK_CUR])
            offset = {io.SEEK_SET: draws.randrange(SIZE), io.SEEK_END: -draws.randrange(SIZE), io.SEEK_CUR: 0}[whence]
            size = draws.choice([1, 8, 4096, BLOCK, BLOCK + 1])
            assert stream.seek(offset, whence) == file.seek(offset, whence) == stream.tell()
            assert stream.read(size) == file.read(size)


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, SIZE])
def test_each_byte_is_asked_for_once_where_all_is_read(size: int) -> None:
    service = _Service(DATA[:size])
    with service.open() as stream:
        assert stream.read() == DATA[:size]
    assert sorted(service.asked) == [(start, BLOCK) for start in range(0, max(size, 1), BLOCK)]


def test_a_look_at_the_start_and_the_end_costs_one_request_for_each() -> None:
    service = _Service()
    with service.open() as stream:
        assert stream.seek(0, io.SEEK_END) == SIZE
        stream.seek(0)
        assert stream.read(4096) == DATA[:4096]
        stream.seek(-100, io.SEEK_END)
        assert stream.read(100) == DATA[-100:]
    assert service.asked == [(0, BLOCK), (SIZE - 100, GLANCE)]


def test_an_object_that_is_written_over_meanwhile_is_no_mixture() -> None:
    service = _Service()
    with service.open() as stream:
        stream.seek(2 * BLOCK)
        service.version = "v2"
        with pytest.raises(ConflictError, match="changed while it was read"):
            stream.read(1)


def test_before_the_start_there_is_nothing() -> None:
    with _Service().open() as stream, pytest.raises(OSError, match="Invalid argument"):
        stream.seek(-1)
