"""Program: write each kind, break it in each way, save it, print the table as Markdown: ``-m benchmarks.held_files``.

Kinds whose libraries are not installed are left out, and named on stderr.
"""

import contextlib
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.held_files import kinds, ways

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


_NOTHING = "nothing more than of the whole files"
_MOST_FILES = 3
_MOST_TEXT = 140


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a save did.

    Attributes:
        word: saved or refused, with exit code and grade.
        lines: what it said to a person.
    """

    word: str
    lines: tuple[str, ...]

    def beyond(self, whole: "Outcome") -> str:
        """Return the first line that is not said of the whole files as well."""
        return next((line for line in self.lines if line not in whole.lines), _NOTHING)


def save(held: kinds.Held, store: Path) -> Outcome:
    """Save files into a new store, as ``ckptkit save`` does."""
    from ckptkit import CheckpointStore
    from ckptkit.errors import CkptkitError
    from ckptkit.store import Files

    try:
        saved = CheckpointStore(store).save("run", held.step, {"it": Files(held.path, held.backend)})
    except CkptkitError as error:
        return Outcome(f"refused ({error.exit_code})", (_short(str(error), held),))
    item = saved.manifest.items["it"]
    lines = [*item.captured.reasons, *item.hazards]
    lines += [f"warning: {problem.file}: {problem.message}" for problem in getattr(saved, "warnings", ())]
    lines.sort(key=lambda line: not line.startswith("not saved"))
    code = "exit 3, " if getattr(saved, "left", None) else ""
    return Outcome(f"saved ({code}{item.captured.grade})", tuple(_short(line, held) for line in lines))


def _short(text: str, held: kinds.Held) -> str:
    for place in (held.path, held.path.parent, held.path.parent.parent):
        text = text.replace(f"{place}/", "")
    text = re.sub(r"[0-9a-f]{32}", "0a1b...", text.removeprefix("item 'it': "))
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."


def half_written(kind: kinds.Kind, root: Path) -> Iterator[tuple[str, list[str], str, str]]:
    """Yield how, which files, what came of it, and what was said; files that came to the same end are one row."""
    with contextlib.redirect_stdout(sys.stderr):  # trainers talk
        held = kind.write(root / "whole")
    whole = save(held, root / "store-whole")
    yield "whole", [], whole.word, next(iter(whole.lines), "")
    for number, (how, apply) in enumerate(ways.WAYS.items()):
        alike: dict[tuple[str, bool], list[tuple[str, str]]] = {}
        for place, name in enumerate(ways.files_of(held)):
            one = ways.copied(held, root / "whole", root / f"copy-{number}-{place}")
            apply(one, name)
            outcome = save(one, root / f"store-{number}-{place}")
            said = outcome.beyond(whole)
            alike.setdefault((outcome.word, said == _NOTHING), []).append((name, said))
        for (word, _), found in alike.items():
            yield how, [name for name, _ in found], word, found[0][1]


def _named(files: list[str]) -> str:
    shown = [re.sub(r"[0-9a-f]{32}", "0a1b...", name) for name in files[:_MOST_FILES]]
    return ", ".join([*shown, *([f"and {len(files) - _MOST_FILES} more"] if len(files) > _MOST_FILES else [])])


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |", flush=True)


def _head(*cells: str) -> None:
    _row(*cells)
    print("|" + "---|" * len(cells))


def main() -> None:
    """Print the three tables, and how many files came to which end."""
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as place:
        print("## Half-written\n")
        _head("kind", "written by", "how", "files", "outcome", "the first line that is said of it alone")
        for number, kind in enumerate(kinds.KINDS):
            if not kind.is_here():
                print(f"left out: {kind.name}: {kind.libraries[0]} is not installed", file=sys.stderr)
                continue
            root = Path(place, str(number))
            (root / "whole").mkdir(parents=True)
            for how, files, word, said in half_written(kind, root):
                ends = "silent" if said == _NOTHING else word.partition(" ")[0]
                counts[how, ends] += len(files) or 1
                _row(kind.name, kind.written_by(), how, _named(files), word, said)
        for title, cases in (("Pieces of different moments", ways.moments), ("What lies in a folder", ways.folders)):
            print(f"\n## {title}\n")
            _head("kind", "how", "outcome", "the first line that is said")
            _print_cases(cases, Path(place, title))
    print("\n## How many\n")
    _head("how", "refused", "saved, and said", "saved, and nothing said")
    for how in ("whole", *ways.WAYS):
        _row(how, *(str(counts[how, end]) for end in ("refused", "saved", "silent")))


def _print_cases(cases: Callable[[Path], Iterator[tuple[str, str, kinds.Held]]], root: Path) -> None:
    for name in ("hf", "accelerate", "lightning", "sb3", "lerobot", "other", "deepspeed", "output"):
        (root / name).mkdir(parents=True)
    with contextlib.redirect_stdout(sys.stderr):
        found = [(name, how, save(held, root / f"store-{n}")) for n, (name, how, held) in enumerate(cases(root))]
    for name, how, outcome in found:
        _row(name, how, outcome.word, next(iter(outcome.lines), "").replace(f"{root}/", ""))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
