"""What ckptkit calls its own folders and files."""

import re

MANIFEST_NAME = "manifest.json"
SIDECAR_SUFFIX = ".manifest.json"
STEP_FOLDER = re.compile(r"step-[0-9]+")
_DIGITS = "0123456789"
_MOST_DIGITS = 13


def step_folder(step: int) -> str:
    """Return the folder name of a step, for example ``step-00005000``; names sort as numbers do up to 10**8."""
    return f"step-{step:08d}"


def step_of_name(name: str) -> int | None:
    """Return the number that a folder or file stem ends in, or None."""
    name = name.removesuffix("\n")
    digits = name[len(name.rstrip(_DIGITS)) :]  # asked of each name in a run: a pattern takes four times as long
    return int(digits[-_MOST_DIGITS:]) if digits else None
