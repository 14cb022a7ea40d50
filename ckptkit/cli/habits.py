"""What people type out of habit, from other tools and before coffee: answered with the word that is right here."""

import difflib
from collections.abc import Sequence
from typing import NoReturn

from ckptkit.errors import UsageError
from ckptkit.formats.escaped import escaped

_LISTS = "`ckptkit list` lists checkpoints"
_REMOVES = "`ckptkit prune` shows what a retention policy would remove, and removes it with --apply"
_VERIFIES = "`ckptkit verify` reads checkpoints and says which are whole"
_SHOWS = "`ckptkit show REF` shows what one checkpoint holds"
_RESTORES = "`ckptkit restore REF DEST` copies a checkpoint's files to a new folder"
_RESUMES = "`ckptkit resume-cmd RUN` prints the command that resumes a run from its newest good checkpoint"
_SAVES = "`ckptkit save RUN --step N NAME=PATH` makes a checkpoint of files"
_TAKES_BACK = "`ckptkit undelete REF` takes a removed checkpoint back"
_ADOPTS = "`ckptkit adopt` takes over checkpoints that a trainer wrote"
_SETTINGS = "`ckptkit config show` shows every setting and where it comes from"
_HELPS = "`ckptkit --help` shows all commands, `ckptkit COMMAND --help` one of them"

HABITS = {
    **dict.fromkeys(("ls", "ll", "dir", "log", "history", "status", "runs", "snapshots", "checkpoints"), _LISTS),
    **dict.fromkeys(("rm", "del", "delete", "remove", "forget", "gc", "clean", "cleanup", "purge"), _REMOVES),
    **dict.fromkeys(("check", "fsck", "validate", "test", "scrub", "audit"), _VERIFIES),
    **dict.fromkeys(("cat", "info", "inspect", "describe", "stat", "view", "get"), _SHOWS),
    **dict.fromkeys(("load", "cp", "export", "checkout", "extract", "download", "pull"), _RESTORES),
    **dict.fromkeys(("resume", "continue", "restart", "run", "latest"), _RESUMES),
    **dict.fromkeys(("add", "backup", "commit", "create", "store", "put", "snapshot"), _SAVES),
    **dict.fromkeys(("undo", "unrm", "unremove", "recover", "trash"), _TAKES_BACK),
    **dict.fromkeys(("import", "init", "scan", "watch"), _ADOPTS),
    **dict.fromkeys(("settings", "conf", "env"), _SETTINGS),
    **dict.fromkeys(("help", "man", "usage"), _HELPS),
    "version": "`ckptkit --version` shows the version",
    **dict.fromkeys(("completion", "completions"), "`ckptkit --install-completion` sets up completion in your shell"),
    "label": "`ckptkit tag REF TAG` gives a checkpoint a tag",
    "keep": "`ckptkit pin REF` keeps a checkpoint whatever retention says",
    "diagnose": "`ckptkit doctor` examines this installation and the store",
    "plugins": "`ckptkit backends` shows what is installed",
}
"""Words of other tools, and what is typed here instead. A command of that name, ours or brought, comes first."""


def refuse(word: str, commands: Sequence[str]) -> NoReturn:
    """Raise UsageError for a word that is no command: with the right word, or the nearest commands.

    Args:
        word: what was typed.
        commands: the names of all commands.
    """
    told = HABITS.get(word.lower())
    if told is None:
        near = difflib.get_close_matches(word.lower(), commands, n=3, cutoff=0.6)
        also = difflib.get_close_matches(word.lower(), HABITS, n=1, cutoff=0.8)
        told = f"did you mean {' or '.join(near)}?" if near else HABITS[also[0]] if also else _HELPS
    raise UsageError(f"there is no command `{escaped(word, 40)}`", hint=told)
