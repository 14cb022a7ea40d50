"""The program's own commands, by what people want to do: each is imported when it is asked for, and no other one."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from ckptkit.cli import commands

# A command in no group is shown under "More".
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Save and take over": {"save": "save:save", "adopt": "adopt:adopt", "copy": "copy_:copy"},
    "Look": {
        "list": "list_:list_checkpoints",
        "show": "show:show",
        "diff": "diff:diff",
        "find": "find:find",
        "verify": "verify:verify",
    },
    "Keep and remove": {
        "prune": "prune:prune",
        "undelete": "undelete:undelete",
        "pin": "pin:pin",
        "unpin": "pin:unpin",
        "tag": "tag:tag",
    },
    "Sign": {"sign": "sign:sign", "keygen": "keygen:keygen"},
    "Resume": {"resume-cmd": "resume_cmd:resume_cmd", "restore": "restore:restore"},
    "Set up": {
        "backends": "backends:backends",
        "doctor": "doctor:doctor",
        "index": "index:index",
        "config": "config:config",
    },
}
"""Heading, name, module and function."""

NAMES = tuple(name for group in GROUPS.values() for name in group)


@cache
def load(name: str) -> Any:
    """Return the command of that name, or None. A module with a ``CLASS`` says of which class its command is."""
    for heading, group in GROUPS.items():
        if name in group:
            place, _, function = group[name].partition(":")
            module = importlib.import_module(f"ckptkit.cli.{place}")
            kind = {"cls": module.CLASS} if hasattr(module, "CLASS") else {}
            return commands.of_function(name, getattr(module, function), rich_help_panel=heading, **kind)
    return None
