"""Every file that an index, pointer or header in an item names must be in the item too.

Only the names of other files are looked at here; the content of each file is the walker's business.

Source: transformers and diffusers (``*.index.json``, ``model_index.json``), sentence-transformers (``modules.json``),
Keras (``model.weights.json``, ``BackupAndRestore``), tensorflow/python/checkpoint (``checkpoint``), DeepSpeed
(``latest``), torch/distributed/checkpoint/filesystem.py (``.metadata``), orbax (``_CHECKPOINT_METADATA``), ONNX.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats import dcp, ocdbt, onnx, strict_json
from ckptkit.formats.escaped import escaped
from ckptkit.layouts import dcp as dcp_layout
from ckptkit.layouts import deepspeed, orbax, tf_train
from ckptkit.problem import Problem

_POINTED = re.compile(r'^model_checkpoint_path: "([^"\\]+)"', re.MULTILINE)
_OCDBT_DATA = re.compile(r"(.*/)?d/[0-9a-f]{32}")
_TAG = "global_step"
_SHARDS = ".index.json"
_MODELS = (".safetensors", ".bin", ".gguf", ".h5")
_MAX_TEXT = 1 << 20
_MOST = 20


class _Item:
    """The files of an item by name, with the folders that they are in."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self._folder = folder
        self.files = frozenset(files)

    @cached_property
    def folders(self) -> set[str]:
        return {parent.as_posix() for name in self.files for parent in PurePosixPath(name).parents}

    def path(self, name: str) -> Path:
        return self._folder / name

    def json(self, name: str) -> Any:
        """Return what a JSON file holds, or None if it cannot be read, which the walker reports."""
        try:
            return strict_json.load(self.path(name))
        except (DamagedError, OSError):
            return None

    def text(self, name: str) -> str:
        try:
            with self.path(name).open("rb") as stream:
                return stream.read(_MAX_TEXT).decode("utf-8", "replace")
        except OSError:
            return ""


def check_members(folder: Path, files: Sequence[str]) -> list[Problem]:
    """Return a problem for each file or folder that a file of the item names but that is not in the item.

    Args:
        folder: the item's folder.
        files: names relative to it.
    """
    item = _Item(folder, files)
    found: list[Problem] = []
    for name in sorted(files):
        own = name.rpartition("/")[2]
        for pattern, members in _READERS if _READ.fullmatch(own) else ():
            if re.fullmatch(pattern, own):
                found += _missing(item, name, members(item, name))
        for ending, extents in _EXTENTS.items():
            if name.endswith(ending):
                found += _too_short(item, name, extents(item.path(name)))
        if _is_ocdbt_data(name) and 0 < (size := item.path(name).stat().st_size) < ocdbt.LEAST:
            found.append(Problem("ocdbt-damaged", f"is {size} bytes long: cut short", escaped(name)))
        if name.endswith(orbax.METADATA) and (content := item.json(name)) and not content.get("commit_timestamp_nsecs"):
            found.append(Problem("orbax-uncommitted", "has no commit time: Orbax had not finished it", name))
    return found


def _missing(item: _Item, name: str, named: Iterator[str]) -> Iterator[Problem]:
    around = PurePosixPath(name).parent
    members = list(dict.fromkeys(named))
    lacking = []
    for member in members:
        place = posixpath.normpath((around / member.rstrip("/")).as_posix())
        if place not in (item.folders if member.endswith("/") else item.files):
            lacking.append(place)
    own = name.rpartition("/")[2]
    if lacking and len(lacking) == len(members) and _is_of_another_form(item, name):
        what = "a file that is not here" if len(lacking) == 1 else f"{len(lacking)} files, none of which is here"
        message = f"names {what}: the model is here in another form"
        yield Problem("member-missing", message, name, severity="warning")
        return
    for place in lacking[:_MOST]:
        yield Problem("member-missing", f"is missing: {own} names it", escaped(place))
    if len(lacking) > _MOST:
        yield Problem("member-missing", f"{len(lacking) - _MOST} more of the files that it names are missing", name)


def _too_short(item: _Item, name: str, extents: Mapping[str, int] | None) -> Iterator[Problem]:
    """Yield the files of an item that are shorter than the one that describes them says."""
    own = name.rpartition("/")[2]
    if extents is None:
        yield Problem("member-unreadable", "cannot be read to its end: which files belong to it is not known", name)
        return
    for member, needed in extents.items():
        place = posixpath.normpath((PurePosixPath(name).parent / member).as_posix())
        if place in item.files and (size := item.path(place).stat().st_size) < needed:
            yield Problem("member-too-short", f"is {size} bytes long, {own} needs {needed}: cut short", escaped(place))


def _is_of_another_form(item: _Item, name: str) -> bool:
    """Return whether a model is there in another format: snapshots of a hub hold the indexes of all formats."""
    folder = PurePosixPath(name).parent
    return name.endswith(_SHARDS) and any(
        PurePosixPath(other).parent == folder and other.endswith(_MODELS) for other in item.files
    )


def _weight_map(item: _Item, name: str) -> Iterator[str]:
    """Shards of a model: ``{"weight_map": {tensor: file}}``; Keras gives a list of files."""
    content = item.json(name)
    weights = content.get("weight_map") if isinstance(content, dict) else None
    for shard in weights.values() if isinstance(weights, dict) else ():
        yield from (part for part in (shard if isinstance(shard, list) else [shard]) if isinstance(part, str))


def _diffusers(item: _Item, name: str) -> Iterator[str]:
    """Parts of a pipeline: ``{"unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [null, null]}``."""
    content = item.json(name)
    for part, made in content.items() if isinstance(content, dict) else ():
        if (
            part[:1] != "_"
            and isinstance(made, list)
            and len(made) == 2
            and all(isinstance(word, str) for word in made)
        ):
            yield f"{part}/"


def _sentence_transformers(item: _Item, name: str) -> Iterator[str]:
    content = item.json(name)
    for part in content if isinstance(content, list) else ():
        # Some modules have no files at all; only their class knows which.
        if isinstance(part, dict) and isinstance(part.get("path"), str) and str(part.get("type")).endswith("Pooling"):
            yield f"{part['path']}/"


def _keras_backup(item: _Item, name: str) -> Iterator[str]:
    content = item.json(name)
    if isinstance(content, dict) and content.keys() == {"epoch", "batch"}:
        yield "latest.weights.h5"


def _tf_pointer(item: _Item, name: str) -> Iterator[str]:
    for prefix in _POINTED.findall(item.text(name)):
        if not prefix.startswith("/"):
            yield f"{prefix}.index"


def _tf_index(item: _Item, name: str) -> Iterator[str]:
    match = tf_train.DATA_FILE.fullmatch(name.rpartition("/")[2])
    if match:
        yield f"{match[1]}.index"


def _deepspeed(item: _Item, name: str) -> Iterator[str]:
    tag = item.text(name).strip()
    folder = PurePosixPath(name).parent.as_posix()
    tags = {PurePosixPath(f).name for f in item.folders if PurePosixPath(f).parent.as_posix() == folder}
    if re.fullmatch(r"[\w.-]{1,200}", tag) and (tag.startswith(_TAG) or any(t.startswith(_TAG) for t in tags)):
        yield f"{tag}/"


def _deepspeed_states(item: _Item, name: str) -> Iterator[str]:
    """The pointer is written last, beside the folder of the step."""
    if PurePosixPath(name).parent.name.startswith(_TAG):
        yield "../latest"


def _dcp(item: _Item, name: str) -> Iterator[str]:
    yield from dcp.extents(item.path(name)) or ()


def _dcp_states(item: _Item, name: str) -> Iterator[str]:
    yield dcp_layout.MARKER


def _onnx(item: _Item, name: str) -> Iterator[str]:
    yield from onnx.external_extents(item.path(name))


def _orbax(item: _Item, name: str) -> Iterator[str]:
    content = item.json(name)
    if isinstance(content, dict) and content.get("use_ocdbt"):
        yield "manifest.ocdbt"


def _ocdbt(item: _Item, name: str) -> Iterator[str]:
    yield "d/"
    if not PurePosixPath(name).parent.name.startswith("ocdbt.process_"):
        yield "_METADATA"


def _ocdbt_data(item: _Item, name: str) -> Iterator[str]:
    if _is_ocdbt_data(name):
        yield "../manifest.ocdbt"


def _is_ocdbt_data(name: str) -> bool:
    return _OCDBT_DATA.fullmatch(name) is not None


_READERS: tuple[tuple[str, Callable[[_Item, str], Iterator[str]]], ...] = (
    (r".*\.index\.json|.*\.weights\.json", _weight_map),
    (r"model_index\.json", _diffusers),
    (r"modules\.json", _sentence_transformers),
    (r"training_metadata\.json", _keras_backup),
    (tf_train.POINTER, _tf_pointer),
    (tf_train.DATA_FILE.pattern, _tf_index),
    (deepspeed.POINTER, _deepspeed),
    (r".*(optim|model)_states\.pt", _deepspeed_states),
    (r".*\.distcp", _dcp_states),
    (re.escape(dcp_layout.MARKER), _dcp),
    (r".*\.onnx", _onnx),
    (r"_METADATA", _orbax),
    (r"manifest\.ocdbt", _ocdbt),
    (r"[0-9a-f]{32}", _ocdbt_data),
)
"""By file name (as a pattern): what reads the names of other files from it, relative to its own folder."""
_READ = re.compile("|".join(f"(?:{pattern})" for pattern, _ in _READERS))
"""The name of any of these: an item may have many files, and hardly one of them."""

_EXTENTS: Mapping[str, Callable[[Path], Mapping[str, int] | None]] = {
    dcp_layout.MARKER: dcp.extents,
    ".onnx": onnx.external_extents,
}
"""By suffix: what reads how many bytes of which files are used, or None if that cannot be read."""
