"""How a name in a pickle is graded: allowed, unrecognised, code or dangerous.

Safety rests on the allowlist alone: whatever is not on it must not be loaded without trust. The other three grades only
say how loud to be. "Dangerous" is wide on purpose: every name of the standard library that is not known to be plain
data, because that is where one scanner bypass after the other came from, the parts of frameworks that load, fetch,
compile or start things, and every name that leaves its module for another one.
"""

import re
from typing import Literal

from ckptkit.formats.pickle_allowlist import ALLOWED, FILLED, MADE_ONLY
from ckptkit.formats.pickle_machine import Global
from ckptkit.formats.stdlib_modules import STDLIB

Grading = Literal["allowed", "unrecognised", "code", "dangerous"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whoever sets the state of a wrapper of cloudpickle's has its bytes unpickled.
_CODE_BUILDERS = _words("cloudpickle cloudpickle_fast cloudpickle_wrapper dill _dill CloudpickleWrapper")
_CODE_TYPES = _words("CellType CodeType FunctionType LambdaType MethodType")

# Python 2, and modules that newer versions of Python dropped but older ones still import.
_FORMER_STDLIB = _words(
    """__builtin__ __builtins__ asynchat asyncore cgi cgitb commands copy_reg crypt distutils imp lib2to3 msilib nis
    nntplib ossaudiodev pipes popen2 smtpd sndhdr spwd telnetlib uu xdrlib"""
)
_STDLIB = STDLIB | _FORMER_STDLIB

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
    ]
)

# Modules (with all below them) and names outside the standard library that load, fetch, compile or start things.
_DANGEROUS_MODULES = _words(
    """IPython _pytest accelerate.commands accelerate.launchers accelerate.test_utils accelerate.utils.launch aiohttp
    boto3 cffi datasets execnet fabric fsspec gymnasium.envs gymnasium.vector h5py httpx huggingface_hub hydra jax
    jinja2 joblib keras lightning.app lightning.fabric.cli lightning.fabric.strategies.launchers lightning.pytorch.cli
    lightning.pytorch.strategies.launchers llvmlite matplotlib mlflow nose numba numpy.ctypeslib numpy.distutils
    numpy.f2py numpy.lib numpy.testing paramiko pexpect pip pkg_resources plumbum psutil pytest pytorch_lightning.cli
    pytorch_lightning.strategies.launchers ray requests s3fs setuptools sh smart_open
    stable_baselines3.common.save_util sympy tensorflow test.support torch._C torch._dynamo torch._export
    torch._inductor torch._jit_internal torch._ops torch.classes torch.compiler torch.cuda torch.distributed
    torch.export torch.fx torch.hub torch.jit torch.library torch.multiprocessing torch.onnx torch.ops torch.package
    torch.profiler torch.serialization torch.testing torch.utils transformers.commands
    transformers.dynamic_module_utils transformers.pipelines transformers.testing_utils transformers.utils.hub
    triton twisted uvicorn yaml"""
)
_DANGEROUS_NAMES = frozenset(
    [
        *(("gymnasium", name) for name in ("make", "make_vec", "register")),
        *(("numpy", name) for name in ("DataSource", "genfromtxt", "loadtxt", "memmap")),
        *(("pandas", name) for name in ("read_csv", "read_hdf")),
        ("torch.storage", "_load_from_bytes"),
    ]
)

# Functions that every module may have from elsewhere (``from os import system``): what they do is in their names.
_TELLING_NAMES = _words(
    """__import__ attrgetter call check_call check_output compile copyfile delattr
    eval eval_code exec exec_code exec_command exec_module execfile execl execle execlp execlpe execv execve execvp
    execvpe find_class fork forkpty from_pretrained get_class getattr getlincoef getoutput getstatusoutput
    hub_load import_module import_string input itemgetter load load_extension load_inline load_library load_module
    load_source loads locate main methodcaller open open_code popen Popen posix_spawn posix_spawnp read_pickle rmtree
    run run_code run_command run_module run_path run_script runcode runctx runpy runsource runstring safe_eval setattr
    spawn spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe startfile system unpickle unsafe_load
    urlopen urlretrieve"""
)

# Of the libraries whose files are followed here every function with such a word in its name counts as dangerous.
_FRAMEWORKS = _words(
    """accelerate gymnasium lightning lightning_fabric lightning_utilities numpy pandas pytorch_lightning sb3_contrib
    scipy sklearn stable_baselines3 torch torchaudio torchdata torchmetrics torchvision transformers"""
)
_TELLING_WORDS = _words(
    """call cmd command compile deserialize download eval exec execute fetch file files fromfile hub import invoke
    launch launcher load module open pipeline popen process read run save script serve server shell socket spawn
    subprocess system thread tofile unpickle url write"""
)
_WORD = re.compile(r"[a-z]+")


def grade(name: Global, *, made_only: bool = False) -> Grading:
    """Return how dangerous it is that a pickle names this.

    Args:
        name: the module and the (dotted) name in it.
        made_only: whether all that the pickle does with it is to make objects, without calling their constructor.
    """
    pair = (name.module, name.name)
    if pair in ALLOWED or (made_only and pair in MADE_ONLY):
        return "allowed"
    path = [*name.module.split("."), *name.name.split(".")]
    if not _CODE_BUILDERS.isdisjoint(path) or (name.module == "types" and name.name in _CODE_TYPES):
        return "code"
    if path[0] in _STDLIB:
        public = name.name.isidentifier() and not name.name.startswith("_")
        public = public and path[-1] not in _TELLING_NAMES and (path[-1] not in _STDLIB or path[-1] == path[0])
        plain = (path[0] in _PLAIN_STDLIB and public) or pair in _PLAIN_STDLIB_NAMES
        return "unrecognised" if plain else "dangerous"
    below = (".".join(path[:count]) for count in range(1, len(path) + 1))
    if pair in _DANGEROUS_NAMES or not _DANGEROUS_MODULES.isdisjoint(below):
        return "dangerous"
    return "dangerous" if _leaves_its_module(name.name) or _tells(path) else "unrecognised"


def may_be_filled(name: Global) -> bool:
    """Return whether a pickle may put items into what the name made, as it does into a dict or a list.

    Of what is not on the allowlist nothing is known. What is on it and no container is written into otherwise: an
    array that takes items takes them anywhere in the memory that it says is its own.
    """
    pair = (name.module, name.name)
    return pair in FILLED or pair not in ALLOWED


def _leaves_its_module(name: str) -> bool:
    """Return whether a dotted name goes on to another module or to the inside of Python (``__builtins__.eval``).

    Nothing is imported to find out: what is named as classes are (``Outer.Inner``) stays in its module, and a name in
    lower case before a dot is a module's.
    """
    *owners, last = name.split(".")
    inside = any(part.startswith("__") for part in (*owners, last)) and bool(owners)
    return inside or not all(_like_a_class(owner) for owner in owners)


def _tells(path: list[str]) -> bool:
    """Return whether what is named says itself that it loads, opens or runs things."""
    last = path[-1]
    if last in _TELLING_NAMES:
        return True
    function = not _like_a_class(last)
    return path[0] in _FRAMEWORKS and function and not _TELLING_WORDS.isdisjoint(_WORD.findall(last))


def _like_a_class(part: str) -> bool:
    return part.lstrip("_")[:1].isupper()
