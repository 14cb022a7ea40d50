"""`ckptkit show`: everything that is known of one checkpoint, as a tree for people."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ckptkit.cli import naming, output
from ckptkit.cli.naming import RefsArgument
from ckptkit.cli.session import (
    FormatOption,
    MetricOption,
    ModeOption,
    NoCacheOption,
    StoreOption,
    program_of,
    session_of,
)

if TYPE_CHECKING:
    from ckptkit.store import Description


def show(
    context: typer.Context,
    refs: RefsArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also digests, all settings, and all tensors and files.")
    ] = False,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Show what a checkpoint is, and the tensors it holds.

    A tree of its items, with what each lacks, their files, and the tensors in these by name, dtype and shape; where it
    came from, its metrics, what was shown about it, and what to type next. Headers are read, and no framework is
    imported. Nothing is judged: only `ckptkit verify` judges content.

    Examples:
        ckptkit show ppo/run1@5000
        ckptkit show ppo/run1@best --metric reward --mode max
        ckptkit show 'ppo/*@latest'
    """
    from ckptkit.cli import portrait
    from ckptkit.store.selecting import is_pattern

    session = session_of(context)
    named = naming.named(session, refs, store)
    opened = session.reader(named.url)
    places = [opened.locate(ref, ranking=session.ranking(str(ref), metric, mode))[-1] for ref in named.refs]
    program = program_of(session, store if named.url == session.url(store) else named.url)
    found = (opened.describe(at) for at in dict.fromkeys(places))
    chosen = output.chosen(format_)
    several = len(refs) > 1 or len(places) > 1 or is_pattern(refs[0])
    if chosen != "table":
        _write(found, chosen, program, several=several)
        return
    for number, one in enumerate(found):
        if number:
            output.line()
        for text in portrait.lines(one, verbose=verbose, program=program):
            output.line(text)


_PLAIN = ("path", "run", "step", "sequence", "created_at", "schema_version", "digest", "size", "own_size", "content")


def _write(found: "Iterable[Description]", format_: str, program: str, *, several: bool) -> None:
    """Print what programs read: one document of all; of each a line (ndjson), or rows (tsv)."""
    if format_ == "tsv":
        columns = ("CHECKPOINT", "FIELD", "VALUE") if several else ("FIELD", "VALUE")
        rows = (row if several else row[1:] for row in _rows(found, program))
        output.rows(format_, "", columns, ((row, {}) for row in rows))
        return
    documents = [_fields(one, program) for one in found]
    if format_ == "json" and several:
        output.line(output.dump({"schema_version": output.SCHEMA_VERSION, "checkpoints": documents}, indent=2))
        return
    for fields in documents:
        document = {"schema_version": output.SCHEMA_VERSION, "checkpoint": fields}
        output.line(output.dump(document, indent=2 if format_ == "json" else None))


def _rows(found: "Iterable[Description]", program: str) -> Iterator[tuple[str, str, object]]:
    for one in found:
        resume = one.evidence[-1].resume if one.evidence else "nothing shown"
        yield from ((one.at.ref, name, value) for name, value in _lines(_fields(one, program), resume))


def _fields(one: "Description", program: str) -> dict[str, Any]:
    from ckptkit.cli import portrait

    at, manifest = one.at, one.manifest
    known = None if one.content == "unverified" else one.known
    reasons = [reason for item in manifest.items.values() for reason in item.captured.reasons]
    return {
        "path": at.storage.where(at),
        "manifest": at.storage.where(at, at.manifest_file),
        **manifest.plain(),
        "captured": {"grade": manifest.grade, "reasons": reasons},
        "shown": one.evidence[-1].fields() if one.evidence else None,
        "evidence": [shown.fields() for shown in one.evidence],
        "signed_by": list(one.signed_by),
        "size": manifest.size,
        "own_size": one.own_size,
        "pinned": one.pinned,
        "tags": list(one.tags),
        "content": one.content,
        "verified_at": None if known is None else output.moment(known.when),
        "verified_level": None if known is None else known.level,
        "resumed_as": list(one.resumed_as),
        "tensors": [
            {
                "item": content.item,
                "file": content.file.path,
                "member": tensor.member or None,
                "name": tensor.name,
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
            }
            for content in one.files
            for tensor in content.tensors
        ],
        "unread": [
            {"item": content.item, "file": content.file.path, "reason": content.problem}
            for content in one.files
            if content.problem is not None
        ],
        "next": portrait.following(one, program),
    }


def _lines(fields: dict[str, Any], resume: str) -> Iterator[tuple[str, object]]:
    from ckptkit.cli.portrait import flat

    for name in _PLAIN:
        yield name, fields[name]
    if fields["trainer"]:
        yield "trainer", fields["trainer"]
    yield "captured", fields["captured"]["grade"]
    yield from (("pinned", "yes") for _ in range(fields["pinned"] is True))
    yield from (("tag", tag) for tag in fields["tags"])
    yield from (("signed_by", key) for key in fields["signed_by"])
    for one in fields["evidence"]:
        yield f"shown.{one['how']}", f"{one['differs'] or one['detail'] or one['words']}  {one['at']}"
    yield "resume", resume
    for name in ("parent", "origin"):
        if fields[name]:
            yield name, f"{fields[name]['run']}@{fields[name]['step']}"
    yield from (("resumed_as", ref) for ref in fields["resumed_as"])
    for group in ("counters", "metrics"):
        for name, value in fields[group].items():
            yield f"{group}.{name}", value
    for name, value in (fields["boundary"] or {}).items():
        yield f"boundary.{name}", value
    if fields["resume"]:
        import shlex

        yield "resume.argv", shlex.join(fields["resume"]["argv"])
        yield "resume.cwd", fields["resume"]["cwd"] or ""
        yield "resume.env", ",".join(fields["resume"]["env"])
    yield from flat(fields["config"], "config")
    yield from flat(fields["environment"], "environment")
    for name, item in fields["items"].items():
        yield from _item(f"items.{name}", item)
        for one in (tensor for tensor in fields["tensors"] if tensor["item"] == name):
            label = f"{one['member']}: {one['name']}" if one["member"] else one["name"]
            yield f"items.{name}.tensor", f"{one['file']}  {label}  {one['dtype']}  {one['shape']}"
    yield from ((f"items.{one['item']}.unread", f"{one['file']}  {one['reason']}") for one in fields["unread"])


def _item(prefix: str, item: dict[str, Any]) -> Iterator[tuple[str, object]]:
    from ckptkit.cli.portrait import flat

    yield f"{prefix}.backend", f"{item['backend']} (format {item['format_version']})"
    yield f"{prefix}.captured", item["captured"]["grade"]
    for reason in item["captured"]["reasons"]:
        yield f"{prefix}.captured.reason", reason
    if item["step"] is not None:
        yield f"{prefix}.step", item["step"]
    for name, value in item["counters"].items():
        yield f"{prefix}.counters.{name}", value
    for hazard in item["hazards"]:
        yield f"{prefix}.hazard", hazard
    yield f"{prefix}.probe", "recorded" if item["probe"] else "none"
    yield from flat(item["metadata"], f"{prefix}.metadata")
    for file in item["files"]:
        trusted = "  trusted by whoever saved it" if file["trusted"] else ""
        yield f"{prefix}.file", f"{file['path']}  {file['size']}  {file['digest']}{trusted}"
