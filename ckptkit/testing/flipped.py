"""Runs in a fresh interpreter: checks and loads copies of saved files, in each of which one bit is flipped."""

import importlib
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any


def _judge(hooks: Any, saved: Any) -> dict[str, str]:
    from ckptkit.errors import CkptkitError
    from ckptkit.problem import fails

    try:
        if fails(hooks.problems(saved)):
            return {"result": "found"}
    except AssertionError as error:
        return {"result": "raised", "detail": str(error)}
    try:
        hooks.resume(saved, hooks.make_target())
    except CkptkitError as error:
        return {"result": "refused", "detail": f"{type(error).__name__}: {error}"}
    except BaseException as error:  # a panic of Rust is no Exception
        return {"result": "raised", "detail": f"load() raised {type(error).__name__}: {error}"}
    return {"result": "loaded"}


def main(question: Path, answer: Path) -> None:
    """Write one line for each bit; what was written before a crash stays."""
    from ckptkit.backend import SavedItem
    from ckptkit.formats import strict_json
    from ckptkit.testing.damage import flip
    from ckptkit.testing.hooks import Saved
    from ckptkit.testing.newcomer import hooks_of

    request = strict_json.loads(question.read_bytes(), max_depth=200)
    sys.path[:] = request["path"]
    warnings.simplefilter("ignore")
    hooks = hooks_of(request)
    if request["threads"] is not None:
        importlib.import_module("torch").set_num_threads(request["threads"])
    place = Path(request["place"])
    with answer.open("w", encoding="utf-8") as lines:
        for file, bit in request["flips"]:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(request["directory"], place)
            flip(place / file, bit)
            files = tuple(request["files"])
            saved = Saved(place, files, request["step"], SavedItem(), request["metadata"], request["probe"])
            lines.write(strict_json.dumps(_judge(hooks, saved)).decode() + "\n")
            lines.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
