"""The schema of ``ckptkit.yaml``: which keys there are, and messages that name the file, the line and the key."""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError

from ckptkit.config import findings, strict_yaml
from ckptkit.config.settings import Config, Level, Mirror, RunConfig
from ckptkit.errors import UsageError
from ckptkit.layouts import FOREIGN
from ckptkit.retention import RetentionPolicy, policy_from_words
from ckptkit.rules import Rule
from ckptkit.rules import parse as parse_rule

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _template(value: object) -> object:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, list) and value and all(isinstance(argument, str) for argument in value):
        return tuple(value)
    raise UsageError(
        "should be one line of text or a list of texts, not empty",
        hint="put numbers in quotes: [python, train.py, --resume, '{path}', --seed, '1']",
    )


def _command(value: object) -> object:
    return _template("" if value is None else value)


def _trainer(value: object) -> object:
    kinds = [layout.kind for layout in FOREIGN]
    if isinstance(value, str) and value not in kinds:
        near = difflib.get_close_matches(value, kinds, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(kinds)}"
        raise UsageError("is no trainer", hint=hint)
    return value


def _policy(value: object) -> RetentionPolicy | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UsageError("should hold rules", hint="for example keep_last: 3")
    return policy_from_words(value)


def _require(value: object) -> tuple[Rule, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UsageError("should be a list of rules", hint="for example [count>=2, age<24h]")
    return tuple(parse_rule(text) for text in value)


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


class _RunSection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    resume: Annotated[str | tuple[str, ...] | None, BeforeValidator(_template)] = None
    retention: Annotated[RetentionPolicy | None, PlainValidator(_policy)] = None
    level: Level | None = None
    require: Annotated[tuple[Rule, ...] | None, PlainValidator(_require)] = None


class _MirrorSection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: str
    retention: Annotated[RetentionPolicy | None, PlainValidator(_policy)] = None


def _mirror(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class _File(_RunSection):
    store: str | None = None
    mirror: Annotated[_MirrorSection | None, BeforeValidator(_mirror)] = None
    digest: Literal["blake3", "sha256"] | None = None
    dedup: Literal["off", "file", "tensor"] | None = None
    scratch: str | None = None
    sign: str | None = None
    runs: Annotated[
        dict[str, Annotated[_RunSection, BeforeValidator(_nothing_is_empty)]], BeforeValidator(_nothing_is_empty)
    ] = {}
    trainers: Annotated[
        dict[Annotated[str, BeforeValidator(_trainer)], Annotated[str | tuple[str, ...], BeforeValidator(_command)]],
        BeforeValidator(_nothing_is_empty),
    ] = {}


def parse(data: bytes, path: Path) -> Config:
    """Return the configuration in the bytes of a file.

    Args:
        data: at most 1 MiB of UTF-8.
        path: the file; a relative ``store`` is relative to its folder.

    Raises:
        UsageError: names file, line and key.
    """
    value, lines = strict_yaml.loads(data, path)
    if not isinstance(value, dict | None):
        raise UsageError(f"{path}: should hold keys and values", hint="for example store: checkpoints")
    try:
        file = _File.model_validate(value or {})
    except ValidationError as error:
        raise _explained(error, path, lines) from error
    return Config(
        path=path,
        store=None if file.store is None else _store(file.store, path, lines, ("store",)),
        mirror=None if file.mirror is None else _mirror_of(file.mirror, path, lines),
        digest=file.digest,
        dedup=file.dedup,
        scratch=None if file.scratch is None else _scratch(file.scratch, path, lines),
        sign=None if file.sign is None else _key(file.sign, path, lines),
        default=_run_config(file, (), path, lines),
        runs=[(run, _run_config(section, ("runs", run), path, lines)) for run, section in file.runs.items()],
        lines=lines,
        trainers={kind: (told, _where(path, lines, ("trainers", kind))) for kind, told in file.trainers.items()},
    )


def _run_config(section: _RunSection, place: tuple[str, ...], path: Path, lines: strict_yaml.Lines) -> RunConfig:
    where = None if section.resume is None else _where(path, lines, (*place, "resume"))
    return RunConfig(section.resume, where, section.retention, section.level, section.require)


def _mirror_of(section: _MirrorSection, path: Path, lines: strict_yaml.Lines) -> Mirror:
    return Mirror(_store(section.url, path, lines, ("mirror", "url")), section.retention)


def _store(text: str, path: Path, lines: strict_yaml.Lines, place: tuple[str, ...]) -> str:
    expanded = os.path.expanduser(text)
    if not text.strip() or "\0" in text or expanded.startswith("~"):
        raise UsageError(f"{_where(path, lines, place)}: {text!r} is not a path or URL", hint="write it out")
    if _URL.match(text):
        return text
    from ckptkit.storage.mistyped import require_no_url

    try:
        require_no_url(text)
    except UsageError as error:
        raise UsageError(f"{_where(path, lines, place)}: {error.reason}", hint=error.hint) from None
    return os.path.normpath(path.parent / expanded)


def _key(text: str, path: Path, lines: strict_yaml.Lines) -> Path:
    if not text.strip() or "\0" in text or _URL.match(text):
        raise UsageError(f"{_where(path, lines, ('sign',))}: {text!r} is no path", hint="name the private key's file")
    return Path(os.path.normpath(path.parent / os.path.expanduser(text)))


def _scratch(text: str, path: Path, lines: strict_yaml.Lines) -> str:
    if not text.strip() or "\0" in text or _URL.match(text):
        told = f"{_where(path, lines, ('scratch',))}: {text!r} is no folder"
        raise UsageError(told, hint="write DIR, or DIR,SIZE such as /scratch,20GB")
    return os.path.normpath(path.parent / os.path.expanduser(text))


def _where(path: Path, lines: strict_yaml.Lines, place: tuple[str | int, ...]) -> str:
    known = place
    while known and known not in lines:
        known = known[:-1]
    line = f"line {lines[known]}: " if known else ""
    return f"{path}: {line}{'.'.join(map(str, place))}"


def _explained(error: ValidationError, path: Path, lines: strict_yaml.Lines) -> UsageError:
    """Turn the first finding of pydantic into one line and a hint."""
    found = error.errors(include_url=False)
    first, more = found[0], len(found) - 1
    place = tuple(part for part in first["loc"] if part != "[key]")
    hint = "correct the value, or remove the key"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UsageError):
        key, _, rest = cause.message.partition(": ")
        inside = rest and place[-1] == "retention" and key.isidentifier()
        place, message, hint = ((*place, key), rest, cause.hint) if inside else (place, cause.message, cause.hint)
    elif first["type"] == "extra_forbidden":
        message, hint = "unknown key", _nearest(place)
    else:
        message = findings.said(first)
        hint = "put it in quotes" if first["type"] == "string_type" else hint
    others = f" (and {more} more)" if more else ""
    return UsageError(f"{_where(path, lines, place)}: {message}{others}", hint=hint)


def _nearest(place: tuple[Any, ...]) -> str:
    section = _File if len(place) == 1 else _MirrorSection if place[0] == "mirror" else _RunSection
    known = sorted(section.model_fields)
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
