"""The docstring of ckptkit_sb3 is a map of its files."""

import re
from pathlib import Path

import ckptkit_sb3


def test_the_map_names_every_file() -> None:
    files = {path.stem for path in Path(ckptkit_sb3.__file__).parent.glob("*.py")} - {"__init__"}
    named = set(re.findall(r"``(\w+)``", ckptkit_sb3.__doc__ or ""))
    assert named - {"learn"} == files
