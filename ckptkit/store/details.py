"""What a caller says about a checkpoint besides its items: free texts, which are masked, and names, which are not."""

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from ckptkit.errors import StoreError, UsageError
from ckptkit.manifest import redaction
from ckptkit.resume import parse_template
from ckptkit.storage import Storage
from ckptkit.store.reference import Ref


class DetailFields(TypedDict, total=False):
    """The fields of ``Details`` as keyword arguments, as ``CheckpointStore.save`` takes them; None is "not given"."""

    metrics: Mapping[str, float] | None
    counters: Mapping[str, int] | None
    config: Mapping[str, Any] | None
    resume: Sequence[str] | str | None
    cwd: str | Path | None
    env: Sequence[str] | None
    parent: str | tuple[str, int] | None
    boundary: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Details:
    """What a manifest says besides its items.

    Attributes:
        metrics: numbers by name, for ``RUN@best`` and retention; NaN and infinity are kept.
        counters: whole counts by name (episode, epoch, batches_seen); items that know the same counter must agree.
        config: JSON values of the run; secret-looking text is masked.
        resume: template of the argument list that resumes from the checkpoint, or of the command line; fields such as
            ``{path}``, ``{items.agent}``, ``{step}``.
        cwd: folder to run it in; the current one when left out.
        env: names of environment variables that the command needs (never their values).
        parent: the checkpoint that this run was resumed from: ``RUN@STEP`` as a keyword argument, ``(run, step)`` here.
            Known by itself after ``CheckpointStore.restore``.
        boundary: ``{"kind", "requested_at", "saved_at"}`` where saving had to wait for a clean boundary.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    resume: Sequence[str] | str | None = None
    cwd: str | None = None
    env: Sequence[str] = ()
    parent: tuple[str, int] | None = None
    boundary: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Take a command line, or one name, for the list that it means: text is a sequence of letters, too."""
        if isinstance(self.resume, str):
            object.__setattr__(self, "resume", parse_template(self.resume))
        if isinstance(self.env, str):
            object.__setattr__(self, "env", (self.env,))

    @classmethod
    def of(cls, said: DetailFields) -> "Details":
        """Return keyword arguments as one value.

        Raises:
            TypeError: there is no such field.
            UsageError: the parent is no ``RUN@STEP``.
        """
        if unknown := sorted(set(said) - set(cls.__dataclass_fields__)):
            near = difflib.get_close_matches(unknown[0], cls.__dataclass_fields__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}{hint}")
        resume, cwd, parent = said.get("resume"), said.get("cwd"), said.get("parent")
        return cls(
            metrics=said.get("metrics") or {},
            counters=said.get("counters") or {},
            config=said.get("config") or {},
            resume=resume,
            cwd=str(cwd or Path.cwd()) if resume is not None else None,
            env=said.get("env") or (),
            parent=origin_of(parent, "parent") if isinstance(parent, str) else parent,
            boundary=said.get("boundary"),
        )

    def frozen(self) -> "Details":
        """Return the same, apart from what the caller may go on to change; raises UsageError as ``numbers``."""
        return replace(
            self,
            metrics=self.numbers(),
            counters=dict(self.counters),
            config=_apart(self.config),
            resume=None if self.resume is None else list(self.resume),
            cwd=self.cwd or str(Path.cwd()),
            env=list(self.env),
            boundary=_apart(self.boundary),
        )

    def numbers(self) -> dict[str, float]:
        """Return the metrics as numbers; raises UsageError, without the value, for one that is not a number."""
        found = {}
        for name, value in self.metrics.items():
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise UsageError(f"metric {name!r} is not a number; nothing was committed") from None
        return found

    def require_open(self, items: Iterable[str], tags: Iterable[str] = (), name: str = "") -> None:
        """Raise UsageError for a secret in what is stored as is; free texts are masked when a manifest is sealed."""
        names = {
            "the name of an item": items,
            "the name of the folder": [name],
            "a tag": tags,
            "the name of a metric": self.metrics,
            "the name of a counter": self.counters,
            "the parent": [self.parent[0]] if self.parent else [],
        }
        for what, words in names.items():
            redaction.require_open(what, words)
        redaction.require_variables(self.env)


def _apart(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # it is no JSON value, and whoever seals the manifest says so
        return value


def require_open_run(storage: Storage, run: str) -> None:
    """Raise UsageError for a new run whose name looks like a secret; an existing one continues as it is."""
    try:
        there = storage.has_run(run)
    except StoreError:  # told by whoever reads it
        there = False
    if not there:
        redaction.require_open("the run's name", [run])


def origin_of(ref: str, what: str) -> tuple[str, int]:
    """Return run and step of ``RUN@STEP``; a UsageError names what it was given as, and never repeats a secret."""
    redaction.require_open("the parent", [ref])
    origin = Ref.parse(ref)
    if origin.step is None:
        raise UsageError(f"{what} {ref!r} names no step", hint="write RUN@STEP")
    return origin.run, origin.step
