"""Program: write each kind, break it in each way, save it, print the table as Markdown: ``-m benchmarks.held_files``.

Kinds whose libraries are not installed are left out, and named on stderr.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.held_files import kinds, ways

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a save did: a word for it, and the line that a person reads first."""

    word: str
    said: str


def save(held: kinds.Held, store: Path) -> Outcome:
    """Save files into a new store, as ``ckptkit save`` does."""
    from ckptkit import CheckpointStore
    from ckptkit.errors import CkptkitError
    from ckptkit.store import Files

    try:
        saved = CheckpointStore(store).save("run", held.step, {"it": Files(held.path, held.backend)})
    except CkptkitError as error:
        return Outcome(f"refused ({error.exit_code})", _short(error, held))
    item = saved.manifest.items["it"]
    lines = [*item.captured.reasons, *item.hazards]
    code = "exit 3, " if getattr(saved, "left", None) else ""
    left = [line for line in lines if line.startswith("not saved")]
    return Outcome(f"saved ({code}{item.captured.grade})", (left or lines or [""])[0])


def _short(error: Exception, held: kinds.Held) -> str:
    text = str(error).replace(f"{held.path}/", "").replace(f"{held.path.parent}/", "").removeprefix("item 'it': ")
    return text if len(text) <= 140 else f"{text[:137]}..."


def half_written(kind: kinds.Kind, root: Path) -> Iterator[tuple[str, str, Outcome]]:
    """Yield how, which files, and what came of it; files with the same word are one row."""
    held = kind.write(root / "whole")
    yield "whole", "", save(held, root / "store-whole")
    files = ways.files_of(held)
    for number, (how, apply) in enumerate(ways.WAYS.items()):
        by_word: dict[str, list[tuple[str, Outcome]]] = {}
        for place, name in enumerate(files):
            one = ways.copied(held, root / "whole", root / f"copy-{number}-{place}")
            apply(one, name)
            outcome = save(one, root / f"store-{number}-{place}")
            by_word.setdefault(outcome.word, []).append((name, outcome))
        for found in by_word.values():
            yield how, ", ".join(name for name, _ in found), found[0][1]


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |", flush=True)


def _head(*cells: str) -> None:
    _row(*cells)
    print("|" + "---|" * len(cells))


def main() -> None:
    """Print the three tables."""
    with tempfile.TemporaryDirectory() as place:
        print("## Half-written\n")
        _head("kind", "written by", "how", "files", "outcome", "the first line that is said")
        for number, kind in enumerate(kinds.KINDS):
            if not kind.is_here():
                print(f"left out: {kind.name}: {kind.libraries[0]} is not installed", file=sys.stderr)
                continue
            root = Path(place, str(number))
            (root / "whole").mkdir(parents=True)
            for how, files, outcome in half_written(kind, root):
                _row(kind.name, kind.written_by(), how, files, outcome.word, outcome.said)
        for title, cases in (("Pieces of different moments", ways.moments), ("What lies in a folder", ways.folders)):
            print(f"\n## {title}\n")
            _head("kind", "how", "outcome", "the first line that is said")
            root = Path(place, title)
            for name in ("hf", "accelerate", "lightning", "sb3", "lerobot", "other", "deepspeed", "output"):
                (root / name).mkdir(parents=True)
            for number, (name, how, held) in enumerate(cases(root)):
                outcome = save(held, root / f"store-{number}")
                _row(name, how, outcome.word, outcome.said)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
