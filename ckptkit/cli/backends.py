"""`ckptkit backends`: what is installed, what is usable, and what to install for the rest."""

from collections.abc import Iterator
from typing import Any

import typer

from ckptkit.cli import output
from ckptkit.cli.session import FormatOption, session_of


def backends(context: typer.Context, format_: FormatOption = None) -> None:
    """List the installed backends, and what to install for those that are not usable.

    What a backend wrote can be listed and verified even where its framework is missing.

    Examples:
        ckptkit backends
    """
    output.rows(
        output.chosen(format_),
        "backends",
        ("BACKEND", "STATE", "FORMAT", "POWERS", "FROM", "REMARK"),
        _records(),
        spare=("FROM", "FORMAT", "POWERS"),
        quiet=session_of(context).quiet,
    )


def _records() -> Iterator[tuple[list[object], dict[str, Any]]]:
    from ckptkit import registry
    from ckptkit.backend import SupportsEstimate, SupportsIngest, SupportsProbe

    powers = {
        "ingest": SupportsIngest,
        "probe": SupportsProbe,
        "estimate": SupportsEstimate,
    }
    for info in registry.backends().values():
        state = "failed" if info.backend is None else "verify only" if info.missing else "usable"
        has = [name for name, protocol in powers.items() if isinstance(info.backend, protocol)]
        version = info.backend.format_version if info.backend is not None else None
        remark = info.problem or (f"needs {', '.join(info.missing)}: {info.remedy}" if info.missing else "")
        fields = {
            "name": info.name,
            "state": state,
            "format_version": version,
            "powers": has,
            "distribution": info.distribution,
            "problem": info.problem,
            "missing": list(info.missing),
            "remedy": info.remedy,
        }
        yield [info.name, state, version or "", ",".join(has), info.distribution, remark], fields
