"""YAML files: what the tags in them would have Python import and call, judged by the same names as pickles.

``yaml.load`` with its unsafe loader (the default before PyYAML 5.1) builds whatever a tag such as
``!!python/object/apply:os.system`` names. Trainers write honest ones (``collections.OrderedDict``,
``argparse.Namespace``). The file is parsed into events here, which resolves tags and builds nothing.

Source: yaml/constructor.py of PyYAML (``FullConstructor``, ``UnsafeConstructor``).
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from ckptkit.formats.archives import not_looked_into
from ckptkit.formats.escaped import escaped
from ckptkit.formats.pickle_grading import grade
from ckptkit.formats.pickle_machine import Global
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

SUFFIXES = (".yaml", ".yml")
_PYTHON = "tag:yaml.org,2002:python/"
_MOST_SHOWN = 20
_BLOCK = 1 << 20
_MOST_PARSED = 16 << 20  # settings are small; of more, what looks like a tag counts
_START = 4_096
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_HINT = re.compile(rb"python/|%TAG|![^\s\[\]{},]*%")
_LOOSE = re.compile(rb"(?:!!|!<?tag:yaml\.org,2002:)python/[^\s>,\]}]*")


class _NotParsedError(ValueError):
    """What tags mean in the file cannot be told for sure."""


def shows_yaml(source: Source) -> bool:
    """Return whether it is YAML with a tag in it by its name, or any text that may have a tag of Python."""
    if source.name.lower().endswith(SUFFIXES):
        return _has_tags(source)
    start = source.start(_START)
    wide = start.startswith(_WIDE)
    if source.length > _MOST_PARSED or (b"\0" in start and not wide):
        return False
    data = source.start(source.length)
    try:
        data.decode("utf-16" if wide else "utf-8")
    except UnicodeDecodeError:
        return False  # no text, and no loader of YAML reads it
    return _HINT.search(data.replace(b"\0", b"") if wide else data) is not None


def check_yaml(source: Source) -> Iterator[Problem]:
    """Yield what the unsafe loader would import or call: ``yaml-dangerous`` and ``yaml-unrecognised``."""
    dangerous: dict[str, None] = {}
    unrecognised: dict[str, None] = {}
    try:
        for tag in _tags(source):
            kind, _, words = tag.removeprefix(_PYTHON).partition(":")
            grading = _graded(kind, words)
            if grading in ("dangerous", "code"):
                dangerous[f"would {'call' if 'object' in kind else 'import'} {escaped(words)}"] = None
            elif grading == "unrecognised":
                unrecognised[escaped(words)] = None
    except _NotParsedError as error:
        yield not_looked_into(source, str(error))
    for message in list(dangerous)[:_MOST_SHOWN]:
        yield source.problem("yaml-dangerous", f"{message} when it is loaded with yaml's unsafe loader", "unsafe")
    for words in list(unrecognised)[:_MOST_SHOWN]:
        message = f"would import {words} when it is loaded with yaml's unsafe loader, and it is not on the allowlist"
        yield source.problem("yaml-unrecognised", message, "warning")


def _graded(kind: str, words: str) -> str:
    if kind == "module":
        return "dangerous"  # importing runs the module, whatever it is
    if kind not in ("name", "object", "object/apply", "object/new"):
        return "allowed"  # plain data: python/tuple and the like
    module, _, name = words.rpartition(".")
    return grade(Global(module or "builtins", name), made_only=kind in ("object", "object/new"))


def _has_tags(source: Source) -> bool:
    source.stream.seek(0)
    while block := source.stream.read(_BLOCK):
        if b"!" in block:
            return True
    return False


def _tags(source: Source) -> Iterator[str]:
    """Yield the tags of Python's own kinds, as they are meant: short forms, ``%TAG`` and escapes resolved."""
    import yaml  # not at module level: most checkpoints hold no such file

    if source.length > _MOST_PARSED:
        yield from _loose(source)
        raise _NotParsedError(f"YAML of {source.length} bytes with tags")
    source.stream.seek(0)
    try:
        for event in yaml.parse(source.stream, Loader=yaml.SafeLoader):
            tag = getattr(event, "tag", None)
            if isinstance(tag, str) and tag.startswith(_PYTHON):
                yield tag
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        if not source.name.lower().endswith(SUFFIXES):
            return  # text about something, and no YAML
        # Another loader may be more lenient: then what looks like a tag counts.
        yield from _loose(source)
        raise _NotParsedError("YAML with tags that cannot be parsed") from error


def _loose(source: Source) -> Iterator[str]:
    source.stream.seek(0)
    before = b""
    while block := source.stream.read(_BLOCK):
        for found in _LOOSE.finditer(before + block):
            yield _PYTHON + unquote(found[0].decode("latin-1")).partition("python/")[2]
        before = block[-256:]
