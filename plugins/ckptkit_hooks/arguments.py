"""What every hook is told of a run: when to save, what to keep, how to end, how to resume; explained once, here."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, cast

from ckptkit import Ranking, Retain, RetentionPolicy, Schedule, UsageError
from ckptkit.renamed import warn
from ckptkit.store.observing import Prove

Mode = Literal["min", "max"]
_RETAINED = {"keep_last_n": "last", "keep_best_n": "best", "best_metric": "metric", "best_mode": "mode"}


class HookFields(TypedDict, total=False):
    """The fields of ``Arguments`` as keyword arguments of a hook, and the old words for two of them, which warn."""

    schedule: Schedule | None
    retain: RetentionPolicy | None
    sigterm: bool
    resume: Sequence[str] | None
    replace_newer: bool
    prove: Prove
    wait: bool
    every_steps: int | None
    every_epochs: int | None
    every_episodes: int | None
    keep_last_n: int | None
    keep_best_n: int | None
    best_metric: str | None
    best_mode: Mode | None


@dataclass(frozen=True, slots=True)
class Arguments:
    """What every hook takes.

    Attributes:
        schedule: when checkpoints are saved, in what the framework counts: ``Schedule(every_steps=10_000)``.
        retain: which checkpoints are kept: ``Retain(last=3, best=1, metric="eval_loss", mode="min")``, with a metric
            that the framework logs; the others go to the trash after each save. None keeps all.
        sigterm: whether SIGTERM saves first, at the next clean point; then the process ends with exit code 143.
        resume: argument list for ``ckptkit resume-cmd`` and for rehearsals: this script and its arguments.
        replace_newer: move checkpoints beyond the step that training continues from to the trash; otherwise training
            does not begin while there are any.
        prove: after which save the run proves itself: its ``first``, each M-th, or ``never``. What the next steps did
            is noted, and the ``resume`` command is rehearsed in the background; see ``CheckpointStore.observe``.
        wait: False: training waits until the state is copied, and goes on while it is written, checked and committed.
            Training, however it ends, ends when that is done; what failed is raised by the next save or there.
    """

    schedule: Schedule = field(default_factory=Schedule)
    retain: RetentionPolicy | None = None
    sigterm: bool = True
    resume: Sequence[str] | None = None
    replace_newer: bool = False
    prove: Prove = "first"
    wait: bool = True

    @classmethod
    def of(
        cls,
        said: HookFields,
        *units: str,
        where: str,
        usually: Schedule | None = None,
        best_by: tuple[str, Mode] | None = None,
    ) -> "Arguments":
        """Return keyword arguments of a hook as one value; old words warn at whoever called the hook.

        Args:
            said: the keyword arguments.
            units: the intervals of a schedule that the framework counts; none: the framework itself decides.
            where: the framework, for messages.
            usually: the schedule where none is given.
            best_by: for old words: the metric and mode that stand for the best where none are given.

        Raises:
            TypeError: there is no such argument.
            UsageError: one makes no sense, or is given twice: in new and in old words.
        """
        known = [*(f.name for f in fields(cls) if units or f.name != "schedule"), *units, *_RETAINED]
        if unknown := sorted(set(said) - set(known)):
            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{where}: unexpected keyword argument {unknown[0]!r}{hint}")
        given = {name: value for name, value in said.items() if value is not None}
        new = {name: given.pop(name) for name in list(given) if name not in units and name not in _RETAINED}
        if intervals := {name: given.pop(name) for name in units if name in given}:
            _once("schedule", new, intervals)
            warn(_call("", intervals), f"schedule={_call('Schedule', intervals)}", depth=2)
            new["schedule"] = Schedule(**cast("dict[str, int]", intervals))
        if given:
            _once("retain", new, given)
            words = _retained(given, best_by)
            warn(_call("", given), f"retain={_call('Retain', words)}", depth=2)
            new["retain"] = Retain(**words)
        for name, kind in (("schedule", Schedule), ("retain", RetentionPolicy)):
            if name in new and not isinstance(new[name], kind):
                value = f"Schedule({units[0]}={new[name]!r})" if name == "schedule" and units else "Retain(last=3)"
                raise UsageError(f"{where}: {name}={new[name]!r} is no {kind.__name__}", hint=f"for example {value}")
        if units:
            schedule = cast("Schedule | None", new.get("schedule")) or usually or Schedule()
            new["schedule"] = schedule.require_only(*units, where=where)
        return cls(**cast("dict[str, Any]", new))


def ranking_of(retain: RetentionPolicy | None) -> Ranking:
    """Return how ``RUN@best`` ranks."""
    if retain is None or retain.metric is None:
        return Ranking(None, "max")
    return Ranking(retain.metric, retain.mode)


def _retained(given: Mapping[str, object], best_by: tuple[str, Mode] | None) -> dict[str, Any]:
    """Return old words as those of ``Retain``: a metric alone kept all, and a metric of SB3's was of rewards."""
    words: dict[str, Any] = {_RETAINED[name]: value for name, value in given.items()}
    if best_by is not None and ("best" in words or "metric" in words):
        words = {"metric": best_by[0], "mode": best_by[1], **words}
    if "last" not in words and "best" not in words:
        words = {"last": "all", "mode": "max", **words}
        if "metric" not in words:
            del words["mode"]
    return words


def _once(name: str, new: Mapping[str, object], old: Mapping[str, object]) -> None:
    if name in new:
        raise UsageError(f"{next(iter(old))} is given beside {name}", hint=f"{name} says it all")


def _call(name: str, words: Mapping[str, object]) -> str:
    said = ", ".join(f"{word}={value!r}" for word, value in words.items())
    return f"{name}({said})" if name else said
