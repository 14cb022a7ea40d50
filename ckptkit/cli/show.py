"""`ckptkit show`: everything that one checkpoint's manifest says."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ckptkit.cli import output
from ckptkit.cli.session import FormatOption, MetricOption, ModeOption, NoCacheOption, StoreOption, session_of


def show(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="RUN@STEP, RUN@latest or RUN@best; RUN means its newest step.")],
    metric: MetricOption = None,
    mode: ModeOption = None,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Show what a checkpoint holds, where it comes from, and what was shown about it.

    Its manifest says all that; only `ckptkit verify` judges content.

    Examples:
        ckptkit show ppo/run1@5000
        ckptkit show ppo/run1@best --metric reward --mode max
    """
    session = session_of(context)
    opened = session.reader(store)
    ranking = session.ranking(ref, metric, mode) if ref.endswith("@best") else None
    at = opened.locate(ref, ranking=ranking)[-1]
    manifest = opened.manifest(at)
    found = opened.evidence(at)
    most = found[-1] if found else None
    reasons = [reason for item in manifest.items.values() for reason in item.captured.reasons]
    fields = {
        "path": at.storage.where(at),
        "manifest": at.storage.where(at, at.manifest_file),
        **manifest.model_dump(mode="python"),
        "captured": {"grade": manifest.grade, "reasons": reasons},
        "shown": None if most is None else most.fields(),
        "evidence": [one.fields() for one in found],
    }
    chosen = output.chosen(format_)
    if chosen in ("json", "ndjson"):
        document = {"schema_version": output.SCHEMA_VERSION, "checkpoint": fields}
        output.line(output.dump(document, indent=2 if chosen == "json" else None))
    else:
        cells: Iterator[tuple[tuple[str, object], dict[str, Any]]] = (
            ((name, value), {})
            for name, value in _lines(fields, most.resume if most else "nothing shown", exact=chosen == "tsv")
        )
        output.rows(chosen, "", ("FIELD", "VALUE"), cells, names=("FIELD",))


def _lines(fields: dict[str, Any], resume: str, *, exact: bool) -> Iterator[tuple[str, object]]:
    for name in ("path", "run", "step", "sequence", "created_at", "schema_version", "digest"):
        yield name, fields[name]
    yield "captured", fields["captured"]["grade"]
    for one in fields["evidence"]:
        yield f"shown.{one['how']}", f"{one['differs'] or one['detail'] or one['words']}  {one['at']}"
    yield "resume", resume
    if fields["parent"]:
        yield "parent", f"{fields['parent']['run']}@{fields['parent']['step']}"
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
    yield from _flat("config", fields["config"])
    yield from _flat("environment", fields["environment"])
    for name, item in fields["items"].items():
        yield from _item(f"items.{name}", item, exact=exact)


def _item(prefix: str, item: dict[str, Any], *, exact: bool) -> Iterator[tuple[str, object]]:
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
    yield from _flat(f"{prefix}.metadata", item["metadata"])
    for file in item["files"]:
        size = file["size"] if exact else output.size(file["size"])
        trusted = "  trusted by whoever saved it" if file["trusted"] else ""
        yield f"{prefix}.file", f"{file['path']}  {size}  {file['digest']}{trusted}"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}", part)
    elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        yield prefix, output.dump(value)
    elif isinstance(value, list):
        yield prefix, ", ".join(str(part) for part in value)
    elif value is not None:
        yield prefix, value
