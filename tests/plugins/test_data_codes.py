"""The page about checking a dataset explains every code that the checks give, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_code_is_on_the_page_and_none_is_invented() -> None:
    page = (ROOT / "docs/how-to/check-a-dataset.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("|")]
    explained = set(re.findall(r"`(data-[a-z-]+)`", "\n".join(table)))
    given = {
        node.value
        for path in (ROOT / "plugins/ckptkit_data").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"data-[a-z-]+", node.value)
    }
    assert given == explained
