"""How a name in a pickle is graded: allowed, unrecognised, code or dangerous.

Safety rests on the allowlist alone: whatever is not on it must not be loaded without trust. The other three grades only
say how loud to be. "Dangerous" is wide on purpose: every name of the standard library that is not known to be plain
data, because that is where one scanner bypass after the other came from, the parts of frameworks that load, fetch,
compile or start things, and every name that leaves its module for another one.
"""

import re
from collections.abc import Sequence
from typing import Literal

from ckptkit.formats.pickle_allowlist import ALLOWED, CALLED_ONLY, FILLED, MADE_ONLY
from ckptkit.formats.pickle_machine import Global
from ckptkit.formats.stdlib_modules import STDLIB, STDLIB_PACKAGES

Grading = Literal["allowed", "unrecognised", "code", "dangerous"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whoever sets the state of a wrapper of cloudpickle's has its bytes unpickled.
_CODE_BUILDERS = _words("cloudpickle cloudpickle_fast cloudpickle_wrapper dill _dill CloudpickleWrapper")
_CODE_TYPES = _words("CellType CodeType FunctionType LambdaType MethodType")

# Python 2, and modules that newer versions of Python dropped but older ones still import.
_FORMER_STDLIB = _words(
    """__builtin__ __builtins__ anydbm asynchat asyncore BaseHTTPServer bsddb cgi CGIHTTPServer cgitb commands copy_reg
    cPickle crypt cStringIO dbhash distutils DocXMLRPCServer dumbdbm dummy_thread httplib ihooks imp imputil lib2to3
    msilib nis nntplib ossaudiodev pipes popen2 Queue rexec SimpleHTTPServer SimpleXMLRPCServer smtpd sndhdr
    SocketServer spwd StringIO telnetlib urllib2 uu whichdb xdrlib xmlrpclib"""
)
_STDLIB = STDLIB | _FORMER_STDLIB

# Standard modules whose other public names are plain data types: not allowed, but nothing to raise an alarm about.
_PLAIN_STDLIB = _words(
    """_collections array collections datetime decimal enum fractions ipaddress numbers pathlib random re time
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
    """_pytest accelerate.commands accelerate.launchers accelerate.test_utils accelerate.utils.environment
    accelerate.utils.launch accelerate.utils.megatron_lm accelerate.utils.modeling accelerate.utils.operations
    accelerate.utils.other accelerate.utils.torch_xla aiohttp asteval attr._make boto3 cffi Cython cython
    datasets.builder datasets.download datasets.inspect datasets.load decorator django.core.management execnet
    fabric fsspec gymnasium.envs gymnasium.vector h5py httpx huggingface_hub hydra IPython jax jinja2 joblib
    jsonpickle keras lightning.app lightning.fabric.cli lightning.fabric.plugins
    lightning.fabric.strategies.launchers lightning.fabric.utilities.consolidate_checkpoint
    lightning.fabric.utilities.distributed lightning.fabric.utilities.load lightning.pytorch.cli
    lightning.pytorch.plugins lightning.pytorch.strategies.launchers
    lightning.pytorch.utilities.consolidate_checkpoint lightning.pytorch.utilities.deepspeed
    lightning.pytorch.utilities.migration lightning.pytorch.utilities.upgrade_checkpoint llvmlite mako matplotlib
    mlflow nose numba numexpr numpy.ctypeslib numpy.distutils numpy.f2py numpy.lib numpy.testing paramiko pexpect
    pip pkg_resources plumbum psutil pyspark pytest pyximport ray requests ruamel s3fs scipy._lib scipy.datasets
    setuptools sh simpleeval sklearn.datasets sklearn.externals sklearn.utils.discovery
    sklearn.utils.estimator_checks smart_open stable_baselines3.common.logger stable_baselines3.common.monitor
    stable_baselines3.common.save_util stable_baselines3.common.vec_env.subproc_vec_env sympy tensorflow
    test.autotest test.libregrtest test.pythoninfo test.regrtest test.script_helper test.support torch._C
    torch._custom_op torch._custom_ops torch._dynamo torch._export torch._functorch torch._higher_order_ops
    torch._inductor torch._jit_internal torch._lazy torch._library torch._logging torch._native torch._ops
    torch._strobelight torch._weights_only_unpickler torch.accelerator torch.backends torch.classes torch.compiler
    torch.contrib torch.cuda torch.distributed torch.export torch.fx torch.hub torch.jit torch.library torch.monitor
    torch.mtia torch.multiprocessing torch.nativert torch.onnx torch.ops torch.package torch.profiler
    torch.serialization torch.testing torch.utils torch.xpu torchvision.io tornado traitlets.utils transformers.cli
    transformers.commands transformers.dynamic_module_utils transformers.exporters
    transformers.generation.continuous_batching transformers.pipelines transformers.testing_utils
    transformers.utils.chat_template_utils transformers.utils.hub transformers.utils.import_utils triton twisted
    uvicorn yaml"""
)
# Below them: modules that hold what other versions of torch write into honest files.
_DATA_MODULES = _words(
    """jax._src.array torch.cuda.amp torch.distributed._mesh_layout torch.distributed._shard torch.distributed._tensor
    torch.distributed.checkpoint torch.distributed.device_mesh torch.distributed.fsdp
    torch.distributed.remote_device torch.distributed.tensor torch.utils.data.dataloader torch.utils.data.dataset
    torch.utils.data.distributed torch.utils.data.sampler"""
)
# The same modules under the names of their own distributions.
_OTHER_HOMES = {"lightning_fabric": ("lightning", "fabric"), "pytorch_lightning": ("lightning", "pytorch")}
_DANGEROUS_NAMES = frozenset(
    [
        *(("gymnasium", name) for name in ("make", "make_vec", "register")),
        *(("numpy", name) for name in ("DataSource", "memmap")),
        *(("pandas", name) for name in ("read_csv", "read_hdf")),
        ("torch._utils", "_augment_memory_snapshot_stack_traces"),
        ("torch.storage", "_load_from_bytes"),
    ]
)

# Functions that every module may have from elsewhere (``from os import system``): what they do is in their names.
_TELLING_NAMES = _words(
    """__import__ _compile_and_eval _restore_pickle _ufunc_reconstruct attrgetter call call_command check_call
    check_output compile copyfile debug_script delattr delegate_xp eval eval_ eval_code evaluate exec exec_
    exec_code exec_command exec_in exec_module execfile execl execle execlp execlpe execute_command execv execve
    execvp execvpe execWrapper find_class fork forkpty from_file from_json_file from_pickle from_pretrained get_attr
    get_class get_object getattr getlincoef getoutput getstatusoutput hub_load import_attr import_class
    import_from_string import_item import_module import_object import_required import_string importlib input
    instantiate itemgetter load load_dataset load_extension load_from_disk load_inline load_library load_module
    load_source load_state_dict_from_url loads locate locate_object main methodcaller open open_code
    pickle_unflatten Popen popen posix_spawn posix_spawnp read_object read_pickle resolve_name rmtree run
    run_autograd_prof run_code run_command run_cprofile run_in_terminal run_module run_path run_script runcode
    runctx runpy runsource runstring safe_eval setattr spawn spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp
    spawnvpe startfile system unpickle unsafe_load urlopen urlretrieve"""
)

# They make plain objects from plain values, whatever their names say.
_MISLEADING_NAMES = frozenset(
    [
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle"),
        ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"),
    ]
)

# Of the libraries whose files are followed here every function with such a word in its name counts as dangerous.
_FRAMEWORKS = _words(
    """accelerate gymnasium lightning lightning_utilities numpy pandas sb3_contrib
    scipy sklearn stable_baselines3 torch torchaudio torchdata torchmetrics torchvision transformers"""
)
_TELLING_WORDS = _words(
    """call checkpoint cmd command compile deserialize download dynamo eval exec execute fd fetch file filename files
    fromfile fromregex genfromtxt http hub import install invoke jit launch launcher load loadtxt module open pickle
    pipeline popen process profile read run save savetxt savez script serve server shell socket spawn subprocess
    system thread tofile uninstall unpickle upgrade url write"""
)
_STRONG_WORDS = _words("exec gpickle import pickle popen shell subprocess unpickle")  # in every module
_WORD = re.compile(r"[a-z]+")


def loudest_first(names: Sequence[Global]) -> list[Global]:
    """Return names with those of the standard library first: an honest file of some library needs none of them."""
    return sorted(names, key=lambda name: name.module.partition(".")[0] not in _STDLIB)


def grade(name: Global, *, made_only: bool = False, called_only: bool = False) -> Grading:
    """Return how dangerous it is that a pickle names this.

    Args:
        name: the module and the (dotted) name in it.
        made_only: whether all that the pickle does with it is to make objects, without calling their constructor.
        called_only: whether all that the pickle does with it is to call it, and to give states of three items.
    """
    pair = (name.module, name.name)
    if pair in ALLOWED or (made_only and pair in MADE_ONLY) or (called_only and pair in CALLED_ONLY):
        return "allowed"
    first, *rest = [*name.module.split("."), *name.name.split(".")]
    path = [*_OTHER_HOMES.get(first, (first,)), *rest]
    if not _CODE_BUILDERS.isdisjoint(path) or (name.module == "types" and name.name in _CODE_TYPES):
        return "code"
    if _is_standard(path[0], name.module):
        return "unrecognised" if pair in _PLAIN_STDLIB_NAMES or _is_plain(path[0], name.name) else "dangerous"
    below = {".".join(path[:count]) for count in range(1, len(path) + 1)}
    dangerous = not _DANGEROUS_MODULES.isdisjoint(below) and _DATA_MODULES.isdisjoint(below)
    if dangerous or pair in _DANGEROUS_NAMES or _leaves_its_module(name.name):
        return "dangerous"
    if pair not in _MISLEADING_NAMES and (_tells(path) or _is_a_method(path[0], name.name)):
        return "dangerous"
    return "unrecognised"


def _is_standard(root: str, module: str) -> bool:
    """Return whether a module is the standard library's: ``code`` is, ``code.models`` is somebody's folder."""
    return root in _FORMER_STDLIB or (root in STDLIB and ("." not in module or root in STDLIB_PACKAGES))


def _is_plain(root: str, name: str) -> bool:
    """Return whether a name of a standard module is a data type's, as far as that can be told."""
    if root not in _PLAIN_STDLIB or not name.isidentifier() or name.startswith("_"):
        return False
    return name not in _TELLING_NAMES and (name == root or name not in _STDLIB)  # pathlib.os is a module


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
    inside = any(part.startswith("__") for part in owners) or (last.startswith("__") and last.endswith("__"))
    return inside or not all(_like_a_class(owner) for owner in owners)


def _tells(path: list[str]) -> bool:
    """Return whether what is named says itself that it loads, opens or runs things."""
    last = path[-1]
    if last in _TELLING_NAMES:
        return True
    if _like_a_class(last) or last.startswith("__pyx_unpickle_"):  # so Cython names what makes an object of a class
        return False
    words = frozenset(_WORD.findall(last))
    return not _STRONG_WORDS.isdisjoint(words) or (path[0] in _FRAMEWORKS and not _TELLING_WORDS.isdisjoint(words))


def _is_a_method(root: str, name: str) -> bool:
    """Return whether it is a method of a class of a framework: a pickle has no use for one."""
    return root in _FRAMEWORKS and "." in name and not _like_a_class(name.rpartition(".")[2])


def _like_a_class(part: str) -> bool:
    return part.lstrip("_")[:1].isupper()
