"""Hostile and damaged pickles: each is found by name, and nothing in them ever runs."""

import builtins
import collections
import contextlib
import copyreg
import datetime
import decimal
import functools
import io
import operator
import os
import pathlib
import pickle
import pickletools
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ckptkit.formats.pickle_allowlist import ALLOWED
from ckptkit.formats.pickle_grading import grade
from ckptkit.formats.pickle_machine import Global, Machine
from ckptkit.formats.pickle_opcodes import OPERATIONS, follow
from ckptkit.formats.pickle_stream import PickleError, PickleTooComplexError
from ckptkit.formats.pickles import check_pickle, check_pickle_file
from ckptkit.problem import Problem

COMMAND = "touch canary"


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "canary").exists(), "the pickle ran"


def check(data: bytes) -> list[Problem]:
    return check_pickle(data, file="agent.zip", where="data:lr_schedule")


def severities(data: bytes) -> set[str]:
    return {problem.severity for problem in check(data)}


class Calls:
    """Pickles as a call of the function with the arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


SYSTEM = b"cos\nsystem\n"
ARGUMENTS = text(COMMAND) + b"\x85"

RUNS: dict[str, bytes] = {
    **{f"os.system by REDUCE, protocol {p}": pickle.dumps(Calls(os.system, COMMAND), p) for p in range(6)},
    "hidden deep in plain data": pickle.dumps({"a": [1, (2, {"b": Calls(os.system, COMMAND)})]}),
    "GLOBAL": SYSTEM + ARGUMENTS + b"R.",
    "STACK_GLOBAL": b"\x80\x04" + text("os") + text("system") + b"\x93" + ARGUMENTS + b"R.",
    "STACK_GLOBAL of Python 2 strings": b"\x80\x04U\x02osU\x06system\x93" + ARGUMENTS + b"R.",
    "STACK_GLOBAL of quoted strings": b"\x80\x04S'o\\x73'\nS'system'\n\x93" + ARGUMENTS + b"R.",
    "STACK_GLOBAL of escaped text": b"\x80\x04Vo\\u0073\nVsystem\n\x93" + ARGUMENTS + b"R.",
    "INST": b"(S'touch canary'\nios\nsystem\n.",
    "INST at the end of the file": b"(S'touch canary'\nios\nsystemX",
    "OBJ": b"(" + SYSTEM + text(COMMAND) + b"o.",
    "NEWOBJ": SYSTEM + ARGUMENTS + b"\x81.",
    "NEWOBJ_EX": SYSTEM + ARGUMENTS + b"}\x92.",
    "BUILD of __setstate__": (
        b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + SYSTEM + b"sb" + text(COMMAND) + b"b."
    ),
    "names out of the memo": text("system") + b"q\x010" + text("os") + b"q\x020h\x02h\x01\x93" + ARGUMENTS + b"R.",
    "the memo overwritten": b"]q\x00"
    + text("os")
    + b"q\x00"
    + text("system")
    + b"q\x0100h\x00h\x01\x93"
    + ARGUMENTS
    + b"R.",
    "PUT and GET in decimal": SYSTEM + b"p7\n0g7\n" + ARGUMENTS + b"R.",
    "LONG_BINPUT 2**31": SYSTEM + b"r\x00\x00\x00\x80" + b"0j\x00\x00\x00\x80" + ARGUMENTS + b"R.",
    "DUP and POP_MARK": SYSTEM + b"2(" + text("noise") + b"1" + ARGUMENTS + b"R.",
    "a frame that ends inside an opcode": (
        b"\x80\x04\x95" + struct.pack("<Q", 3) + text("os") + text("system") + b"\x93" + ARGUMENTS + b"R."
    ),
    "the Python 2 name of builtins": b"c__builtin__\neval\n" + text("open('canary', 'w')") + b"\x85R.",
    "without STOP": SYSTEM + ARGUMENTS + b"R",
    "damage after the payload": SYSTEM + ARGUMENTS + b"R\xff",
    "a second pickle": pickle.dumps(1) + pickle.dumps(Calls(os.system, COMMAND)),
    "a third pickle": pickle.dumps(1) * 2 + pickle.dumps(Calls(os.system, COMMAND)),
    "a dotted name through an allowed module": b"\x80\x04" + text("collections") + text("_sys.modules") + b"\x93.",
    "a dotted name through an allowed class": b"\x80\x04" + text("numpy") + text("dtype.__class__") + b"\x93.",
    "numpy.__builtins__": b"\x80\x04" + text("numpy") + text("__builtins__.eval") + b"\x93" + ARGUMENTS + b"R.",
    "EXT1": b"\x82\x01" + ARGUMENTS + b"R.",
    "EXT2": b"\x83\x01\x00.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "a call of what a call returned": b"ccollections\nOrderedDict\n)R)R.",
    "a change to an allowed class": b"ctorch.optim.adam\nAdam\n}" + text("step") + b"Nsb.",
    "items put into an allowed class": b"ctorch.optim.adam\nAdam\n" + text("step") + b"Ns.",
    "eval": pickle.dumps(Calls(eval, "open('canary', 'w')")),
    "exec": pickle.dumps(Calls(exec, "open('canary', 'w')")),
    "open": pickle.dumps(Calls(open, "canary", "w")),
    "getattr": pickle.dumps(Calls(getattr, dict, "pop")),
    "__import__": pickle.dumps(Calls(builtins.__import__, "canary")),
    "a file removed": pickle.dumps(Calls(pathlib.os.remove, "canary")),
    "functools.partial of os.system": pickle.dumps(functools.partial(os.system, COMMAND)),
    "functools.reduce": pickle.dumps(Calls(functools.reduce, os.system, [COMMAND])),
    "map": pickle.dumps(Calls(map, os.system, [COMMAND])),
    "attrgetter": pickle.dumps(operator.attrgetter("system")),
    "methodcaller": pickle.dumps(operator.methodcaller("system", COMMAND)),
    "a pickle in a pickle": pickle.dumps(Calls(pickle.loads, pickle.dumps(Calls(os.system, COMMAND)))),
    "a call by name only": pickle.dumps({"policy_class": os.system}),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_pickle_that_would_run_something_is_unsafe(name: str) -> None:
    assert "unsafe" in severities(RUNS[name])


@pytest.mark.parametrize("name", [name for name in RUNS if "os.system" in name or "STACK_GLOBAL" in name])
def test_the_message_names_the_place_and_the_function(name: str) -> None:
    assert any(p.message.startswith("data:lr_schedule: would") and ".system" in p.message for p in check(RUNS[name]))


def test_a_call_is_told_from_a_mention() -> None:
    (called,) = check(SYSTEM + ARGUMENTS + b"R.")
    assert called.message == "data:lr_schedule: would call os.system when loaded"
    (named,) = check(SYSTEM + b".")
    assert named.message == "data:lr_schedule: would import os.system, which can run code"


GADGETS = """
asyncio.unix_events._UnixSubprocessTransport._start bdb.Bdb.run cProfile.run code.InteractiveInterpreter.runcode
codeop.compile_command commands.getoutput ctypes.CDLL distutils.spawn.spawn doctest.debug_script
ensurepip._run_pip idlelib.pyshell.ModifiedInterpreter.runcommand imp.load_source importlib.import_module
inspect.getattr_static io.open lib2to3.pgen2.pgen.ParserGenerator.make_label linecache.getline
logging.config.listen marshal.loads multiprocessing.Process nt.system numpy.f2py.crackfortran.getlincoef
numpy.load numpy.lib.npyio.load numpy.testing._private.utils.runstring numpy.ctypeslib.load_library
operator.attrgetter os.popen pdb.run pickle.loads _pickle.loads pip.main pkgutil.resolve_name platform.popen
posix.system pprint.pprint profile.Profile.run pty.spawn pydoc.pipepager runpy._run_code shelve.open
shutil.rmtree site.addsitedir smtplib.SMTP socket.create_connection sqlite3.connect ssl.get_server_certificate
stable_baselines3.common.save_util.load_from_pkl subprocess.Popen sys.setprofile tarfile.open tempfile.mkstemp
test.support.script_helper.assert_python_ok threading.Thread timeit.timeit torch._dynamo.guards.GuardBuilder.get
torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.hub.load torch.jit.load
torch.load torch.storage._load_from_bytes torch.serialization.load torch.utils._config_module.load_config
torch.utils.bottleneck.__main__.run_cprofile torch.utils.collect_env.run
torch.utils.data.datapipes.utils.decoder.basichandlers trace.Trace.run types.CodeType types.FunctionType
urllib.request.urlopen uuid._get_command_stdout venv.create webbrowser.open zipimport.zipimporter
builtins.compile builtins.eval builtins.getattr builtins.globals builtins.__import__ builtins.setattr
builtins.vars builtins.input builtins.breakpoint builtins.map codecs.open cloudpickle.cloudpickle._make_function
dill._dill._create_function joblib.load yaml.unsafe_load gymnasium.make pandas.read_pickle typing.get_type_hints
dataclasses.make_dataclass
"""


@pytest.mark.parametrize("gadget", GADGETS.split())
def test_a_gadget_that_scanners_missed_once_is_unsafe_here(gadget: str) -> None:
    module, _, name = gadget.rpartition(".")
    assert grade(Global(module, name)) in ("dangerous", "code")


@pytest.mark.parametrize("name", ["Path.write_text", "dtype.__class__", "os.system", "_sys.modules"])
def test_a_dotted_name_of_the_standard_library_is_dangerous(name: str) -> None:
    assert grade(Global("pathlib", name)) == "dangerous"


def test_a_function_by_value_is_code() -> None:
    problems = check(cloudpickle.dumps(lambda progress: 3e-4 * progress))
    assert [(p.code, p.severity) for p in problems if p.code == "pickle-contains-code"] == [
        ("pickle-contains-code", "unsafe")
    ]
    assert "contains code of its own" in problems[0].message


def test_a_class_by_value_is_code() -> None:
    class Schedule:
        def __call__(self, progress: float) -> float:
            return progress

    Schedule.__module__ = "__main__"
    assert "pickle-contains-code" in {p.code for p in check(cloudpickle.dumps(Schedule()))}


@pytest.mark.parametrize(
    "data", [b"c__main__\nNet\n.", b"cmy.project.nets\nNet\n)\x81.", b"cipaddress\nIPv4Address\n."]
)
def test_a_class_that_nobody_listed_is_a_warning(data: bytes) -> None:
    (problem,) = check(data)
    assert (problem.code, problem.severity) == ("pickle-unrecognised", "warning")
    assert "is not on the allowlist" in problem.message


def test_a_hostile_name_is_shown_on_one_line() -> None:
    (problem,) = check(b"\x80\x04" + text("evil\n\x1b[2Jmodule") + text("\u202ename") + b"\x93.")
    assert problem.message.isprintable()
    assert len(problem.message) < 300


def test_thousands_of_names_do_not_give_thousands_of_problems() -> None:
    data = b"".join(b"cevil%d\nx\n0" % i for i in range(5000)) + b"N."
    assert len(check(data)) <= 20


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "no STOP": b"\x80\x04N",
    "truncated": pickle.dumps({"a": [1.5] * 10})[:-20],
    "unknown opcode": b"\xffN.",
    "unknown protocol": b"\x80\x09N.",
    "STACK_GLOBAL of numbers": b"\x80\x04K\x01K\x02\x93.",
    "STACK_GLOBAL of bytes": b"\x80\x04C\x02osC\x06system\x93.",
    "empty stack": b".",
    "REDUCE of nothing": b"R.",
    "no mark": b"t.",
    "OBJ of nothing": b"(o.",
    "memo entry never put": b"h\x07.",
    "negative PUT": b"Np-1\n.",
    "PUT that is no number": b"Npx\n.",
    "persistent id": b"N" + text("archive/0") + b"Q.",
    "persistent id, protocol 0": b"Parchive\n.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "BINBYTES8 of 2**40": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "BINUNICODE8 of 2**63": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 63) + b"x.",
    "BYTEARRAY8 of 2**40": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "LONG4 of 2**31": b"\x8b\xff\xff\xff\x7f.",
    "LONG4 negative": b"\x8b\xff\xff\xff\xff.",
    "BINSTRING negative": b"T\xff\xff\xff\xff.",
    "FRAME of 2**40": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "text that is no UTF-8": b"\x8c\x02\xff\xfe.",
    "string without quotes": b"Shello\n.",
    "string with a bad escape": b"S'\\xzz'\n.",
    "global name of 2000 characters": b"c" + b"x" * 2000 + b"\ny\n.",
    "global name that is no UTF-8": b"c\xff\xfe\ny\n.",
    "HTML": b"<html><body>404</body></html>",
    "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_pickle_is_damage(name: str) -> None:
    assert [(p.code, p.severity) for p in check(DAMAGED[name])] == [("pickle-damaged", "error")]


def test_a_second_harmless_pickle_is_refused_too() -> None:
    assert [p.code for p in check(pickle.dumps(1) + pickle.dumps(2))] == ["pickle-trailing-data"]


@pytest.mark.parametrize(
    "data",
    [
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b"N" + b"\x85" * 100_000 + b".",
        b"N" + b"(\x30" * 1000 + b".",
        b"N" + b"\x32\x86" * 200 + b"}" + b"\x86.",
    ],
    ids=["lists", "tuples", "marks", "doubling tuples"],
)
def test_deep_nesting_is_followed_without_recursion(data: bytes) -> None:
    assert {p.code for p in check(data)} <= {"pickle-damaged"}


@pytest.mark.parametrize(
    "data",
    [
        b"(" * 100_000 + b"N.",
        b"".join(b"cm%d\nn\n0" % i for i in range(11_000)) + b"N.",
    ],
    ids=["marks", "globals"],
)
def test_a_pickle_that_would_fill_the_memory_is_refused(data: bytes) -> None:
    assert [p.code for p in check(data) if p.severity == "error"] == ["pickle-too-complex"]


@pytest.mark.parametrize(
    "data",
    [b"N" + b"2" * 600_000 + b".", b"]" + b"\x94" * 1_100_000 + b".", b"K\x01" * 600_000 + b"."],
    ids=["DUP", "memo", "stack"],
)
def test_what_a_small_packed_pickle_may_not_take_a_large_one_may(data: bytes) -> None:
    for stored, refused in ((len(data), False), (1_000, data[1:2] != b"\x94")):
        machine = Machine(io.BytesIO(data), len(data), stored=stored)
        with pytest.raises(PickleTooComplexError) if refused else contextlib.nullcontext():
            follow(machine)


def test_every_opcode_has_an_operation() -> None:
    assert {ord(opcode.code) for opcode in pickletools.opcodes} - set(OPERATIONS) == {pickle.STOP[0]}


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.frozensets(st.integers() | st.text())
        | st.sets(st.binary())
    ),
    max_leaves=30,
)


@given(PLAIN, st.integers(0, 5))
@example("__reduce_ex__", 2)
@example({"__array__": 1}, 4)
@settings(max_examples=150)
def test_plain_data_in_every_protocol_has_no_problems(value: Any, protocol: int) -> None:
    assert check_pickle(pickle.dumps(value, protocol), file="x") == []


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_random_bytes_never_raise(data: bytes) -> None:
    check_pickle(data, file="x")


def test_no_flipped_bit_raises_and_none_makes_a_pickle_that_still_names_the_payload_look_safe() -> None:
    good = pickle.dumps({"a": Calls(os.system, COMMAND), "b": [1.5, "x", datetime.date(2026, 1, 1)]})
    rng = random.Random(0)
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= 1 << rng.randrange(8)
        machine = Machine(io.BytesIO(data), len(data))
        with contextlib.suppress(PickleError):
            follow(machine)
        problems = check(bytes(data))
        if Global("posix", "system") in machine.globals:
            assert any(problem.severity == "unsafe" for problem in problems)


@pytest.mark.parametrize("protocol", [3, 4, 5])  # before, find_class hears the names of Python 2
def test_the_names_are_those_that_the_real_unpickler_asks_for(protocol: int) -> None:
    class Recorder(pickle.Unpickler):
        names: ClassVar[list[Global]] = []

        def find_class(self, module: str, name: str) -> Any:
            self.names.append(Global(module, name))
            return super().find_class(module, name)

    value = [datetime.datetime(2026, 1, 1), {1}, 1j, decimal.Decimal(1), collections.OrderedDict(a=range(3)), {2}]
    data = pickle.dumps(value, protocol)
    Recorder(io.BytesIO(data)).load()
    machine = Machine(io.BytesIO(data), len(data))
    follow(machine)
    assert set(machine.globals) == set(Recorder.names)


def test_a_file_is_checked_and_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "buffer.pkl").write_bytes(pickle.dumps({"a": bytes(100)}))
    (tmp_path / "link.pkl").symlink_to("buffer.pkl")
    assert check_pickle_file(tmp_path / "buffer.pkl", file="buffer.pkl") == []
    assert [p.code for p in check_pickle_file(tmp_path / "link.pkl", file="link.pkl")] == ["pickle-damaged"]
    assert [p.code for p in check_pickle_file(tmp_path / "gone.pkl", file="gone.pkl")] == ["pickle-damaged"]


def test_the_allowlist_holds_no_name_that_calls_imports_or_opens_what_it_is_given() -> None:
    forbidden = {"eval", "exec", "getattr", "setattr", "partial", "reduce", "load", "loads", "open", "type", "compile"}
    assert not {name for _, name in ALLOWED} & forbidden
    assert not any("." in name for _, name in ALLOWED)


def test_an_extension_code_of_this_process_changes_nothing() -> None:
    copyreg.add_extension("collections", "OrderedDict", 0x70)
    try:
        assert severities(b"\x82\x70)R.") == {"unsafe"}
    finally:
        copyreg.remove_extension("collections", "OrderedDict", 0x70)
