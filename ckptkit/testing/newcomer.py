"""Runs in a fresh interpreter: puts saved items back through the hooks of a test class, and continues from them."""

import importlib
import importlib.util
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any


def hooks_of(question: dict[str, Any]) -> Any:
    """Return the hooks; their module is imported by name, or from its file if the name leads nowhere."""
    try:
        module = importlib.import_module(question["module"])
    except ImportError:
        spec = importlib.util.spec_from_file_location(question["module"], question["file"])
        if spec is None or spec.loader is None:
            raise
        module = sys.modules[question["module"]] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    hooks = getattr(module, question["hooks"])
    name, backend = question["backend"]
    return type(hooks.__name__, (hooks,), {"backend": getattr(importlib.import_module(name), backend)})()


def _target(hooks: Any, case: dict[str, Any]) -> Any:
    if case["built"] is not None:
        return hooks.changed_items()[case["built"]][0]()
    return hooks.make_target() if case["grade"] == "complete" else hooks.lesser_items()[case["grade"]]()


def go_on(hooks: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Put one item back and continue; an exception becomes the answer."""
    from ckptkit.backend import SavedItem, SupportsDigests
    from ckptkit.testing.hooks import Saved
    from ckptkit.testing.outputs import fingerprint

    directory, files = Path(case["directory"]), tuple(case["files"])
    saved = Saved(directory, files, case["step"], SavedItem(), case["metadata"], case["probe"])
    changed, outputs = [], []
    try:
        target = _target(hooks, case)
        resumed = hooks.resume(saved, target)
        backend: Any = hooks.backend()
        if target is not None and backend.can_save(target) and isinstance(backend, SupportsDigests):
            recorded, now = (saved.probe or {}).get("digests", {}), backend.digests(target)
            changed = sorted(part for part in recorded if part in now and now[part] != recorded[part])
        outputs = [fingerprint(output) for output in hooks.outputs(resumed)]
    except Exception:
        return {"error": traceback.format_exc(limit=-3), "changed": changed, "outputs": outputs}
    return {"error": None, "changed": changed, "outputs": outputs}


def main(question: Path, answer: Path) -> None:
    """Answer the question, with one entry for each case."""
    from ckptkit.formats import strict_json

    request = strict_json.loads(question.read_bytes(), max_depth=200)
    sys.path[:] = request["path"]
    warnings.simplefilter("ignore")
    hooks = hooks_of(request)
    if request["threads"] is not None:
        importlib.import_module("torch").set_num_threads(request["threads"])  # other numbers of threads round otherwise
    answer.write_text(json.dumps([go_on(hooks, case) for case in request["cases"]]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
