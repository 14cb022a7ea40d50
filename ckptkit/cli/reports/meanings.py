"""What each code of a problem means, in a sentence, and where that is written."""

import os
import re
from functools import cache
from pathlib import Path

_URL = re.compile(r"https?://[A-Za-z0-9._~:/@%+-]+")  # nothing in it means anything in Markdown
VARIABLE = "CKPTKIT_DOCS"
"""The environment variable that names the URL of the documentation's folder, as the steps for CI set it."""


def of(code: str) -> str:
    """Return the meaning; empty for a code of a third-party backend."""
    return _table().get(code, ("", ""))[1]


def url(code: str) -> str | None:
    """Return the address of the page that explains a code; None where nobody said where the documentation is."""
    folder = os.environ.get(VARIABLE, "").rstrip("/")
    if not _URL.fullmatch(folder):
        return None
    section = _table().get(code, ("", ""))[0]
    return f"{folder}/reference/problems.md" + (f"#{section}" if section else "")


@cache
def _table() -> dict[str, tuple[str, str]]:
    """Return section and meaning by code, as docs/reference/problems.md has them, which is not installed."""
    text = Path(__file__).with_name("problems.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return {code: (section, meaning) for code, section, meaning in rows}
