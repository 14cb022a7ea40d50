"""`ckptkit save`: make one checkpoint of files that a trainer wrote; no Python needed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import interrupts, output, pairs, telling, unmirrored
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import NoCacheOption, StoreOption, session_of
from ckptkit.errors import CkptkitError, NotFoundError, PartlyDoneError, UsageError
from ckptkit.manifest.redaction import require_open

if TYPE_CHECKING:
    from ckptkit.store import CheckpointStore, Files


def save(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Run name, for example ppo/run1.")],
    items: Annotated[
        list[str],
        typer.Argument(metavar="NAME=PATH", help="Items; NAME:BACKEND=PATH forces the backend."),
    ],
    step: Annotated[int, typer.Option("--step", help="Training step.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", metavar="K=V", help="A number, for @best.")] = None,
    counter: Annotated[
        list[str] | None, typer.Option("--counter", metavar="K=N", help="A counter: a whole number.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag, for retention.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="JSON or YAML file with the run's settings.")] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="TEMPLATE", help="Command that resumes; fields such as {path}.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="Name of an environment variable that the training needs.")
    ] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="RUN@STEP that this run was resumed from.")] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Put all files right into the checkpoint's folder, not into one per item.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Move a checkpoint of this step to the trash.")] = False,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", metavar="FILE", help="A file of an item that you wrote yourself; may be repeated."),
    ] = None,
    dedup: Annotated[
        Literal["off", "file", "tensor"] | None,
        typer.Option(
            "--dedup",
            help="What is stored once if the checkpoint before has it, too; else `dedup` in ckptkit.yaml.",
            show_default=False,
        ),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign it with this key; else `sign` in ckptkit.yaml.")
    ] = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Save files that a trainer wrote as one checkpoint, all of it or nothing.

    The files are copied, checked and digested; only then does the checkpoint appear. Each NAME is an item of it. Which
    backend an item is for is found by its content.

    Examples:
        ckptkit save ppo/run1 --step 6000 policy=outputs/checkpoint-6000
        # Two items, a number for @best, and how to go on
        ckptkit save ppo/run1 --step 7000 rng=rng.json policy=outputs/checkpoint-7000 --metric reward=187.5 \
            --resume 'python train.py --resume {path}'

    Exit codes:
        0: It was saved.
        3: It was saved, but not all that the given folder holds; or without tags, signature, or a copy in the mirror.
        5: Refused, and nothing was committed: the items disagree about the step, or loading one would run code.
        6: The step is committed already, and nothing was changed.
        10: The disk is full or cannot be written, and nothing was committed.
    """
    from ckptkit.store import template_doubts

    session = session_of(context)
    pairs.require_run(run, items=True)
    files = _items(items)
    template = None
    if resume is not None:
        from ckptkit.resume import parse_template

        template = parse_template(resume)
    undone: PartlyDoneError | None = None
    began = datetime.now(UTC)
    opened = session.open(store, dedup=dedup, signer=sign)
    with (
        interrupts.leaving(lambda: _left(opened, run, step, tag or (), began)),
        progress_bar(quiet=session.quiet) as show,
    ):
        try:
            saved = opened.save(
                run,
                step,
                files,
                metrics=pairs.parse(metric or (), "--metric", float),
                counters=pairs.parse(counter or (), "--counter", pairs.count),
                config=_config(config) if config is not None else None,
                resume=template,
                env=env or (),
                parent=parent,
                tags=tag or (),
                replace=replace,
                flat=flat,
                trust=trust or (),
                on_progress=show,
            )
        except PartlyDoneError as error:
            saved, undone = error.committed, error
    found = ", ".join(f"{name} ({item.backend})" for name, item in saved.manifest.items.items())
    output.echo(
        f"saved {saved.at.ref}: {found}; {output.size(saved.manifest.size)}; {saved.manifest.grade}",
        quiet=session.quiet,
    )
    telling.tell(saved.manifest, saved.warnings, quiet=session.quiet)
    given = {name: item.path for name, item in files.items()}
    for doubt in template_doubts.doubts(saved.at, saved.manifest, given):
        output.echo(output.safe(doubt), quiet=session.quiet)
    if not opened.storage.outlives:
        output.echo(f"{opened.storage.url} ends with this command, and what was saved with it", quiet=session.quiet)
    output.line(output.safe(saved.at.where))
    lacking = unmirrored.tell(opened, saved.at.ref)
    if undone is not None:
        raise undone
    return 3 if saved.left or lacking else 0


def _left(store: "CheckpointStore", run: str, step: int, tags: Sequence[str], began: datetime) -> str:
    """Return what Ctrl-C left: the moment of the commit may have been before it."""
    try:
        at = store.locate(f"{run}@{step}")[-1]
        if datetime.fromisoformat(store.manifest(at).created_at) < began:
            return "nothing was committed"
    except CkptkitError:
        return "nothing was committed"
    has = next((one.tags for one in store.list(run) if one.at.step == step), ())
    lacks = "" if set(tags) <= set(has) else f", without the tags (`ckptkit tag {at.ref} TAG` sets one)"
    return f"but {at.ref} was committed before that{lacks}"


def _items(words: list[str]) -> "dict[str, Files]":
    from ckptkit.storage import require_path
    from ckptkit.store import Files

    items: dict[str, Files] = {}
    for word in words:
        name, equals, path = word.partition("=")
        name, _, backend = name.partition(":")
        if not equals or not path:
            raise UsageError(f"{word!r} is not NAME=PATH", hint="for example policy=outputs/checkpoint-5000")
        if name in items:
            raise UsageError(f"item {name!r} is given twice")
        # TOKEN=VALUE in the wrong place must not come back in a message.
        require_open("an item", [word.partition("=")[0] if Path(path).exists() else word])
        require_path(path, "write a path; what lies in a bucket is downloaded first")
        items[name] = Files(Path(path), backend or None)
    return items


def _config(path: Path) -> dict[str, Any]:
    from ckptkit.formats import strict_json
    from ckptkit.formats.given_file import require_file

    require_file(path)
    if not path.is_file():
        raise NotFoundError(f"{path}: does not exist", hint="give a JSON or YAML file to --config")
    if path.suffix == ".json":
        value = strict_json.load(path)
    else:
        from ckptkit.config import strict_yaml

        value, _ = strict_yaml.loads(path.read_bytes(), path)
    if not isinstance(value, dict):
        raise UsageError(f"{path}: is not a mapping of settings")
    return value
