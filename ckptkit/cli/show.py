"""`ckptkit show`: everything that is known of one checkpoint, as a tree for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ckptkit.cli import output
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
    ref: Annotated[str, typer.Argument(help="RUN@STEP, RUN@latest or RUN@best; RUN means its newest step.")],
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
    """
    from ckptkit.cli import portrait

    session = session_of(context)
    opened = session.reader(store)
    ranking = session.ranking(ref, metric, mode) if ref.endswith("@best") else None
    one = opened.describe(ref, ranking=ranking)
    program = program_of(session, store)
    chosen = output.chosen(format_)
    if chosen == "table":
        for text in portrait.lines(one, verbose=verbose, program=program):
            output.line(text)
        return
    fields = _fields(one, program)
    if chosen == "tsv":
        resume = one.evidence[-1].resume if one.evidence else "nothing shown"
        cells: Iterator[tuple[tuple[str, object], dict[str, Any]]] = (
            ((name, value), {}) for name, value in _lines(fields, resume)
        )
        output.rows(chosen, "", ("FIELD", "VALUE"), cells, names=("FIELD",))
    else:
        document = {"schema_version": output.SCHEMA_VERSION, "checkpoint": fields}
        output.line(output.dump(document, indent=2 if chosen == "json" else None))


def _fields(one: "Description", program: str) -> dict[str, Any]:
    from ckptkit.cli import portrait

    at, manifest = one.at, one.manifest
    known = None if one.content == "unverified" else one.known
    reasons = [reason for item in manifest.items.values() for reason in item.captured.reasons]
    return {
        "path": at.storage.where(at),
        "manifest": at.storage.where(at, at.manifest_file),
        **manifest.model_dump(mode="python"),
        "captured": {"grade": manifest.grade, "reasons": reasons},
        "shown": one.evidence[-1].fields() if one.evidence else None,
        "evidence": [shown.fields() for shown in one.evidence],
        "size": manifest.size,
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

    for name in ("path", "run", "step", "sequence", "created_at", "schema_version", "digest", "size", "content"):
        yield name, fields[name]
    yield "captured", fields["captured"]["grade"]
    yield from (("pinned", "yes") for _ in range(fields["pinned"] is True))
    yield from (("tag", tag) for tag in fields["tags"])
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
