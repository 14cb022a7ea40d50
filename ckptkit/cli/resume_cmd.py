"""`ckptkit resume-cmd`: print the command that resumes from the newest checkpoint that verifies."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ckptkit.cli import interrupts, output, telling, unlisted
from ckptkit.cli.naming import one_named
from ckptkit.cli.progress import bytes_progress, progress_bar
from ckptkit.cli.session import (
    ExactRunOption,
    JobsOption,
    LevelOption,
    MetricOption,
    ModeOption,
    NoCacheOption,
    RequireSignatureOption,
    ScratchOption,
    StoreOption,
    session_of,
    signers,
)
from ckptkit.resume.quoting import quote_word

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.manifest.models import Resume
    from ckptkit.resume import Command


def resume_cmd(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="RUN, RUN@STEP, RUN@best, or a path to one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="-- OVERRIDES", help="Appended to the command, so they win.")
    ] = None,
    format_: Annotated[
        Literal["shell", "json", "argv0", "slurm", "k8s"], typer.Option("--format", help="How to print it.")
    ] = "shell",
    template: Annotated[
        str | None, typer.Option("--template", help="Use this instead of the one that was saved.")
    ] = None,
    metric: MetricOption = None,
    mode: ModeOption = None,
    materialise: Annotated[
        Path | None,
        typer.Option(
            "--materialise", metavar="DIR", help="Copy it to a store in this folder first: paths are those of the copy."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail rather than fall back to an older one.")] = False,
    exact_run: ExactRunOption = False,
    level: LevelOption = None,
    require_signature: RequireSignatureOption = None,
    jobs: JobsOption = None,
    store: StoreOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Print the command that resumes a run from the newest checkpoint that verifies.

    Newer ones that do not verify are skipped, and it is said why. A run that was resumed as another one is followed to
    the newest good checkpoint there. If nothing can be resumed from, nothing is printed on stdout, so that running the
    output does no harm.

    With --materialise, and where it is in the mirror of the store, it is copied to this machine, verified on the way.
    What is there already and verifies is taken as it is.

    Examples:
        ckptkit resume-cmd ppo/run1
        eval "$(ckptkit resume-cmd ppo/run1)"
        ckptkit resume-cmd ppo/run1@4000 -- --learning-rate 1e-4
        ckptkit resume-cmd ppo/run1 --materialise resumed

    Exit codes:
        0: The command is on stdout.
        1: The step that was named does not verify.
        2: Nothing says how to resume it.
        4: There is nothing to resume from.
        5: The step that was named would run code, or is signed by nobody who is trusted; or DIR lies in a store.
        6: DIR has a different checkpoint at the same step.
    """
    from ckptkit.errors import NothingResumableError
    from ckptkit.resume import format_command, parse_template, redacted_arguments
    from ckptkit.verification import Verifier

    session = session_of(context)
    url, named = one_named(session, ref, store, "resume-cmd")
    opened, depth = session.reader(url, mirrored=True), session.level(named.run, level)
    ranking, keys = session.ranking(str(named), metric, mode), signers(require_signature)
    if materialise is not None or opened.mirror is not None:
        interrupts.may_change()
        with progress_bar(quiet=session.quiet) as show:
            chosen = opened.materialise(
                named,
                materialise,
                ranking=ranking,
                exact_run=exact_run,
                level=depth,
                on_progress=show,
                jobs=jobs,
                signers=keys,
            )
    else:
        with bytes_progress(f"verify {named}", None, quiet=session.quiet) as advance:
            verifier = Verifier(depth, on_bytes=advance, ledger=opened.ledger, jobs=jobs, signers=keys)
            chosen = opened.choose(named, verifier=verifier, ranking=ranking, exact_run=exact_run)
    output.followed(chosen, str(named), quiet=session.quiet)
    unlisted.tell_newer(opened, chosen, quiet=session.quiet)
    for report in chosen.skipped:
        output.echo(f"skipped {report.at.ref}: {output.safe(report.reason)}", quiet=session.quiet)
    if strict and any(report.at.ref != chosen.at.ref for report in chosen.skipped):
        raise NothingResumableError(f"{named}: the newest checkpoint does not verify, and --strict allows no older one")
    given = parse_template(template) if template is not None else None
    again = ["--exact-run"] if exact_run else []
    again += ["--materialise", str(materialise.absolute())] if materialise is not None else []
    again += [word for key in require_signature or () for word in ("--require-signature", str(key.absolute()))]
    again += (["--template", template] if template else []) + (["--", *overrides] if overrides else [])
    default = _default(session, chosen.at.run) if chosen.manifest.resume is None and given is None else None
    command = opened.resume_command(
        chosen,
        template=given,
        default=default,
        by_trainer=_by_trainer(session, chosen.manifest.trainer),
        overrides=overrides or (),
        again=again,
    )
    if command.said_by is not None:
        output.echo(f"{chosen.at.ref} has no resume command; using that of {command.said_by.ref}", quiet=session.quiet)
    if command.guess is not None:
        output.echo(
            f"{command.guess}; say it once in ckptkit.yaml "
            f"(`trainers: {{{chosen.manifest.trainer}: python YOURS.py ...}}`), or now with --template",
            quiet=session.quiet,
        )
    text = format_command(command, format_)
    output.echo(f"resuming {chosen.at.ref}", quiet=session.quiet)
    if materialise is not None:
        back = f"ckptkit copy {quote_word(str(materialise))} {quote_word(url)}"
        output.echo(
            f"{materialise} is a store of its own; `{back}` brings back what is saved there", quiet=session.quiet
        )
    telling.tell(chosen.manifest, chosen.warnings, quiet=session.quiet)
    for index in redacted_arguments(command.argv):
        masked = f"argument {index} holds a secret that was masked: fill it in before you run it"
        output.echo(masked, quiet=session.quiet)
    for name in command.env:
        if name not in os.environ:
            output.echo(f"the run had {output.safe(name)} set, which is not set here", quiet=session.quiet)
    sys.stdout.write(_in_folder(text, command, quiet=session.quiet) if format_ == "shell" else text)


def _default(session: "Session", run: str) -> "Resume | None":
    """Return ckptkit.yaml's command for resuming the run, for a checkpoint that has none."""
    from ckptkit.manifest.models import Resume
    from ckptkit.resume import parse_template

    config = session.config()
    words = config.for_run(run)
    if words.resume is None:
        return None
    argv = parse_template(words.resume, where=words.resume_where or "the resume template")
    return Resume(argv=argv, cwd=str(config.path.absolute().parent) if config.path else None)


def _by_trainer(session: "Session", kind: str | None) -> "dict[str, Resume]":
    """Return ckptkit.yaml's command for what a trainer wrote."""
    from ckptkit.manifest.models import Resume
    from ckptkit.resume import parse_template

    config = session.config()
    if kind is None or kind not in config.trainers:
        return {}
    words, where = config.trainers[kind]
    cwd = str(config.path.absolute().parent) if config.path else None
    return {kind: Resume(argv=parse_template(words, where=where), cwd=cwd)}


def _in_folder(text: str, command: "Command", *, quiet: bool) -> str:
    """Return the line with a `cd` before it, so that it does the same wherever it is pasted."""
    folder = command.cwd or str(Path.cwd())
    if not Path(folder).is_dir():
        output.echo(
            f"the run started in {output.safe(folder)}, which does not exist here; using this folder", quiet=quiet
        )
        folder = str(Path.cwd())
    return f"cd {quote_word(os.path.abspath(folder))} && {text}"
