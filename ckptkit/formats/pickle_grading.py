"""How a name in a pickle is graded: allowed, unrecognised, code or dangerous.

Safety rests on the allowlist alone: whatever is not on it must not be loaded without trust. The other three grades only
say how loud to be. "Dangerous" is wide on purpose: every name of the standard library that is not known to be plain
data, because that is where one scanner bypass after the other came from, and the parts of frameworks that load, fetch,
compile or start things.
"""

import sys
from typing import Literal

from ckptkit.formats.pickle_allowlist import ALLOWED
from ckptkit.formats.pickle_machine import Global

Grading = Literal["allowed", "unrecognised", "code", "dangerous"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CODE_BUILDERS = frozenset(("cloudpickle", "cloudpickle_fast", "dill", "_dill"))
_CODE_TYPES = frozenset(("CellType", "CodeType", "FunctionType", "LambdaType", "MethodType"))

# Python 2, and modules that newer versions of Python dropped but older ones still import.
_FORMER_STDLIB = _words(
    """__builtin__ __builtins__ asynchat asyncore cgi cgitb commands copy_reg crypt distutils imp lib2to3 msilib nis
    nntplib ossaudiodev pipes popen2 smtpd sndhdr spwd telnetlib uu xdrlib"""
)
_STDLIB = sys.stdlib_module_names | _FORMER_STDLIB

# Standard modules whose other public names are plain data types: not allowed, but nothing to raise an alarm about.
_PLAIN_STDLIB = _words(
    """_collections array collections datetime decimal enum fractions ipaddress numbers pathlib random re time uuid
    zoneinfo"""
)
_PLAIN_STDLIB_NAMES = frozenset(
    [
        ("array", "_array_reconstructor"),
        ("builtins", "type"),
        ("functools", "partial"),  # what it is partial of is graded by itself
        ("itertools", "chain"),
        ("itertools", "count"),
        ("itertools", "cycle"),
        ("itertools", "repeat"),
        ("logging", "getLogger"),
        ("re", "_compile"),
        ("types", "MappingProxyType"),
        ("types", "SimpleNamespace"),
    ]
)

# Modules (with all below them) and names outside the standard library that load, fetch, compile or start things.
_DANGEROUS_MODULES = _words(
    """IPython _pytest aiohttp boto3 cffi execnet fabric fsspec gymnasium.envs gymnasium.vector h5py httpx jax jinja2
    joblib keras llvmlite matplotlib mlflow nose numba numpy.ctypeslib numpy.distutils numpy.f2py numpy.lib
    numpy.testing paramiko pexpect pip pkg_resources plumbum psutil pytest ray requests s3fs setuptools sh
    smart_open stable_baselines3.common.save_util sympy tensorflow test.support torch._C torch._dynamo torch._export
    torch._inductor torch._jit_internal torch._ops torch.classes torch.compiler torch.cuda torch.distributed
    torch.export torch.fx torch.hub torch.jit torch.library torch.multiprocessing torch.onnx torch.ops torch.package
    torch.profiler torch.serialization torch.testing torch.utils twisted uvicorn yaml"""
)
_DANGEROUS_NAMES = frozenset(
    [
        *(("gymnasium", name) for name in ("make", "make_vec", "register")),
        *(("numpy", name) for name in ("DataSource", "fromfile", "genfromtxt", "load", "loadtxt", "memmap", "save")),
        *(("pandas", name) for name in ("eval", "read_pickle", "read_csv", "read_hdf")),
        *(("torch", name) for name in ("compile", "load", "save")),
        ("torch.storage", "_load_from_bytes"),
    ]
)


def grade(name: Global) -> Grading:
    """Return how dangerous it is that a pickle names this."""
    pair = (name.module, name.name)
    path = name.module.split(".")
    if pair in ALLOWED:
        return "allowed"
    if _CODE_BUILDERS.intersection(path) or (name.module == "types" and name.name in _CODE_TYPES):
        return "code"
    if path[0] in _STDLIB:
        public = name.name.isidentifier() and not name.name.startswith("_")
        plain = (path[0] in _PLAIN_STDLIB and public) or pair in _PLAIN_STDLIB_NAMES
        return "unrecognised" if plain else "dangerous"
    below = (".".join(path[:count]) for count in range(1, len(path) + 1))
    if pair in _DANGEROUS_NAMES or not _DANGEROUS_MODULES.isdisjoint(below) or _leaves_its_module(name.name):
        return "dangerous"
    return "unrecognised"


def _leaves_its_module(name: str) -> bool:
    """Return whether a dotted name goes on to another module or to the inside of Python (``__builtins__.eval``)."""
    return "." in name and any(part.startswith("_") or part in _STDLIB for part in name.split("."))
