"""Every setting with its value and where that comes from: an option, a variable, a line of the file, or the default."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

from ckptkit.config.settings import Config
from ckptkit.retention import RetentionPolicy

Origin = Literal["option", "variable", "file", "default"]
STORE = "CKPTKIT_STORE"
DEFAULT_STORE = "checkpoints"
DEFAULT_DEDUP = "off"
DEFAULT_LEVEL = "format"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as in ``ckptkit.yaml``, with a dot before a rule of retention.
        value: as a plain value: text, a number, a list; durations in seconds, sizes in bytes; None for nothing.
        origin: what kind of place says so.
        where: that place: an option, a variable, ``FILE:LINE``; empty for a default.
        pattern: the pattern under ``runs:`` that matched, where one says so.
    """

    name: str
    value: Any
    origin: Origin = "default"
    where: str = ""
    pattern: str | None = None


def store(config: Config, option: str | None, environment: Mapping[str, str] | None = None) -> Setting:
    """Return which store is used.

    Args:
        config: that applies.
        option: what ``--store`` says.
        environment: of this process when left out.
    """
    variables = os.environ if environment is None else environment
    if option is not None:
        return Setting("store", option, "option", "--store")
    if given := variables.get(STORE):
        return Setting("store", given, "variable", STORE)
    if config.store is not None:
        return Setting("store", config.store, "file", config.line("store"))
    return Setting("store", DEFAULT_STORE)


def of_run(config: Config, run: str | None, default_digest: str) -> Iterator[Setting]:
    """Yield what the file says of a run, or of every run that no pattern says more of (None).

    Args:
        config: that applies.
        run: its name.
        default_digest: used where the file names none.
    """
    if config.digest is not None:
        yield Setting("digest", config.digest, "file", config.line("digest"))
    else:
        yield Setting("digest", default_digest)
    if config.dedup is not None:
        yield Setting("dedup", config.dedup, "file", config.line("dedup"))
    else:
        yield Setting("dedup", DEFAULT_DEDUP)
    if config.scratch is not None:
        yield Setting("scratch", config.scratch, "file", config.line("scratch"))
    else:
        yield Setting("scratch", None)
    if config.sign is not None:
        yield Setting("sign", str(config.sign), "file", config.line("sign"))
    else:
        yield Setting("sign", None)
    for key, default in (("level", DEFAULT_LEVEL), ("resume", None)):
        pattern, value = config.said_of(run, key)
        plain = list(value) if isinstance(value, tuple) else value
        yield Setting(key, default) if value is None else _in_file(config, pattern, (key,), plain)
    pattern, rules = config.said_of(run, "require")
    texts = None if rules is None else [rule.text for rule in rules]
    yield Setting("require", None) if texts is None else _in_file(config, pattern, ("require",), texts)
    if config.mirror is None:
        yield Setting("mirror", None)
    else:
        yield Setting("mirror", config.mirror.url, "file", config.line("mirror", "url"))
        if config.mirror.retention is not None:
            yield from _rules(config, ("mirror",), None, config.mirror.retention)
    pattern, policy = config.said_of(run, "retention")
    if policy is None:
        yield Setting("retention", None)
    else:
        yield from _rules(config, (), pattern, policy)
    for kind, (template, _) in config.trainers.items():
        plain = list(template) if isinstance(template, tuple) else template
        yield Setting(f"trainers.{kind}", plain, "file", config.line("trainers", kind))


def _rules(config: Config, before: tuple[str, ...], pattern: str | None, policy: RetentionPolicy) -> Iterator[Setting]:
    for rule in fields(policy):
        value = getattr(policy, rule.name)
        if value in (None, frozenset()):
            continue
        plain = value.total_seconds() if isinstance(value, timedelta) else value
        plain = sorted(value) if isinstance(value, frozenset) else plain
        yield _in_file(config, pattern, (*before, "retention", rule.name), plain)


def _in_file(config: Config, pattern: str | None, place: tuple[str, ...], value: Any) -> Setting:
    around = () if pattern is None else ("runs", pattern)
    return Setting(".".join(place), value, "file", config.line(*around, *place), pattern)
