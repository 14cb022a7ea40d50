"""`ckptkit adopt`: find what trainers wrote, say what is whole and why, and give it manifests; nothing is copied."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import adopt_report, output, retention_options, unmirrored
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import FormatOption, NoCacheOption, ScratchOption, StoreOption, session_of
from ckptkit.errors import UsageError
from ckptkit.progress import Meter

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ckptkit.cli.session import Session
    from ckptkit.store import foreign

_NOT_HERE = "adopt where the trainer's files lie; then `ckptkit copy` copies what was adopted to any store"
_BESIDE = "of what lies on a service the manifests lie beside the files, in runs called by their folders"


def adopt(
    context: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="A folder that training wrote into, however deep, or one checkpoint; a URL of either; or a run of "
            "the store. The whole store if left out.",
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Call the run so; else it is called by its folder.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is there; write nothing.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and adopt each checkpoint when the trainer has finished it.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --watch looks.")
    ] = 10.0,
    manifests: Annotated[
        Literal["beside", "store"] | None,
        typer.Option(
            "--manifests",
            help="Where they go: beside the files, or into the store; else beside them unless that cannot be written.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", min=0, help="The step of a single checkpoint.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="TEMPLATE", help="Command that resumes; fields such as {path}.")
    ] = None,
    keep_last: retention_options.KeepLast = None,
    keep_every: retention_options.KeepEvery = None,
    keep_best: retention_options.KeepBest = None,
    metric: retention_options.Metric = None,
    mode: retention_options.Mode = None,
    format_: FormatOption = None,
    store: StoreOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Find the checkpoints that a trainer wrote, say which are whole, and give those manifests where they lie.

    Nothing is copied, and no file of the trainer is changed. A checkpoint that the trainer has not finished, or
    that has lost a part, is told with the reason and left alone. Run it again for what came since, or let it --watch:
    then it also removes what a retention policy does not keep, the --keep rules here or those of ckptkit.yaml. What it
    removes lies in the trash for a day; the next adoption after that purges it for good.

    Examples:
        ckptkit adopt outputs --dry-run
        ckptkit adopt outputs
        ckptkit adopt outputs --resume 'python train.py --ckpt {path}'

    Exit codes:
        0: All that are whole have a manifest now.
        1: None is whole.
        3: Some are whole and could not be given one, or are not in the mirror; it is said why.
        4: There is no checkpoint of a known trainer.
        5: Loading what is there would run code.
    """
    from ckptkit.errors import PartlyDoneError
    from ckptkit.resume import parse_template

    session = session_of(context)
    words = {"keep_last": keep_last, "keep_every": keep_every, "keep_best": keep_best, "metric": metric, "mode": mode}
    given = {name: word for name, word in words.items() if word is not None}
    if given and not watch:
        raise UsageError(
            f"--{next(iter(given)).replace('_', '-')} is for --watch", hint="`ckptkit prune` removes what is adopted"
        )
    if watch and dry_run:
        raise UsageError("--watch and --dry-run cannot be used together")
    with ExitStack() as held:
        if (where := _url(session, path, store)) is not None:
            _require_beside(run, manifests, watch=watch)
            sought, places, copies = held.enter_context(_on_service(*where))
        else:
            sought, places = _sought(session, store, path, run, manifests, watch=watch)
            copies = None
        if step is not None and not sought.single:
            told = places.told(sought.path)
            raise UsageError(f"--step {step}: {told} is not a single checkpoint", hint="name one of those in it")
        taking = _taking(session, sought, places, dry_run=dry_run, step=step)
        taking.copies = copies
        if resume:
            taking.resume, taking.cwd = parse_template(resume), str(Path.cwd())
        if watch:
            from ckptkit.cli import adopt_watch

            return adopt_watch.watch(session, taking, sought, every, given, format_)
        code = adopt_report.report(session, taking, sought, _taken(session, taking, sought), format_)
        return PartlyDoneError.exit_code if unmirrored.tell(taking.store, "what was adopted") and not code else code


def _taken(session: "Session", taking: "foreign.TakingIn", sought: "foreign.Sought") -> "list[foreign.Outcome]":
    """Return what came of all that was found, and show how far it is."""
    from ckptkit.store import foreign

    outcomes = []
    with progress_bar(quiet=session.quiet) as show:
        advance = Meter("adopt", on_progress=show)
        if advance.watched:
            advance.expect(sum(map(foreign.size_of, sought.sightings)))
            taking.on_bytes = advance
        for one in taking.take(sought.sightings):
            outcomes.append(one)
            if advance.watched and one.action not in ("adopted", "replaced"):  # not a byte of it was digested
                advance(foreign.size_of(one.judgement.sighting))
    return outcomes


def _sought(
    session: "Session", store: str | None, path: str | None, run: str | None, manifests: Any, *, watch: bool
) -> "tuple[foreign.Sought, foreign.Places]":
    """Return what is there, and where its manifests go."""
    from ckptkit.store import foreign

    named = store if store is not None else session.store
    usual = session.url(store)
    sought = foreign.look(_path(session, path, usual), to_come=watch)
    holding = {one.seen.folder for one in sought.sightings} or {sought.folder}
    places = foreign.decide(
        sought.folder, run=run, manifests=manifests, named=named, usual=usual, holding=sorted(holding)
    )
    if places.why:
        output.echo(output.safe(f"{places.why}: the manifests go into the store {places.store}"), quiet=session.quiet)
    return sought, places


def _url(session: "Session", text: str | None, store: str | None) -> tuple[str, str | None] | None:
    """Return the URL that is meant and that of the store around it, where these are a service's; else None."""
    from ckptkit.manifest.names import is_run
    from ckptkit.storage import is_elsewhere

    usual = session.url(store)
    around = usual if is_elsewhere(usual) else None
    if text is not None and is_elsewhere(text):
        given = store if store is not None else session.store
        inside = around is not None and f"{text.rstrip('/')}/".startswith(f"{around.rstrip('/')}/")
        if given is not None and around is None:
            raise UsageError(f"--store {given}: {_BESIDE}", hint="leave --store out: the URL is the store then")
        return text, around if inside or given is not None else None
    if around is None or (text is not None and (Path(text).exists() or not is_run(text))):
        return None
    return around if text is None else f"{around.rstrip('/')}/{text}", around


def _require_beside(run: str | None, manifests: str | None, *, watch: bool) -> None:
    """Raise UsageError for what is for folders of this machine."""
    given = {"--run": run, "--manifests store": manifests if manifests == "store" else None, "--watch": watch or None}
    for option, word in given.items():
        if word is not None:
            raise UsageError(f"{option}: {_BESIDE}", hint="leave it out; what came since is adopted when you ask again")


def _on_service(where: str, store: str | None) -> "AbstractContextManager[tuple[Any, Any, Any]]":
    from ckptkit.store import foreign

    return foreign.looked(where, store)


def _path(session: "Session", text: str | None, usual: str) -> Path:
    """Return the path that was meant: what exists comes first, then a run of the store."""
    from ckptkit.errors import CkptkitError, NotFoundError, StoreError
    from ckptkit.manifest.names import is_run
    from ckptkit.storage import require_path
    from ckptkit.store import StoreReader

    require_path(usual if text is None else text, _NOT_HERE)
    storage = StoreReader(usual, cache=False).storage
    if text is None:
        storage.require()
        return storage.run_folder(".")
    if not text:
        raise NotFoundError("PATH is empty", hint="name the folder")
    path, of_run = Path(text), None
    if is_run(text):
        try:
            of_run = storage.run_folder(text) if storage.has_run(text) else None
        except (CkptkitError, StoreError):
            of_run = None
    if of_run is None or of_run.resolve() == path.resolve():
        return path
    if not path.exists():
        return of_run
    told = f"{text} is a folder here and a run of {usual}; the folder is meant (the run is {of_run})"
    output.echo(output.safe(told), quiet=session.quiet)
    return path


def _taking(
    session: "Session", sought: "foreign.Sought", places: "foreign.Places", *, dry_run: bool, step: int | None
) -> "foreign.TakingIn":
    from ckptkit.store import foreign

    return foreign.TakingIn(session.open(places.store), places, step=step, named=sought.single, dry=dry_run)
