"""Starts a fresh interpreter that looks at saved files through a backend, and reports what that imported."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit.formats import strict_json
from ckptkit.testing import import_audit
from ckptkit.testing.hooks import Saved

_LIMIT_SECONDS = 120  # for a hanging check, not for a slow one


def look_from_a_fresh_process(backend: type[Any], saved: Saved, heavy: Sequence[str], place: Path) -> list[str]:
    """Return one line for each heavy import, unpickling or exception of ``can_save``, ``check`` and the ingest methods.

    Args:
        backend: the class; it must be importable by its module and name.
        saved: files to look at.
        heavy: top-level modules that must not be imported.
        place: folder for the question and the answer.
    """
    question, answer = place / "question.json", place / "answer.json"
    question.write_bytes(
        strict_json.dumps(
            {
                "module": backend.__module__,
                "class": backend.__qualname__,
                "path": [entry for entry in sys.path if entry],
                "directory": str(saved.directory),
                "files": saved.files,
                "metadata": saved.metadata,
                "format_version": backend.format_version,
                "step": saved.step,
                "heavy": list(heavy),
            }
        )
    )
    # -P: the folder of the script must not be searched for modules.
    command = [sys.executable, "-P", import_audit.__file__, str(question), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    if not answer.exists():
        return [f"the fresh process ended with code {done.returncode}:\n{done.stderr[-2000:]}"]
    findings: list[str] = json.loads(answer.read_bytes())
    return findings
