"""Which columns of the data files are looked at, and whether they have the type and shape that the metadata say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit_data.findings import Findings
from ckptkit_data.layout import Info

_WHOLE = ("episode_index", "frame_index", "index", "task_index")
_ARROW_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}


@dataclass(slots=True)
class Wanted:
    """The columns that are read.

    Attributes:
        observations: columns whose names start with ``observation``, videos excluded (they are not in the files).
        actions: ``action`` and columns whose names start with ``action.``.
        tasks: number of tasks, or None.
        features: column name -> ``dtype`` and ``shape`` as the metadata have them.
        videos: a part of the observations is in videos.
    """

    observations: Sequence[str]
    actions: Sequence[str]
    tasks: int | None
    features: Mapping[str, Mapping[str, Any]]
    videos: bool = False
    _told: set[tuple[str, str]] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        tasks = ["task_index"] if self.tasks is not None else []
        return ["episode_index", "frame_index", "index", "timestamp", *tasks, *self.observations, *self.actions]

    def check(self, schema: Any) -> None:
        """Check that a file has every column once, numbers as numbers; raises DamagedError naming the column."""
        import pyarrow as pa

        for name in self.names:
            where = schema.get_all_field_indices(name)
            if len(where) != 1:
                raise DamagedError(f"has {'no' if not where else 'more than one'} column {name!r}")
            kind = schema.field(where[0]).type
            if name in _WHOLE and not pa.types.is_integer(kind):
                raise DamagedError(f"the column {name!r} is {kind}, not whole numbers")
            if name == "timestamp" and not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DamagedError(f"the column {name!r} is {kind}, not numbers")

    def see_tasks(self, tasks: Any, file: str, found: Findings) -> None:
        """Find frames of tasks that do not exist; ``tasks`` is int64 of shape (rows,)."""
        assert self.tasks is not None
        low, high = int(tasks.min()), int(tasks.max())
        if (low < 0 or high >= self.tasks) and self._first("task", file):
            wrong = low if low < 0 else high
            found.add("data-task", f"has frames of the task {wrong}; there are {self.tasks} tasks", file=file)

    def see_shape(self, name: str, width: int | None, kind: Any, file: str, found: Findings) -> None:
        """Compare a column with its feature: values per frame (None: no matrix of numbers) and their type."""
        feature = self.features[name]
        expected, dtype = _values(feature.get("shape")), str(feature.get("dtype"))
        if dtype in ("image", "string", "language") or not (self._first(name, file) or width != expected):
            return
        if expected is not None and width != expected:
            if self._first(f"{name} shape", file):
                holds = "rows of different or unreadable lengths" if width is None else f"{width} values per frame"
                found.add("data-shape", f"{name!r} holds {holds}; the metadata say {expected}", file=file)
            return
        inner = kind
        while hasattr(inner, "value_type"):
            inner = inner.value_type
        actual = _ARROW_NAMES.get(str(inner), str(inner))
        if actual != dtype:
            found.add("data-shape", f"{name!r} holds {actual}; the metadata say {dtype}", file=file)

    def _first(self, what: str, file: str) -> bool:
        first = (what, file) not in self._told
        self._told.add((what, file))
        return first


def wanted_columns(info: Info) -> Wanted:
    """Return the columns of a dataset to read."""
    stored = sorted(n for n, feature in info.features.items() if feature.get("dtype") != "video")
    return Wanted(
        observations=[n for n in stored if n.startswith("observation")],
        actions=[n for n in stored if n == "action" or n.startswith("action.")],
        tasks=info.total_tasks if "task_index" in info.features else None,
        features=info.features,
        videos=any(n.startswith("observation") and f.get("dtype") == "video" for n, f in info.features.items()),
    )


def _values(shape: Any) -> int | None:
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        return None
    count = 1
    for n in shape:
        count *= n
    return count
