"""What fuzzing found once, and what it begins with: every reader takes it, and has words for what is wrong with it."""

import random
from pathlib import Path

import pytest
from readers import READERS
from seeds import MOST, SEEDS

KEPT = sorted(Path(__file__).with_name("kept").glob("*/*"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_found_no_more(path: Path) -> None:
    READERS[path.parent.name][0](path.read_bytes())


@pytest.mark.parametrize("reader", READERS)
def test_whole_files_are_read_and_so_is_what_structured_changes_make_of_them(reader: str) -> None:
    read, structured = READERS[reader]
    chance = random.Random(7)

    def change(data: bytes) -> bytes:
        at = chance.randrange(len(data) + 1)
        return data[:at] + chance.randbytes(chance.randrange(3)) + data[at + chance.randrange(3) :]

    made = 0
    for data in SEEDS[reader]():
        assert 0 < len(data) <= MOST
        read(data)
        for _ in range(10 if structured else 0):
            try:
                changed = structured(data, change, chance)  # type: ignore[misc]  # it is not None here
            except Exception:  # it was one that has another form
                continue
            made += 1
            read(changed)
    assert made > 0 or structured is None
