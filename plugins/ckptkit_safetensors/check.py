"""Finds what is wrong with the structure of an item's files, without a framework and without running anything."""

import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.formats.kinds import look_into_file
from ckptkit.formats.safetensors_header import Header, HeaderError, read_header
from ckptkit.problem import Problem
from ckptkit_safetensors import item_record, layouts

_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt")
_OWN = {*layouts.FILES.values(), layouts.RECORD}
_STATES = {
    name for part in ("optimizer", "scheduler", "scaler") for name in (layouts.FILES[part], *layouts.FOREIGN[part])
}


def check_files(directory: Path, files: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of an item's files: each by its kind, then whether they belong together.

    Args:
        directory: the item's folder.
        files: names relative to it.
    """
    headers: dict[str, Header] = {}
    for name in files:
        problem = _not_regular(directory / name)
        if problem is not None:
            yield Problem("file-missing", problem, file=name)
        elif name.endswith(".safetensors"):
            yield from _safetensors(directory / name, name, headers)
        elif name.endswith(".json"):
            yield from _json(directory / name, name)
        elif name.endswith(_PICKLES):
            yield from _pickle(directory / name, name)
    yield from _belong_together(directory, files, headers)


def _not_regular(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError) as error:
        return f"cannot be found ({getattr(error, 'strerror', error)})"
    return None if stat.S_ISREG(mode) else "is not a regular file"


def _safetensors(path: Path, name: str, headers: dict[str, Header]) -> Iterator[Problem]:
    try:
        header = read_header(path)
        record = item_record.of_tensors(header.metadata)
    except HeaderError as error:
        yield Problem("safetensors-header", error.message, file=name)
    except DamagedError as error:
        yield Problem("safetensors-record", error.message, file=name)
    except OSError as error:
        yield Problem("file-unreadable", f"cannot be read ({error.strerror})", file=name)
    else:
        headers[name] = header
        for alias, holder in record.get("aliases", {}).items():
            if holder not in header.tensors or alias in header.tensors:
                text = f"ties {ascii(alias)[:80]} to {ascii(holder)[:80]}, which does not fit its tensors"
                yield Problem("safetensors-record", text, file=name)


def _pickle(path: Path, name: str) -> Iterator[Problem]:
    # Of the trainer's own files, which a load never opens, the walker says all that there is to say.
    for problem in look_into_file(path, file=name, kind="torch" if name in _STATES else None):
        # A load takes plain values and tensors only, so there a name that nobody knows is no mere warning.
        unknown = name in _STATES and problem.code == "pickle-unrecognised"
        yield replace(problem, severity="error") if unknown else problem


def _json(path: Path, name: str) -> Iterator[Problem]:
    try:
        content = strict_json.load(
            path, max_depth=layouts.MODULES_DEPTH if name == layouts.FILES["modules"] else strict_json.MAX_DEPTH
        )
    except DamagedError as error:
        reason = error.message.removeprefix(f"{path.name}: ")
        severe = name in _OWN or not _python_reads(path)
        yield Problem("bad-json", reason, file=name, severity="error" if severe else "warning")
    except OSError as error:
        yield Problem("file-unreadable", f"cannot be read ({error.strerror})", file=name)
    else:
        if name in _OWN and not isinstance(content, dict):
            yield Problem("bad-json", "is not a JSON object", file=name)


def _python_reads(path: Path) -> bool:
    """Return whether only NaN or Infinity is what strict JSON refuses: trainers log them (a loss that diverged)."""
    try:
        json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return False
    return path.stat().st_size <= strict_json.MAX_BYTES


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("double key")
    return dict(pairs)


def _belong_together(directory: Path, files: Sequence[str], headers: dict[str, Header]) -> Iterable[Problem]:
    model = layouts.model_file(files)
    if model is None:
        yield Problem("file-missing", f"there is no {layouts.MODEL} or other model among the files")
        return
    if model == layouts.INDEX:
        yield from _shards(directory, files, headers)
    elif model in headers:
        yield from _noted(directory, files, model, item_record.of_tensors(headers[model].metadata))


def _noted(directory: Path, files: Sequence[str], model: str, header: dict[str, Any]) -> Iterator[Problem]:
    where = header.get("record", model)
    try:
        record = item_record.of_item(directory, files, header)
    except (DamagedError, OSError) as error:
        yield Problem("safetensors-record", str(error).removeprefix(f"{where}: "), file=where)
        return
    named = {**({"record": where} if where != model else {}), **record.get("components", {})}
    for part, name in named.items():
        if name not in files:
            by = where if part != "record" else model
            yield Problem("file-missing", f"the {part} file, which {by} refers to, is missing", file=str(name))


def _shards(directory: Path, files: Sequence[str], headers: dict[str, Header]) -> Iterator[Problem]:
    try:
        index = layouts.shards(directory / layouts.INDEX)
    except (DamagedError, OSError) as error:
        yield Problem("bad-shard-index", str(error), file=layouts.INDEX)
        return
    for shard in sorted(set(index.values())):
        expected = {tensor for tensor, name in index.items() if name == shard}
        if shard not in files:
            yield Problem("file-missing", "a shard of the model is missing", file=shard)
        elif shard in headers and expected != set(headers[shard].tensors):
            count = len(expected ^ set(headers[shard].tensors))
            what = "1 tensor is" if count == 1 else f"{count} tensors are"
            yield Problem("bad-shard-index", f"{what} not where the index says", file=shard)
