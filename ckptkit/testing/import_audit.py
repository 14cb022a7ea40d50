"""Runs in a fresh interpreter: looks at saved files through a backend and notes what that imported or unpickled."""

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any


class Watch:
    """An import finder that finds nothing, and an audit hook; both only take notes.

    Args:
        heavy: top-level modules to note when they are imported.
    """

    def __init__(self, heavy: Sequence[str]) -> None:
        self.heavy = frozenset(heavy)
        self.stage = "starting"
        self.requested: dict[str, str] = {}
        self.findings: list[str] = []

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Note who first asks for a heavy module."""
        if name in self.heavy and name not in self.requested:
            self.requested[name] = f"{self.stage} imported {name} ({_importer()})"

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note every global that a real unpickler looks up."""
        if event == "pickle.find_class":
            self.findings.append(f"{self.stage} unpickled {arguments[0]}.{arguments[1]}")

    def during(self, stage: str, action: Callable[[], Any]) -> Any:
        """Run one stage; an exception is a finding."""
        self.stage = stage
        try:
            return action()
        except Exception:
            self.findings.append(f"{stage} raised in a fresh process:\n{traceback.format_exc(limit=-4)}")
            return None

    def all_findings(self) -> list[str]:
        """Return the findings; a module that was only asked for (``find_spec``) but not imported does not count."""
        return [*self.findings, *(line for name, line in self.requested.items() if name in sys.modules)]


def _importer() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return "unknown" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def look(question: dict[str, Any]) -> list[str]:
    """Look at the files as the question says and return the findings."""
    from ckptkit.backend import CheckContext, SupportsIngest
    from ckptkit.formats import strict_json

    watch = Watch(question["heavy"])
    sys.meta_path.insert(0, watch)
    sys.addaudithook(watch.audit)
    made = watch.during(
        "importing the backend", lambda: getattr(importlib.import_module(question["module"]), question["class"])()
    )
    if made is None:
        return watch.all_findings()
    directory = Path(question["directory"])
    metadata = strict_json.loads(json.dumps(question["metadata"]).encode())
    version, step = question["format_version"], question["step"]
    context = CheckContext(question["files"], metadata=metadata, format_version=version, step=step)
    watch.during("can_save()", lambda: made.can_save(object()))
    problems = watch.during("check()", lambda: list(made.check(directory, context=context)))
    watch.findings += [
        f"check() in a fresh process: {p.file}: {p.message}" for p in problems or () if p.severity != "warning"
    ]
    if isinstance(made, SupportsIngest):
        watch.during("recognise()", lambda: made.recognise(directory))
        described = CheckContext(question["files"], step=step, source=directory)
        watch.during("describe()", lambda: made.describe(directory, context=described))
    return watch.all_findings()


if __name__ == "__main__":
    request = json.loads(Path(sys.argv[1]).read_bytes())
    sys.path[:] = request["path"]
    Path(sys.argv[2]).write_text(json.dumps(look(request)), encoding="utf-8")
