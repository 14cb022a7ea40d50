"""`ckptkit config show`: every setting, its value, and where that comes from."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import output
from ckptkit.cli.session import FormatOption, NoCacheOption, Session, StoreOption, session_of
from ckptkit.manifest.redaction import redact_argv, redact_text

if TYPE_CHECKING:
    from ckptkit.config.origins import Setting

COLUMNS = ("SETTING", "VALUE", "FROM", "PATTERN")


def config(
    context: typer.Context,
    action: Annotated[Literal["show"], typer.Argument(metavar="show", help="What to do; show is all there is.")],
    run: Annotated[
        str | None, typer.Argument(help="What applies to this run; else what applies where no pattern says more.")
    ] = None,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Show every setting, its value and where it comes from: option, variable, line of ckptkit.yaml, or default.

    Examples:
      ckptkit config show
      ckptkit config show ppo/run1
      ckptkit config show ppo/run1 --format json
    """
    session = session_of(context)
    if run is not None:
        from ckptkit.manifest.names import check_run

        check_run(run)
    found = list(_settings(session, run, session.store if store is None else store))
    path = session.config().path
    chosen = output.chosen(format_)
    extra = {"file": None if path is None else str(path), "run": run}
    output.rows(chosen, "settings", COLUMNS, _records(found, exact=chosen != "table"), extra, prose=("VALUE", "FROM"))
    if path is None:
        output.echo("there is no ckptkit.yaml here or above", quiet=session.quiet)


def _settings(session: Session, run: str | None, option: str | None) -> "Iterator[Setting]":
    from ckptkit.config import origins
    from ckptkit.digest import DEFAULT_ALGORITHM

    session.url(option)  # an empty --store is refused as everywhere
    yield origins.store(session.config(), option)
    yield from origins.of_run(session.config(), run, DEFAULT_ALGORITHM)
    yield _cache(session)
    yield _background()


def _cache(session: Session) -> "Setting":
    from ckptkit.catalog.cache_folder import FOLDER, NONE, ledger_file
    from ckptkit.config.origins import Setting

    if not session.cache:
        return Setting("cache", None, "option", "--no-cache")
    path = ledger_file()
    for variable in (NONE, FOLDER):
        if os.environ.get(variable):
            return Setting("cache", None if path is None else str(path.parent), "variable", variable)
    return Setting("cache", None if path is None else str(path.parent))


def _background() -> "Setting":
    from ckptkit.config.origins import Setting
    from ckptkit.store.background import PRIORITY

    given = os.environ.get(PRIORITY)
    return Setting("background", given, "variable", PRIORITY) if given else Setting("background", "low")


def _records(found: "list[Setting]", *, exact: bool) -> Iterator[tuple[list[object], dict[str, Any]]]:
    for one in found:
        value = _masked(one.value)
        fields = {
            "name": one.name,
            "value": value,
            "origin": one.origin,
            "where": one.where or None,
            "pattern": one.pattern,
        }
        shown = _words(one.name, value, exact=exact)
        yield [one.name, shown, one.where or "default", one.pattern or ""], fields


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return redact_argv(value)
    return redact_text(value) if isinstance(value, str) else value


def _words(name: str, value: Any, *, exact: bool) -> str:
    """Return a value as it would be written in ckptkit.yaml, or as near to that as a reader likes."""
    if value is None:
        return "none"
    if isinstance(value, list):
        import shlex

        return shlex.join(value) if name == "resume" else ", ".join(value)
    if name.endswith("retention.keep_within"):
        units = (("d", 86_400), ("h", 3600), ("m", 60))
        unit, size = next(((unit, size) for unit, size in units if value % size == 0), ("s", 1))
        return f"{value / size:g}{unit}"
    return output.size(value) if name.endswith("retention.max_size") and not exact else str(value)
