"""A file is digested while it is written, and read for its digest only if it was made or changed in another way."""

import os
from pathlib import Path

import blake3
import pytest

from ckptkit.digest import digest_file
from ckptkit.sink import Sink, Sinks

DATA = os.urandom((5 << 19) + 3)  # two and a half blocks


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note which files are read for their digests."""
    paths: list[Path] = []

    def noting(path: Path, *given: str, **named: object) -> tuple[int, str]:
        paths.append(path)
        return digest_file(path, *given)

    monkeypatch.setattr("ckptkit.sink.digest_file", noting)
    return paths


def test_a_sink_holds_digests_and_counts_what_is_written_in_pieces_of_any_size(tmp_path: Path) -> None:
    blocks: list[int] = []
    with Sink(tmp_path / "f", on_bytes=blocks.append) as sink:
        assert sink.write(DATA[:5]) == 5
        assert sink.tell() == 5
        assert sink.write(memoryview(DATA[5:]).cast("b")) == len(DATA) - 5
    assert (tmp_path / "f").read_bytes() == DATA
    assert (sink.size, sink.digest) == (len(DATA), f"blake3:{blake3.blake3(DATA).hexdigest()}")
    assert blocks == [5, 1 << 20, 1 << 20, len(DATA) - 5 - (2 << 20)]


def test_a_sink_does_not_write_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        Sink(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"old"


def test_a_closed_sink_takes_nothing_more(tmp_path: Path) -> None:
    with Sink(tmp_path / "f") as sink:
        sink.write(b"all")
    with pytest.raises(ValueError, match="closed"):
        sink.write(b"more")


def test_what_was_written_through_a_sink_is_not_read(tmp_path: Path, read: list[Path]) -> None:
    sinks = Sinks("sha256")
    with sinks.create(tmp_path / "f") as stream:
        stream.write(DATA)
    assert sinks.digest(tmp_path / "f") == digest_file(tmp_path / "f", "sha256")
    assert read == []


def test_what_was_written_without_one_is_read(tmp_path: Path, read: list[Path]) -> None:
    (tmp_path / "f").write_bytes(DATA)
    assert Sinks("blake3").digest(tmp_path / "f") == digest_file(tmp_path / "f")
    assert read == [tmp_path / "f"]


def test_what_was_changed_after_it_was_closed_is_read(tmp_path: Path, read: list[Path]) -> None:
    sinks = Sinks("blake3")
    with sinks.create(tmp_path / "f") as stream:
        stream.write(DATA)
    with (tmp_path / "f").open("ab") as more:
        more.write(b"!")
    assert sinks.digest(tmp_path / "f") == digest_file(tmp_path / "f")
    assert read == [tmp_path / "f"]


def test_what_another_file_took_the_place_of_is_read(tmp_path: Path, read: list[Path]) -> None:
    sinks = Sinks("blake3")
    with sinks.create(tmp_path / "f") as stream:
        stream.write(b"one")
    (tmp_path / "g").write_bytes(b"two")
    os.utime(tmp_path / "g", ns=((tmp_path / "f").stat().st_mtime_ns,) * 2)
    (tmp_path / "g").rename(tmp_path / "f")
    assert sinks.digest(tmp_path / "f") == digest_file(tmp_path / "f")


def test_where_only_the_digest_is_wanted_nothing_is_written(tmp_path: Path, read: list[Path]) -> None:
    sinks = Sinks("blake3", keep=False)
    with sinks.create(tmp_path / "f") as stream:
        stream.write(DATA)
    assert not list(tmp_path.iterdir())
    assert sinks.unkept() == [tmp_path / "f"]
    assert sinks.digest(tmp_path / "f") == (len(DATA), f"blake3:{blake3.blake3(DATA).hexdigest()}")
