"""Press Ctrl-C at every point where a command touches the disk: a real SIGINT, in a warm fork of this process.

``python interrupt_points.py FOLDER STRIDE COMMAND...`` prints one JSON document. What a command says must be true,
nothing may lie about afterwards, and the same command once more must do what the first was to do.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from kill_points import MOST_POINTS, Killer, in_child

from ckptkit import CheckpointStore, Files, NotFoundError
from ckptkit.cli import main

Judge = Callable[[Path, str], None]


def prepare(folder: Path) -> None:
    """Write a store with three checkpoints, and what a trainer wrote since."""
    (folder / "data").write_bytes(b"x" * 5000)
    store = CheckpointStore(folder / "store", cache=False)
    for step in (1, 2, 3):
        store.save("r", step, {"data": Files(folder / "data", "files")})


def steps(folder: Path) -> list[int | None]:
    return [at.step for at in CheckpointStore(folder / "store", cache=False).locate("r")]


def saved(folder: Path, line: str) -> None:
    store = CheckpointStore(folder / "store", cache=False)
    if line.startswith("interrupted, but r@4 was committed"):
        assert store.verify("r@4").exit_code == 0, line
        tagged = next(iter(store.list("r", tag="t")), None) is not None
        assert tagged != ("without the tags" in line), line
    else:
        assert line in ("interrupted, nothing was committed", "interrupted, nothing was changed"), line
        assert steps(folder) == [1, 2, 3], line


def replaced(folder: Path, line: str) -> None:
    store = CheckpointStore(folder / "store", cache=False)
    assert steps(folder) == [1, 2, 3]
    assert store.verify("r").exit_code == 0
    metrics = store.manifest("r@3").metrics
    assert metrics == ({"new": 1.0} if "but r@3" in line else {}), line


def restored(folder: Path, line: str) -> None:
    out = folder / "deep" / "out"
    assert (line == "interrupted, but deep/out was complete before that") == out.exists(), line
    assert out.exists() or line in ("interrupted, nothing is left in deep/out", "interrupted, nothing was changed")
    assert [path.name for path in folder.iterdir() if path.name not in ("data", "store", "deep")] == []
    if not out.exists():
        assert not (folder / "deep").exists(), "folders made for it are gone, too"
    else:
        shutil.rmtree(folder / "deep")


def pruned(folder: Path, line: str) -> None:
    left = steps(folder)
    gone = [f"r@{step}" for step in (1, 2) if step not in left]
    assert 3 in left
    if gone:
        assert line.startswith(f"interrupted, {len(gone)} of 2 were removed to the trash ({', '.join(gone)});"), line
        assert "`ckptkit undelete`" in line
    else:
        assert line in ("interrupted, nothing was removed", "interrupted, nothing was changed"), line


def verified(folder: Path, line: str) -> None:
    assert line == "interrupted, nothing was changed"
    assert steps(folder) == [1, 2, 3]


def copied(folder: Path, line: str) -> None:
    begun = "interrupted, what was copied before that is there; the same command goes on with the rest"
    assert line in (begun, "interrupted, nothing was changed"), line
    assert steps(folder) == [1, 2, 3], line
    if (folder / "there").exists():
        there = CheckpointStore(folder / "there", cache=False)
        assert all(one.good for one in there.verify().checkpoints), line
        assert [at.step for at in there.locate()] == [1, 2, 3][: len(there.locate())], line
        staging = folder / "there/r/.ckptkit/staging"
        assert not staging.is_dir() or not list(staging.iterdir()), "staging is empty"


COMMANDS: dict[str, tuple[str, Judge]] = {
    "save": ("save r --step 4 --tag t data:files=data", saved),
    "replace": ("save r --step 3 --replace --metric new=1 data:files=data", replaced),
    "restore": ("restore r@2 deep/out", restored),
    "prune": ("prune r --keep-last 1 --apply", pruned),
    "verify": ("verify r", verified),
    "copy": ("copy store there", copied),
}


def called(words: list[str], folder: Path, arm: Callable[[], object] | None) -> None:
    """Run the program as the console script does, armed at the last moment; stdout and stderr go to files."""
    os.chdir(folder)
    for descriptor, name in ((1, "../stdout"), (2, "../stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    os.environ["CKPTKIT_STORE"] = str(folder / "store")
    sys.argv = ["ckptkit", *words]
    if arm is not None:
        arm()
    try:
        main.run()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def check(words: list[str], judge: Judge, folder: Path, code: int) -> None:
    """Raise AssertionError where what is left, or what was said, is not as it should be."""
    text = (folder.parent / "stderr").read_text()
    if code == 0:  # it came when all was done
        return
    assert code == 130, (code, text)
    lines = [line for line in text.splitlines() if line.startswith("interrupted")]
    assert len(lines) == 1, text
    assert "Traceback" not in text, text
    judge(folder, lines[0])
    staging = folder / "store/r/.ckptkit/staging"
    assert not staging.is_dir() or not list(staging.iterdir()), "staging is empty"
    again = in_child(lambda: called(words, folder, None))
    told = (folder.parent / "stderr").read_text()
    done = 6 if words[0] == "save" and "but r@4" in lines[0] and "--replace" not in words else 0
    assert again == done, (again, told)


def run(name: str, folder: Path, stride: int) -> dict[str, object]:
    """Return how many points were tried, and a line for each at which something was wrong."""
    words, judge = COMMANDS[name][0].split(), COMMANDS[name][1]
    pristine, work = folder / "pristine", folder / "work"
    pristine.mkdir()
    prepare(pristine)
    broken: list[str] = []
    tried = 0
    for point in range(1, MOST_POINTS, stride):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(pristine, work)
        killer = Killer(work, point, signal.SIGINT)
        code = in_child(lambda k=killer: called(words, work, k.install))  # type: ignore[misc]  # bound at once
        try:
            check(words, judge, work, code)
        except (AssertionError, NotFoundError) as error:
            broken.append(f"point {point}: {type(error).__name__}: {error}")
        if code == 0:
            return {"points": tried, "broken": broken}
        tried += 1
    return {"points": tried, "broken": [*broken, f"did not end within {MOST_POINTS} points"]}


if __name__ == "__main__":
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    os.environ["CKPTKIT_BACKGROUND"] = "never"
    told = {}
    for command in sys.argv[3:]:
        place = Path(sys.argv[1]).resolve() / command
        place.mkdir()
        told[command] = run(command, place, int(sys.argv[2]))
    print(json.dumps(told))
