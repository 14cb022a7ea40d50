"""How the names in pickles are graded: what leaves its module, what another Python has, honest classes."""

import io
import os
import pkgutil
import sys
from pathlib import Path

import pytest
import torch

from ckptkit.formats.kinds import look_into_bytes
from ckptkit.formats.pickle_grading import grade
from ckptkit.formats.pickle_machine import Global
from ckptkit.formats.pickles import check_pickle, gathered
from ckptkit.formats.stdlib_modules import STDLIB, STDLIB_PACKAGES

_TOOL = Path(__file__).parents[2] / "tools" / "list_stdlib.py"


def graded(words: str) -> str:
    module, _, name = words.partition(":")
    return grade(Global(module, name))


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def test_the_running_python_has_no_module_that_the_list_lacks() -> None:
    assert sys.stdlib_module_names <= STDLIB


def test_the_running_python_has_no_package_that_the_list_lacks() -> None:
    folder = str(Path(os.__file__).parent)
    packages = {found.name for found in pkgutil.iter_modules([folder]) if found.ispkg}
    assert packages & sys.stdlib_module_names <= STDLIB_PACKAGES


@pytest.mark.parametrize("words", ["code.models:Net", "parser.tree:Node", "platform.agents.ppo:Policy"])
def test_a_folder_with_the_name_of_a_standard_module_is_somebodys_own(words: str) -> None:
    assert graded(words) == "unrecognised"
    module, _, name = words.partition(":")
    assert graded(f"{module.partition('.')[0]}:{name}") == "dangerous"


def test_the_list_of_modules_is_what_its_program_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stdlibs", reason="only a new environment has it")
    monkeypatch.syspath_prepend(_TOOL.parent)
    import list_stdlib

    assert list_stdlib.TARGET.read_text(encoding="utf-8") == list_stdlib.written()


@pytest.mark.parametrize(
    "module", ["_pyrepl.pager", "compression.zstd", "profiling.sampling", "distutils.spawn", "imp"]
)
def test_a_module_of_another_python_is_dangerous_on_this_one(module: str) -> None:
    assert graded(f"{module}:pipe_pager") == "dangerous"


LEAVING = """
numpy:testing.runstring numpy:f2py.crackfortran.getlincoef numpy:_core.numeric.sys.modules numpy:lib.npyio.load
numpy:__builtins__.eval torch:hub.load torch:jit.load torch:serialization.load
torch:utils.cpp_extension.load_inline torch:hub torch:nn.modules.module.functools.partial
stable_baselines3.common.vec_env.base_vec_env:inspect.os.system gymnasium:envs.registration.load_env_creator
my.nets:helpers.make my.nets:Outer.__init__.__globals__ my.nets:Outer.__class__ my.nets:Outer.sub.Inner
PIL:Image.os.system
"""


@pytest.mark.parametrize("words", LEAVING.split())
def test_a_dotted_name_that_climbs_out_of_its_module_is_dangerous(words: str) -> None:
    assert graded(words) == "dangerous"


@pytest.mark.parametrize("words", ["my.nets:Outer.Inner", "my.nets:_Outer._Inner", "my.nets:Colour.red", "my:A.B.C"])
def test_a_class_or_a_member_inside_a_class_is_only_unrecognised(words: str) -> None:
    assert graded(words) == "unrecognised"


REEXPORTED = """
some.module:system some.module:Popen some.module:check_output some.module:loads some.module:import_module
some.module:run some.module:eval some.module:unsafe_load some.module:AutoModel.from_pretrained
stable_baselines3.ppo.ppo:PPO.load stable_baselines3.common.vec_env.vec_normalize:VecNormalize.load
torch._utils:_import_dotted_name torch.nn.modules.module:load_state torch:UntypedStorage.from_file
transformers.modeling_utils:load_state_dict transformers:pipeline accelerate:notebook_launcher
re:compile pathlib:os
"""


@pytest.mark.parametrize("words", REEXPORTED.split())
def test_a_function_that_tells_what_it_does_is_dangerous_in_every_module(words: str) -> None:
    assert graded(words) == "dangerous"


# Found by looking through the sources of these libraries for functions that evaluate, import, load or start something.
GADGETS = """
torch._functorch.compilers:get_inputs torch._utils:_augment_memory_snapshot_stack_traces torch:__getattr__
torch._higher_order_ops.triton_kernel_wrap:triton_kernel_wrapper_mutation_dense torch.storage:_share_filename_cpu_
torch._higher_order_ops.invoke_leaf_function:_resolve_mutated_flat_indices torch.xpu.memory:XPUPluggableAllocator
torch._strobelight.compile_time_profiler:get_fburl torch:UntypedStorage._new_shared_filename_cpu
accelerate.utils.operations:_neuron_gather_object accelerate.utils.torch_xla:install_xla
accelerate.utils.environment:get_gpu_info lightning.fabric.plugins.precision.utils:_ClassReplacementContextManager
lightning_fabric.plugins.precision.utils:_ClassReplacementContextManager
lightning.pytorch.utilities.deepspeed:convert_zero_checkpoint_to_fp32_state_dict
pytorch_lightning.utilities.upgrade_checkpoint:_upgrade transformers.utils.import_utils:_is_package_available
transformers.exporters.metadata:register_treespec_types numpy._core:_ufunc_reconstruct numpy:savetxt numpy:fromregex
scipy._lib._bunch:_make_tuple_bunch scipy.signal._support_alternative_backends:delegate_xp
sklearn.utils.discovery:all_estimators stable_baselines3.common.logger:HumanOutputFormat
stable_baselines3.common.monitor:ResultsWriter stable_baselines3.common.vec_env.subproc_vec_env:_worker
pandas.core.frame:DataFrame.query networkx:read_gpickle traitlets.utils.importstring:import_item
dask.utils:import_required tornado.util:exec_in pydantic.types:ImportString._import mako.template:Template
numexpr.necompiler:evaluate asteval:Interpreter jsonpickle.unpickler:loadclass attr._make:_compile_and_eval
statsmodels.iolib.smpickle:load_pickle numpy:__builtins__ uuid:getnode httplib:HTTPSConnection urllib2:urlopen
test.support.os_helper:rmtree test.libregrtest.main:main
"""


@pytest.mark.parametrize("words", GADGETS.split())
def test_what_evaluates_imports_loads_or_starts_something_is_dangerous(words: str) -> None:
    assert graded(words) == "dangerous"


HONEST = """
torchvision.models.resnet:ResNet torchvision.datasets.folder:default_loader fairseq.data.dictionary:Dictionary
omegaconf.dictconfig:DictConfig pandas.core.frame:DataFrame pandas._libs.internals:_unpickle_block
pandas._libs.arrays:__pyx_unpickle_NDArrayBacked numpy.random:__RandomState_ctor sklearn.tree._tree:Tree
sklearn.preprocessing._data:StandardScaler scipy.sparse._csr:csr_matrix torch.nn.modules.conv:Conv2d
torch.nn.functional:relu torch._utils:_rebuild_something_new torch.cuda.amp.grad_scaler:GradScaler
torch.distributed._shard.sharded_tensor.api:ShardedTensor deepspeed.runtime.fp16.loss_scaler:LossScaler
megatron.core.enums:ModelType pytorch_lightning.callbacks.model_checkpoint:ModelCheckpoint
pytorch_lightning.utilities.argparse_utils:_gpus_arg_default transformers.models.bert.modeling_bert:BertModel
trl.trainer.sft_config:SFTConfig peft.utils.peft_types:PeftType ultralytics.nn.tasks:DetectionModel
my_project.data:load_image my_project.train:eval_fn jax._src.array:_reconstruct_array
torch.utils.data.dataset:IterableDataset datasets.cifar:Own datasets.arrow_dataset:Dataset
gymnasium.wrappers.common:TimeLimit functools:partial
"""


@pytest.mark.parametrize("words", HONEST.split())
def test_what_honest_files_of_other_libraries_name_is_no_alarm(words: str) -> None:
    assert graded(words) == "unrecognised"


WRAPPERS = """
stable_baselines3.common.vec_env.base_vec_env:CloudpickleWrapper gymnasium.vector.utils.misc:CloudpickleWrapper
my.copy.of.it:CloudpickleWrapper stable_baselines3.common.vec_env.base_vec_env:cloudpickle.loads
joblib.externals.loky.cloudpickle_wrapper:CloudpickledObjectWrapper ray.cloudpickle:loads
"""


@pytest.mark.parametrize("words", WRAPPERS.split())
def test_what_unpickles_functions_by_value_is_code(words: str) -> None:
    assert graded(words) == "code"


def test_a_wrapper_whose_state_is_a_pickle_is_unsafe() -> None:
    wrapper = named("stable_baselines3.common.vec_env.base_vec_env", "CloudpickleWrapper")
    data = b"\x80\x04" + wrapper + b")\x81C\x04Nope" + b"b."
    assert [(p.code, p.severity) for p in check_pickle(data, file="x")] == [("pickle-contains-code", "unsafe")]


def test_the_unrecognised_names_of_a_pickle_are_one_problem_that_counts_them() -> None:
    names = [f"Net{number}" for number in range(30)]
    data = b"\x80\x04" + b"".join(named("my.nets", name) + b"0" for name in names) + b"N."
    (problem,) = check_pickle(data, file="x", where="data:policy")
    assert (
        problem.message == "data:policy: would import 30 names that are not on the allowlist: my.nets.Net0 and 29 more"
    )
    assert problem.names == tuple(f"data:policy: my.nets.{name}" for name in names)


def test_the_unrecognised_names_of_all_pickles_in_a_file_are_one_problem() -> None:
    pickles = [b"\x80\x04" + named("my.nets", name) + b"." for name in ("A", "B")]
    problems = [p for i, data in enumerate(pickles) for p in check_pickle(data, file="x.zip", where=f"data:{i}")]
    problems += check_pickle(pickles[0], file="y.zip")
    first, second = gathered(problems)
    assert first.message == "would import 2 names that are not on the allowlist: data:0: my.nets.A and 1 more"
    assert first.names == ("data:0: my.nets.A", "data:1: my.nets.B")
    assert second.message == "would import my.nets.A, which is not on the allowlist"


def loading(data: bytes) -> bytes:
    """Return a pickle that hands bytes to torch, as plain ``pickle`` of a tensor does."""
    return (
        b"\x80\x04"
        + named("torch.storage", "_load_from_bytes")
        + b"B"
        + len(data).to_bytes(4, "little")
        + data
        + b"\x85R."
    )


HEAD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}q\x00."
CALL = b"cos\nsystem\nX\x02\x00\x00\x00id\x85R."


@pytest.mark.parametrize(
    "data",
    [
        HEAD + CALL + b"].",
        HEAD + b"N." + CALL,
        CALL,
        HEAD + b"N.",
        b"PK\x03\x04",
        b"",
        HEAD + loading(HEAD + CALL + b"]."),
    ],
    ids=["object", "keys", "no magic", "cut", "zip", "nothing", "bytes in bytes"],
)
def test_bytes_that_torch_would_unpickle_are_followed_or_unsafe(data: bytes) -> None:
    assert "unsafe" in {problem.severity for problem in check_pickle(loading(data), file="x")}


def test_the_names_in_bytes_that_torch_would_unpickle_are_told() -> None:
    problems = check_pickle(loading(HEAD + CALL + b"]."), file="x")
    assert [problem.message for problem in problems] == ["would call os.system when loaded"]


@pytest.mark.parametrize(
    "tail",
    [
        b"0" + named("torch.storage", "_load_from_bytes") + b"(tR.",
        b"0" + named("torch.storage", "_load_from_bytes") + b".",
    ],
    ids=["another call", "a mention"],
)
def test_following_bytes_once_allows_no_other_use_of_the_function(tail: bytes) -> None:
    good = loading(HEAD + b"N." + b"].")
    assert check_pickle(good, file="x") == []
    assert [p.code for p in check_pickle(good[:-1] + tail, file="x")] == ["pickle-dangerous"]


@pytest.mark.parametrize("code", [b"s", b"e"])
def test_items_are_put_into_containers_only(code: bytes) -> None:
    put = text("a") + b"N" + b"s." if code == b"s" else b"(N" + b"e."
    array = named("numpy.ma.core", "MaskedArray") + b"N\x85R"
    problems = check_pickle(b"\x80\x04" + array + put, file="x")
    assert [(p.code, p.message) for p in problems] == [
        ("pickle-dangerous", "would put items into what numpy.ma.core.MaskedArray made")
    ]
    assert check_pickle(b"\x80\x04" + named("collections", "deque") + b")R" + put, file="x") == []


def test_an_object_that_passes_for_an_array_is_unsafe() -> None:
    data = b"\x80\x04" + named("types", "SimpleNamespace") + b")\x81}" + text("__array_interface__") + b"Nsb."
    assert [p.code for p in check_pickle(data, file="x")] == ["pickle-dangerous"]


STATES = {"bytes": b"C\x18" + bytes(24), "a number": b"K\x01", "two": b"K\x01K\x02\x86", "a dict": b"}"}


@pytest.mark.parametrize("name", STATES)
def test_a_generator_of_torch_is_given_no_state_but_its_own(name: str) -> None:
    buffer = io.BytesIO()
    torch.save(torch.Generator(), buffer)
    assert look_into_bytes(buffer.getvalue(), file="x", kind="torch") == []
    data = b"\x80\x04" + named("torch._C", "Generator") + b")R" + STATES[name] + b"b."
    assert [p.code for p in check_pickle(data, file="x")] == ["pickle-dangerous"]


def test_a_generator_of_torch_that_is_handed_on_is_dangerous() -> None:
    data = b"\x80\x04" + named("collections", "defaultdict") + named("torch._C", "Generator") + b"\x85R."
    assert [p.code for p in check_pickle(data, file="x")] == ["pickle-dangerous"]
