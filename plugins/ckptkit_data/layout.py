"""Where the files of a LeRobot dataset are: `meta/info.json` of the layouts v2.x and v3.x, and its path templates.

Source of the layouts: https://huggingface.co/docs/lerobot/lerobot-dataset-v3 and the writer's code; the page says
that v3.0 has a ``tasks.jsonl``, the code writes ``tasks.parquet``.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Any

from ckptkit.errors import DamagedError, NotFoundError, StoreError, UnsafeContentError
from ckptkit.formats import strict_json
from ckptkit.formats.escaped import escaped

INFO = "meta/info.json"
_SPEC = re.compile(r"0?\d{0,2}d?")  # at most 99 digits wide: a template must not fill the memory
_FIELDS = {2: frozenset({"episode_chunk", "episode_index"}), 3: frozenset({"chunk_index", "file_index"})}


@dataclass(frozen=True, slots=True)
class Info:
    """What `meta/info.json` says.

    Attributes:
        version: for example ``v3.0``.
        major: 2 or 3.
        fps: frames per second.
        total_episodes: number of episodes.
        total_frames: number of frames.
        total_tasks: number of tasks, or None if it is not given.
        chunks_size: v2: episodes per chunk folder.
        data_path: template of the data files.
        splits: name of a split -> ``"start:stop"`` in episodes, stop excluded.
        features: column name -> its ``dtype`` and ``shape``.
    """

    version: str
    major: int
    fps: float
    total_episodes: int
    total_frames: int
    total_tasks: int | None
    chunks_size: int
    data_path: str
    splits: Mapping[str, Any]
    features: Mapping[str, Mapping[str, Any]]

    def episode_file(self, episode: int) -> str:
        """Return the relative path of an episode's file (v2)."""
        return _filled(self.data_path, {"episode_chunk": episode // self.chunks_size, "episode_index": episode})

    def chunk_file(self, chunk: int, file: int) -> str:
        """Return the relative path of a data file (v3)."""
        return _filled(self.data_path, {"chunk_index": chunk, "file_index": file})


def read_info(root: Path) -> Info:
    """Read and check `meta/info.json`.

    Raises:
        StoreError: the folder is missing or cannot be read.
        NotFoundError: the folder is not a LeRobot dataset.
        DamagedError: the file is not what it should be; the message names the field.
        UnsafeContentError: a path template leaves the dataset.
    """
    try:
        if not root.is_dir():
            raise StoreError(f"{root}: is not a folder", hint="give the folder that holds meta/ and data/")
        info = strict_json.load(inside(root, INFO))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{root}: is not a LeRobot dataset: it has no {INFO}", hint="give the folder that holds meta/ and data/"
        ) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{root}: {error.strerror or error}", hint="check the permissions of the folder") from error
    if not isinstance(info, dict):
        raise DamagedError("is not a JSON object", hint=f"restore {INFO}")
    major = _major(info.get("codebase_version"))
    features = _typed(info, "features", dict)
    if not all(isinstance(f, dict) for f in features.values()):
        raise _wrong("features", "must map each column to an object with dtype and shape")
    return Info(
        version=str(info["codebase_version"]),
        major=major,
        fps=_fps(info.get("fps")),
        total_episodes=_count(info, "total_episodes"),
        total_frames=_count(info, "total_frames"),
        total_tasks=_count(info, "total_tasks") if "total_tasks" in info else None,
        chunks_size=max(1, _count(info, "chunks_size")) if "chunks_size" in info else 1000,
        data_path=_template(_typed(info, "data_path", str), major),
        splits=_typed(info, "splits", dict) if "splits" in info else {},
        features=features,
    )


def inside(root: Path, relative: str) -> Path:
    """Return the path of a file of the dataset.

    Raises:
        UnsafeContentError: the path, or a symbolic link on it, leaves the dataset's folder.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative or not pure.parts:
        raise UnsafeContentError(
            f"the path {escaped(relative)!r} leaves the dataset", hint=f"correct the path template in {INFO}"
        )
    path = root / pure
    if not path.resolve().is_relative_to(root.resolve()):
        raise UnsafeContentError(
            f"the path {escaped(relative)!r} is a symbolic link that leaves the dataset",
            hint="copy the dataset with its links followed (cp -rL) and check the copy",
        )
    return path


def parquet_files(root: Path, folder: str) -> Iterator[str]:
    """Yield the relative paths of all parquet files under a folder of the dataset, in order."""
    yield from sorted(p.relative_to(root).as_posix() for p in (root / folder).rglob("*.parquet"))


def _wrong(name: str, reason: str) -> DamagedError:
    return DamagedError(f"{name} {reason}", hint=f"correct {name} in {INFO}")


def _typed(info: Mapping[str, Any], name: str, kind: type) -> Any:
    value = info.get(name)
    if not isinstance(value, kind):
        raise _wrong(name, f"is missing or not a{'n object' if kind is dict else ' text'}")
    return value


def _count(info: Mapping[str, Any], name: str) -> int:
    value = info.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise _wrong(name, f"is {escaped(repr(value), 40)}, not a count")
    return value


def _fps(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 < value < math.inf):
        raise _wrong("fps", f"is {escaped(repr(value), 40)}, not a positive number")
    return float(value)


def _major(version: Any) -> int:
    match = re.fullmatch(r"v?([23])\.\d+(\.\d+)?", version) if isinstance(version, str) else None
    if match is None:
        raise DamagedError(
            f"codebase_version is {escaped(repr(version), 40)}; only the layouts v2.x and v3.x can be read",
            hint="convert the dataset with lerobot's own scripts first",
        )
    return int(match[1])


def _template(template: str, major: int) -> str:
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise _wrong("data_path", f"is not a template: {error}") from error
    for _, name, spec, conversion in pieces:
        if name is None:
            continue
        if name not in _FIELDS[major] or conversion is not None or not _SPEC.fullmatch(spec or ""):
            field = escaped(f"{{{name}{f':{spec}' if spec else ''}}}", 60)
            raise _wrong("data_path", f"has the field {field}, not one of {', '.join(sorted(_FIELDS[major]))}")
    filled = template.format(**dict.fromkeys(_FIELDS[major], 0))
    pure = PurePosixPath(filled)
    if pure.is_absolute() or ".." in pure.parts or "\\" in filled or "\0" in filled:
        raise UnsafeContentError(
            f"data_path {escaped(template)!r} leaves the dataset", hint=f"correct the path template in {INFO}"
        )
    return template


def _filled(template: str, fields: Mapping[str, int]) -> str:
    return template.format(**fields)
