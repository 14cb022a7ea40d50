"""One checkpoint for people: what it is, a tree of what it holds, and what to type next."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ckptkit.cli import output, tree
from ckptkit.cli.tree import Node

if TYPE_CHECKING:
    from ckptkit.formats.tensors import Tensor
    from ckptkit.manifest.models import ItemEntry
    from ckptkit.store import Description
    from ckptkit.store.contents import Content

_MOST_TENSORS = 10
_MOST_FILES = 20
_MOST_SETTINGS = 8
_LABEL = 13
_LONGEST = 100


def lines(one: "Description", *, verbose: bool, program: str) -> Iterator[str]:
    """Yield the lines about a checkpoint.

    Args:
        one: what is known of it.
        verbose: also digests, all settings, and all tensors and files.
        program: what a person types to call this program on this store.
    """
    limit = output.width()
    own = "" if one.manifest.dedup is None else f"  ({output.size(one.own_size)} its own, the rest shared)"
    yield output.safe(f"{one.at.ref}  {one.manifest.grade}  {output.size(one.manifest.size)}{own}")
    for label, words, gap in _facts(one, verbose):
        if gap == ", ":
            words, gap = [*(f"{word}," for word in words[:-1]), *words[-1:]], " "
        first, *more = tree.wrapped(words, None if limit is None else limit - _LABEL - 2, gap)
        yield f"  {label.ljust(_LABEL)}{first}".rstrip()
        yield from (" " * (_LABEL + 2) + line for line in more)
    yield "items"
    yield from tree.draw(_items(one, verbose), limit)
    yield "next"
    yield from (f"  {output.safe(command)}" for command in following(one, program, verbose=verbose))


def following(one: "Description", program: str, *, verbose: bool = True) -> list[str]:
    """Return what to type next."""
    ref = shlex.quote(one.at.ref)
    commands = [f"{program} verify {ref}"]
    if one.manifest.resume is not None or one.manifest.trainer is not None:
        commands.append(f"{program} resume-cmd {ref}")
    if one.before is not None:
        commands.append(f"{program} diff {shlex.quote(one.before.ref)} {ref}")
    return commands if verbose else [*commands, f"{program} show {ref} --verbose"]


def tensor_cells(tensor: "Tensor") -> tuple[str, str]:
    """Return dtype and shape for people."""
    return tensor.dtype, f"[{', '.join(map(str, tensor.shape))}]"


def _facts(one: "Description", verbose: bool) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yield label, words and what stands between them."""
    manifest = one.manifest
    yield "path", [one.at.where], " "
    yield "saved", f"{manifest.created_at[:19].replace('T', ' ')} UTC, {_nth(manifest.sequence)}".split(" "), " "
    if manifest.trainer is not None:
        yield "trainer", [manifest.trainer], " "
    yield "content", _content(one).split(" "), " "
    marks = ["pinned"] if one.pinned else ["not known: damaged"] if one.pinned is None else []
    if marks or one.tags:
        yield "pins, tags", [*marks, *one.tags], ", "
    for key in one.signed_by:
        yield "signed by", [key, "(not", "checked", "here)"], " "
    yield from _lineage(one)
    for label, numbers in (("metrics", manifest.metrics), ("counters", manifest.counters)):
        if numbers:
            yield label, [f"{name}={value}" for name, value in numbers.items()], "  "
    if bounds := manifest.boundary:
        words = f"of a {bounds.kind}: asked for at {bounds.requested_at}, saved at {bounds.saved_at}"
        yield "boundary", words.split(" "), " "
    for shown in one.evidence:
        yield "shown", f"{shown.words}, {shown.at}: {shown.differs or shown.detail or 'the same'}".split(" "), " "
    if manifest.resume is not None:
        yield "resume", [shlex.quote(word) for word in manifest.resume.argv], " "
        if verbose:
            yield "resume in", [manifest.resume.cwd or "."], " "
        if manifest.resume.env:
            yield "resume env", manifest.resume.env, ", "
    yield from _settings("config", manifest.config, verbose)
    yield from _environment(manifest.environment, verbose)
    if verbose:
        yield "digest", [manifest.digest], " "


def _lineage(one: "Description") -> Iterator[tuple[str, Sequence[str], str]]:
    for label, origin in (("parent", one.manifest.parent), ("began from", one.manifest.origin)):
        if origin is not None:
            yield label, [f"{origin.run}@{origin.step}"], " "
    if one.resumed_as:
        yield "resumed as", one.resumed_as, ", "


def _nth(sequence: int) -> str:
    return f"save {sequence} of its run"


def _content(one: "Description") -> str:
    if one.known is None or one.content == "unverified":
        return "not verified, or changed since"
    when = output.moment(one.known.when)
    return f"{one.content} {when}, level {one.known.level}"


def _settings(label: str, values: Any, verbose: bool) -> Iterator[tuple[str, Sequence[str], str]]:
    pairs = [f"{name}={value}" for name, value in flat(values)]
    if not verbose:
        pairs = [tree.cut(pair, _LONGEST) for pair in pairs]
    if len(pairs) > _MOST_SETTINGS and not verbose:
        left = len(pairs) - _MOST_SETTINGS
        pairs = [*pairs[:_MOST_SETTINGS], f"... and {left} more; --verbose shows all"]
    if pairs:
        yield label, pairs, "  "


def _environment(environment: Any, verbose: bool) -> Iterator[tuple[str, Sequence[str], str]]:
    if verbose:
        yield from _settings("environment", environment.plain(), verbose)
        return
    words = [f"python {environment.python}", *(f"{name} {version}" for name, version in environment.packages.items())]
    if environment.git is not None:
        words.append(f"git {environment.git.commit[:12]}{' (changed)' if environment.git.dirty else ''}")
    yield "environment", words, ", "


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield names and values of nested settings, their names joined by dots; what is not said is left out."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from flat(part, f"{prefix}.{name}" if prefix else name)
    elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        yield prefix, output.dump(value)
    elif isinstance(value, list):
        yield prefix, ", ".join(str(part) for part in value)
    elif value is not None:
        yield prefix, value


def _items(one: "Description", verbose: bool) -> list[Node]:
    files = {name: list(found) for name, found in groupby(one.files, key=lambda content: content.item)}
    return [
        Node(
            name,
            (item.backend, item.captured.grade, _sizes(files[name])),
            _item(item, one.manifest.step, files[name], verbose),
        )
        for name, item in one.manifest.items.items()
    ]


def _sizes(files: "Sequence[Content]") -> str:
    return f"{output.size(sum(one.file.size for one in files))} in {output.count(len(files), 'file')}"


def _item(item: "ItemEntry", step: int, files: "Sequence[Content]", verbose: bool) -> list[Node]:
    below = [Node(f"lacks: {reason}") for reason in item.captured.reasons]
    below += [Node(f"hazard: {hazard}") for hazard in item.hazards]
    if item.step not in (None, step):
        below.append(Node(f"says that it is at step {item.step}"))
    if item.counters:
        below.append(Node("  ".join(f"{name}={value}" for name, value in item.counters.items())))
    if item.probe:
        below.append(Node("probe recorded: `verify --level resume` replays it"))
    if verbose:
        below += [Node(f"{name}={value}") for name, value in flat(item.metadata)]
    shown = files if verbose or len(files) <= _MOST_FILES + 1 else _foremost(files)
    below += [_file(one, verbose) for one in shown]
    if left := len(files) - len(shown):
        below.append(Node(f"... and {output.count(left, 'more file')}; --verbose shows all"))
    return below


def _foremost(files: "Sequence[Content]") -> "list[Content]":
    """Return some files in their order: what is wrong, and what holds tensors, is left out last."""
    order = sorted(range(len(files)), key=lambda i: (files[i].problem is None, not files[i].tensors))
    return [files[i] for i in sorted(order[:_MOST_FILES])]


def _file(one: "Content", verbose: bool) -> Node:
    below = [] if one.problem is None else [Node(f"cannot be read: {one.problem}")]
    if one.file.trusted:
        below.append(Node("trusted by whoever saved it, whatever loading it runs"))
    if verbose:
        below.append(Node(one.file.digest))
    shown = one.tensors if verbose or len(one.tensors) <= _MOST_TENSORS + 1 else one.tensors[:_MOST_TENSORS]
    below += [Node(tensor.label, tensor_cells(tensor)) for tensor in shown]
    if left := len(one.tensors) - len(shown):
        below.append(Node(f"... and {left} more; --verbose shows all"))
    if not one.tensors:
        return Node(one.file.path, (output.size(one.file.size),), below)
    numbers = sum(tensor.elements for tensor in one.tensors)
    cells = (output.size(one.file.size), output.count(len(one.tensors), "tensor"), f"{numbers:,} numbers")
    return Node(one.file.path, cells, below, spare=1)
