"""Which run, item and file names are safe to write down, to join to a folder and to hand to another machine."""

import operator
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ckptkit.errors import ManifestError, RunNameError, UnsafeContentError, UsageError
from ckptkit.layouts import ADOPTED, Layout
from ckptkit.layouts.own_names import MANIFEST_NAME as MANIFEST_NAME
from ckptkit.layouts.own_names import SIDECAR_SUFFIX as SIDECAR_SUFFIX
from ckptkit.layouts.own_names import STEP_FOLDER as STEP_FOLDER
from ckptkit.layouts.own_names import step_folder as step_folder
from ckptkit.layouts.own_names import step_of_name as step_of_name

OBSERVED_NAME = "observed.json"
SHOWN_NAME = "shown.json"
SIGNATURES_NAME = "signatures.json"
NOTES = (OBSERVED_NAME, SHOWN_NAME, SIGNATURES_NAME)
"""What is noted of a checkpoint once it is committed."""
UNLISTED = (MANIFEST_NAME, *NOTES)
"""ckptkit's own files in a checkpoint's folder: no item may have these names, and no manifest lists them."""
STATE_FOLDER = ".ckptkit"
LAST_SAVE_NAME = "last-save.json"
"""In the state folder: a note of the last commit of a run; disposable (see ``catalog.succession``)."""
MAX_STEP = 10**12
MAX_RUN_PARTS = 16  # deeper ones would not be found: it bounds the walk through a folder that is no store at all
_INVISIBLE = ("Cc", "Cs", "Cf")  # control characters, halves of surrogate pairs, marks of direction and the like
_MAX_PATH, _MAX_PART = 1024, 255
_DRIVE = re.compile(r"[A-Za-z]:")
_ITEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))}


def unsafe_reason(path: str) -> str | None:
    """Return why a relative path must not be used, or None when it is safe on every common file system."""
    if not path:
        return "is empty"
    if len(path) > _MAX_PATH:
        return f"is longer than {_MAX_PATH} characters"
    if not (path.isascii() and path.isprintable()) and any(unicodedata.category(c) in _INVISIBLE for c in path):
        return "holds a control or invisible character"
    if path.startswith("/") or "\\" in path or _DRIVE.match(path):
        return "is not relative with '/' between its parts"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if len(part) * 4 > _MAX_PART and len(part.encode()) > _MAX_PART:
            return f"has a part longer than {_MAX_PART} bytes"
        if part[-1] in " ." or part[0] == " ":
            return "has a part that begins or ends with a space, or ends with a dot"
        if part.partition(".")[0].lower() in _DEVICES:
            return f"has the reserved device name {part!r}"
    return None


def check_run(run: str) -> str:
    """Return the run name; raises RunNameError unless it is safe. ``.`` is the store folder itself."""
    if run == ".":
        return run
    cut = run[:80]
    if reason := unsafe_reason(run):
        raise RunNameError(f"run name {cut!r} {reason}")
    if run.count("/") >= MAX_RUN_PARTS:
        raise RunNameError(f"run name {cut!r} has more than {MAX_RUN_PARTS} parts")
    for part in run.split("/"):
        if part[0] in ".-" or STEP_FOLDER.fullmatch(part) or part.endswith(SIDECAR_SUFFIX) or part == MANIFEST_NAME:
            raise RunNameError(f"run name {cut!r} has the part {part!r}, which ckptkit needs for itself")
    if "@" in run:
        raise RunNameError(f"run name {cut!r} holds '@', which parts run and step")
    return run


@lru_cache(maxsize=1024)  # asked of each checkpoint, and runs have thousands
def is_run(name: str) -> bool:
    """Return whether the name can be a run's; a folder found in a store may have any name."""
    try:
        check_run(name)
    except RunNameError:
        return False
    return True


def check_step(step: int) -> int:
    """Return the step; raises UsageError unless it is a whole number from 0 to 10**12."""
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)  # NumPy's counts are whole numbers, too
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_STEP:
        raise UsageError(f"step {step!r} is not a whole number from 0 to {MAX_STEP}", hint="give the training step")
    return number


def check_item_name(name: str) -> str:
    """Return the item name; raises UsageError unless it is a plain word that is not one of ckptkit's own files."""
    if not _ITEM.fullmatch(name) or name.lower() in UNLISTED or (reason := unsafe_reason(name)):
        reason = "must be letters, digits, '.', '_' and '-', beginning with a letter or digit"
        raise UsageError(f"item name {name[:80]!r} {reason}", hint="for example policy, data, rng, agent")
    return name


def check_item_names(items: Iterable[str]) -> None:
    """Raise UsageError if two item names are the same on a file system that folds case."""
    seen: dict[str, str] = {}
    for name in items:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise UsageError(f"item names {other!r} and {name!r} are the same on some file systems")


def check_tag(tag: str) -> str:
    """Return the tag; raises UsageError unless it is a short printable word."""
    if not tag or not tag.isprintable() or len(tag) > 128 or "," in tag:
        raise UsageError(f"tag {tag[:80]!r} is not a short printable word", hint="for example release-1")
    return tag


def check_paths(paths: Iterable[str]) -> None:
    """Check the file paths of one manifest.

    Raises:
        UnsafeContentError: a path is unsafe.
        ManifestError: two paths are equal, or would be on a file system that folds case or composes Unicode.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if reason := unsafe_reason(path):
            raise UnsafeContentError(f"file path {path[:80]!r} {reason}")
        folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
        if folded in seen:
            raise ManifestError(f"file paths {seen[folded]!r} and {path!r} are the same on some file systems")
        seen[folded] = path


def check_given(path: str, item: str, files: Sequence[str]) -> None:
    """Check the place given for an adopted path: an item's folder, a file in it, or the prefix of one.

    Raises:
        UnsafeContentError: the path is unsafe.
        ManifestError: it names none of the item's files.
    """
    if path == "." and all(map(is_flat, files)):
        return
    if reason := unsafe_reason(path):
        raise UnsafeContentError(f"path {path[:80]!r} of item {item!r} {reason}")
    if not any(file == path or file.startswith((f"{path}/", f"{path}.")) for file in files):
        raise ManifestError(f"path {path[:80]!r} of item {item!r} names none of its files")


def is_flat(path: str) -> bool:
    """Return whether a sidecar manifest may list the file: right beside it, and not one of ckptkit's own."""
    return "/" not in path and path not in (STATE_FOLDER, MANIFEST_NAME) and not path.endswith(SIDECAR_SUFFIX)


def lies_beside(layout: Layout, path: str) -> bool:
    """Return whether a manifest that shares its folder may list the file.

    A trainer's may lie in a folder beside it; nothing of a checkpoint of ours, which has a manifest in its folder.
    """
    if layout is not ADOPTED:
        return is_flat(path)
    first, *rest = path.split("/")
    return is_flat(first) and rest != [MANIFEST_NAME] and {first, *rest}.isdisjoint(("", ".", ".."))


def check_folder(name: str, step: int) -> str:
    """Return the folder name of a checkpoint; raises UsageError unless it is one plain name that ends in the step."""
    reason = unsafe_reason(name) or ("has more than one part" if "/" in name else None)
    if reason is None and (name[0] in ".-" or name.endswith(SIDECAR_SUFFIX)):
        reason = "is a name that ckptkit needs for itself"
    if reason is None and step_of_name(name) != step:
        reason = f"does not end in the step {step}"
    if reason is not None:
        raise UsageError(f"folder name {name[:80]!r} {reason}", hint=f"for example checkpoint-{step}")
    return name
