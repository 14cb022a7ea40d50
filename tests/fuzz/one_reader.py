"""Program: fuzz one reader with atheris: ``one_reader.py NAME FOLDER --seconds N --seed N``.

What makes it fail, or takes too long or too much memory, is left in FOLDER as ``crash-*``, ``timeout-*`` or ``oom-*``.
"""

import argparse
import os
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ckptkit", "yaml"]):
    import readers
import seeds
import structures

SECONDS, MEBIBYTES = 10, 300
"""What one file may take, at most."""


def _broken(data: bytes) -> None:
    if len(data) % 7 == 3:
        raise ValueError("broken on purpose")


def main() -> None:
    """Fuzz until the time is over; ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=readers.READERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    read, structured = readers.READERS[given.reader]
    known = seeds.WORDS[given.reader]
    corpus = given.folder / "corpus"
    corpus.mkdir(parents=True)
    for number, data in enumerate(seeds.SEEDS[given.reader]()):
        (corpus / f"seed-{number:02}").write_bytes(data)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)

        def change(part: bytes) -> bytes:
            if chance.random() < 0.3:
                part = structures.words(part, chance, known)
            return bytes(atheris.Mutate(part, most))

        if structured is not None and chance.random() < 0.7:
            try:
                return structured(data, change, chance)[:most]
            except Exception:  # it cannot be taken apart any more
                pass
        return change(data)[:most]

    if os.environ.get("CKPTKIT_FUZZ_BREAK"):  # that a failure is noticed is tested, too
        read = _broken
    options = [
        f"-max_total_time={given.seconds}", f"-seed={given.seed}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEBIBYTES}",
        f"-max_len={seeds.MOST}", f"-artifact_prefix={given.folder}/", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], read, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
