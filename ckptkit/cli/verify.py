"""`ckptkit verify`: judge checkpoints by content."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ckptkit.cli import output
from ckptkit.cli.progress import bytes_progress
from ckptkit.cli.session import LevelOption, StoreOption, session
from ckptkit.errors import UsageError

if TYPE_CHECKING:
    from ckptkit.storage import Location
    from ckptkit.store import CheckpointStore
    from ckptkit.verification import Report


def verify(
    context: typer.Context,
    refs: Annotated[list[str] | None, typer.Argument(metavar="[REF]...", help="All of the store if left out.")] = None,
    level: LevelOption = "format",
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest step of each run.")] = False,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="5%|3/7", help="A random share, or one of N parts in turn.")
    ] = None,
    factory: Annotated[
        list[str] | None,
        typer.Option("--factory", metavar="ITEM.ROLE=MODULE:FUNCTION", help="Builds a definition, for level resume."),
    ] = None,
    format_: Annotated[
        Literal["table", "tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab"] | None,
        typer.Option("--format", help="How to print; a table on a terminal, else tsv.", show_default=False),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Also write SARIF.")] = None,
    store: StoreOption = None,
) -> int:
    """Verify checkpoints by content. Exit 0: all good; 1: problems; 4: nothing to check; 5: unsafe content."""
    from ckptkit.cli.reports import hosts, lines
    from ckptkit.cli.reports import junit as junit_report
    from ckptkit.cli.reports import sarif as sarif_report
    from ckptkit.verification import Report, Verifier

    asked = session(context)
    places = _places(asked.open(store), refs or (), latest=latest, sample=sample)
    factories = _factories(factory or ())
    with bytes_progress("verify", None, quiet=asked.quiet) as advance:
        verifier = Verifier(level, on_bytes=advance, factories=factories)
        report = Report(level, [verifier.verify(at) for at in places])
    renderers = {
        "junit": junit_report.render,
        "sarif": sarif_report.render,
        "github": hosts.github,
        "gitlab": hosts.gitlab,
    }
    chosen = output.chosen(format_)
    if chosen in renderers:
        sys.stdout.write(renderers[chosen](report))
    else:
        lines.write(report, chosen)
    if junit is not None:
        junit.write_text(junit_report.render(report), encoding="utf-8")
    if sarif is not None:
        sarif.write_text(sarif_report.render(report), encoding="utf-8")
    _talk(report, quiet=asked.quiet)
    return report.exit_code


def _talk(report: "Report", *, quiet: bool) -> None:
    from ckptkit.cli.reports import lines

    sys.stdout.flush()
    if not report.checkpoints:
        output.talk("nothing to check: the store holds no checkpoint", quiet=quiet)
        return
    for text in lines.talk(report):
        output.talk(text, quiet=quiet)


def _places(store: "CheckpointStore", refs: Sequence[str], *, latest: bool, sample: str | None) -> "Sequence[Location]":
    places = [at for ref in refs for at in store.locate(ref)] if refs else list(store.locate())
    if latest:
        places = list({at.run: at for at in places}.values())  # in order of steps: the last one stays
    return _sampled(places, sample) if sample else places


def _sampled(places: "list[Location]", sample: str) -> "list[Location]":
    import random

    number, slash, parts = sample.partition("/")
    if slash and number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts):
        return places[int(number) - 1 :: int(parts)]
    percent = sample.removesuffix("%")
    if sample.endswith("%") and percent.isdigit() and 1 <= int(percent) <= 100 and places:
        count = max(1, round(len(places) * int(percent) / 100))
        chosen = set(random.sample(range(len(places)), count))
        return [at for index, at in enumerate(places) if index in chosen]
    if not places:
        return []
    raise UsageError(f"--sample {sample!r} is neither a share nor a part", hint="for example 5% or 3/7")


def _factories(words: Sequence[str]) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {}
    for word in words:
        key, equals, target = word.partition("=")
        item, dot, role = key.partition(".")
        module, colon, function = target.partition(":")
        if not all((equals, dot, colon, item, role, module, function)):
            raise UsageError(f"--factory {word!r} is not ITEM.ROLE=MODULE:FUNCTION", hint="data.dataset=train:dataset")
        result.setdefault(item, {})[role] = target
    return result
