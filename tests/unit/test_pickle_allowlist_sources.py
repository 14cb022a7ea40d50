"""The sources of every name on the allowlist are read: none turns text into code, opens a file, imports or unpickles.

What is read is what a pickle can reach: functions; constructors, special methods and state setters of classes, and
what these call in turn in their own class and module. A new version of a library that changes this fails here.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from ckptkit.formats.pickle_allowlist import ALLOWED, CALLED_ONLY, MADE_ONLY

pytestmark = pytest.mark.filterwarnings("ignore")  # old APIs warn when they are looked at

SINKS = set(
    str.split("""CDLL Popen Unpickler __import__ check_call check_output compile eval exec from_file from_json_file
    from_pretrained fromfile import_module load load_module loads locate open popen read_bytes read_text run run_module
    system unlink unpickle urlopen write_bytes write_text rmtree kill terminate connect sendall""")
)
REVIEWED = {
    "_asdict_inner": "the names are those of a dataclass's fields",
    "fields": "the name is a constant of dataclasses",
    "VecEnvWrapper.getattr_recursive": "the name is that of the attribute that was asked for",
    "_register_func_spec_proxy_in_tracer": "the name is a counter",
    "Tensor.__deepcopy__": "the names are the slots of the class",
}
OLDER = {  # names that the installed versions no longer have
    ("torch._utils", "_rebuild_sparse_csr_tensor"),
    ("transformers.trainer_utils", "EvaluationStrategy"),
    *((module, name) for module, name in ALLOWED if module.startswith(("numpy.core.", "pathlib._local"))),
    *((module, name) for module, name in ALLOWED if module.startswith(("pytorch_lightning.", "lightning_fabric."))),
}
CONSTRUCTORS = ("__call__", "__init__", "__new__", "__post_init__")
DEEP = 4


def there() -> Iterator[tuple[Any, bool]]:
    """Yield each object on the allowlist that is installed, and whether its constructor is out of reach."""
    for module, name in sorted(ALLOWED | CALLED_ONLY | MADE_ONLY):
        try:
            yield getattr(importlib.import_module(module), name), (module, name) in MADE_ONLY
        except (ImportError, AttributeError):
            assert (module, name) in OLDER, f"{module}.{name} is not there"


def entries(found: Any, made_only: bool) -> Iterator[Any]:
    """Yield the functions of it that a pickle can reach."""
    if not isinstance(found, type):
        yield found
        return
    for kind in found.__mro__:
        if kind.__module__ in ("builtins", "enum", "typing", "abc"):
            continue
        for name, value in vars(kind).items():
            special = name.startswith("__") and name.endswith("__") and not (made_only and name in CONSTRUCTORS)
            if isinstance(value, property) and value.fset:
                yield value.fset
            elif special:
                yield getattr(value, "__func__", value)


def sinks(function: Any, owner: Any, seen: set[Any], depth: int = 0) -> Iterator[str]:
    """Yield where the function, or what it calls in its own class and module, reaches for more than data."""
    function = inspect.unwrap(function) if callable(function) else function
    if not inspect.isfunction(function) or function in seen or depth == DEEP:
        return
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return  # made by a decorator, such as the constructor of a dataclass
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        by_text = name == "getattr" and not isinstance(call.args[1], ast.Constant)
        if name in SINKS or by_text:
            yield function.__qualname__
        yield from sinks(_called(call.func, name, function, owner), owner, seen, depth + 1)


def _called(called: ast.expr, name: str, function: Any, owner: Any) -> Any:
    if isinstance(called, ast.Name):
        return function.__globals__.get(name)
    own = (
        isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id in ("self", "cls")
    )
    return inspect.getattr_static(owner, name, None) if own and isinstance(owner, type) else None


def test_nothing_on_the_allowlist_reaches_for_more_than_data() -> None:
    seen: set[Any] = set()
    found = {place for one, made in there() for function in entries(one, made) for place in sinks(function, one, seen)}
    assert len(seen) > 500, "hardly anything was read"
    assert found - set(REVIEWED) == set()
    assert set(REVIEWED) - found == set(), "these are there no longer"


def test_what_may_only_be_made_is_made_without_code_of_its_own() -> None:
    for found, made_only in there():
        if made_only:
            assert found.__new__ is object.__new__, found


def test_the_scan_finds_a_sink_two_calls_away() -> None:
    class Trap:
        def __setstate__(self, state: bytes) -> None:
            self._put(state)

        def _put(self, state: bytes) -> None:
            import pickle

            self.__dict__ = pickle.loads(state)

    assert [place for function in entries(Trap, True) for place in sinks(function, Trap, set())] == [
        f"{Trap.__qualname__}._put"
    ]
