"""Honest files, written here and now by the libraries that trainers use, and data that merely begins like a pickle."""

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate_corpus import honest_rl, honest_torch

Written = tuple[Path, list[Path]]
"""What is to be saved, and the files in it that are trusted."""


@dataclass(frozen=True, slots=True)
class Case:
    """One honest file or folder.

    Attributes:
        family: who writes such files.
        label: which of them.
        write: writes it into a folder.
        backend: which backend it is given to; found by content if None.
        files: how many files are counted.
        told: codes of warnings that are right: an old format, objects in an array.
    """

    family: str
    label: str
    write: Callable[[Path], Written]
    backend: str | None = "files"
    files: int = 1
    told: tuple[str, ...] = ()


TOLD = {"legacy torch": ("torch-legacy-format",), "NumPy objects": ("npy-object-dtype",), "joblib": ("file-trusted",)}


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for family, label, backend, write in (*honest_torch.writers(), *honest_rl.writers()):
        yield Case(family, label, write, backend, told=TOLD.get(family, ()))
    yield Case("plain binary", "formats of nobody", plain_binary, files=len(PLAIN))
    yield Case("plain binary", "1,024 random files of every first byte", every_first_byte, files=1024)
    yield Case("plain binary", "1,024 files that begin like pickles", like_pickles, files=1024)


PLAIN: dict[str, bytes] = {
    "a.bin": b"\x80\x00abc",
    "b.bin": b"\x80\x04\x95" + bytes(range(256)) * 9,
    "vocab.txt": b"cast\nabout\nsystem\nre\n",
    "merges.txt": b"(index\nvalue\n)\n",
    "notes": b"PyTorch\nNumPy\nI wrote this.\n",
    "README": b"NNR. A list of nothing.\n",
    "calls.txt": b"))R\n",
    "numbers.csv": b"I1\n2\n3\n",
    "extension.dat": b"\x82\x01" + bytes(range(200)),
    "zero.raw": bytes(5000),
    "long.txt": b"V" + b"x" * (3 << 20),
    "x.txt": b"x marks the place",
    "BZ.txt": b"BZh is how bz2 begins",
    "lines.json": b'{"a": 1}\n{"a": 2}\n',
    "config.yaml": b"a: !env HOME\nb: 100%\n",
    "README.md": b"# Loading\n\nSee python/: `!!python/object/apply:os.system` is *bad*, 100%!\n\t- no: [it\n",
    "PK.txt": b"PK is for public key",
}


def plain_binary(folder: Path) -> Written:
    """Files of no kind, that look like the beginning of some."""
    for name, data in PLAIN.items():
        (folder / name).write_bytes(data)
    return folder, []


def every_first_byte(folder: Path) -> Written:
    """Random files, four for every first byte."""
    source = random.Random(0)
    for number in range(1024):
        data = bytes([number % 256]) + source.randbytes(source.randrange(1, 4000))
        (folder / f"{number:04}{source.choice(['', '.bin', '.dat', '.raw'])}").write_bytes(data)
    return folder, []


def like_pickles(folder: Path) -> Written:
    """Random bytes behind the beginning of a real pickle, and real pickles that are cut or have bytes changed."""
    source = random.Random(1)
    for number in range(1024):
        value = {"step": number, "name": "run", "values": [source.random() for _ in range(20)], "raw": bytes(50)}
        whole = pickle.dumps(value, number % 6)
        cut = whole[: source.randrange(1, len(whole))]
        tail = source.randbytes(source.randrange(500)) if number % 2 else b""
        (folder / f"{number:04}.bin").write_bytes(cut + tail)
    return folder, []
