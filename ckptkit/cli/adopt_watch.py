"""`ckptkit adopt --watch`: one line for each thing that happens, until Ctrl-C or SIGTERM, then a last look."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ckptkit.cli import output

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.retention import RetentionPolicy
    from ckptkit.storage import Storage
    from ckptkit.store.foreign import Sought, TakingIn
    from ckptkit.store.foreign.watching import Event


def watch(
    session: "Session",
    taking: "TakingIn",
    sought: "Sought",
    every: float,
    words: Mapping[str, Any],
    format_: str | None = None,
) -> int:
    """Take in what appears until a signal ends it; returns 128 + its number."""
    from ckptkit.store.foreign.watching import Watch

    watching = Watch(taking, sought.path, _policy_of(session, taking.store.storage, words))
    ended = threading.Event()
    number = signal.SIGINT

    def end(got: int, frame: object) -> None:
        nonlocal number
        if ended.is_set():  # a second one means it
            raise SystemExit(128 + got)
        number = signal.Signals(got)
        ended.set()

    before = {sign: signal.signal(sign, end) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        told = f"watching {sought.path} every {every:g} s; Ctrl-C ends it; the store is {taking.store.storage.url}"
        output.echo(output.safe(told), quiet=session.quiet)
        while not ended.is_set():
            _print(watching.look(), format_)
            ended.wait(every)
        _print(watching.last_look(), format_)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    return 128 + number


def _policy_of(
    session: "Session", storage: "Storage", words: Mapping[str, Any]
) -> "Callable[[str], RetentionPolicy | None]":
    """Return what is kept of each run: the rules of the command line, else those of ckptkit.yaml."""
    if words:
        from ckptkit.store import best_by

        return best_by.policies(storage, words)
    return lambda run: session.config().for_run(run).retention


def _print(events: "Iterable[Event]", format_: str | None) -> None:
    for event in events:
        if format_ in ("json", "ndjson"):
            fields = {"event": event.kind, "text": event.text, "ref": event.ref}
            path = None if event.path is None else str(event.path)
            output.line(output.dump({"schema_version": output.SCHEMA_VERSION, **fields, "path": path}))
        else:
            output.line(output.safe(event.text))
        sys.stdout.flush()
