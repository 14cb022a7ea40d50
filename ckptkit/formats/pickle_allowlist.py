"""The names that an honest checkpoint pickle imports, one by one: nothing is allowed by prefix or by pattern.

Derived from files that torch, NumPy, Gymnasium, Stable-Baselines3, sb3-contrib, transformers, accelerate and Lightning
write (``tests/unit/test_formats_benign.py`` and ``test_honest_trainers.py`` write them again), plus the same names
under the module paths of NumPy 1 and of older versions. A name is here only if importing it and calling it with
whatever the pickle likes builds plain data: it runs no code from the file, opens nothing, and imports nothing by a name
it is given. It may still use memory; the list says nothing about that.

The argument is one of a closed world. Some of these call what they are given (``_rebuild_from_type_v2``, a policy its
``optimizer_class``, ``defaultdict`` its factory, ``copy`` the methods of an object): all that a pickle can give them is
plain data, what these names build, and these names themselves. What matters is that none of them, nor a special method
or state setter of theirs (``__setstate__``, properties that can be set), turns text or bytes into code, a file, or an
import: a test reads the sources of all of them for that.

Kept out on purpose although honest files hold them: ``functools.partial`` (what it makes can be called with more
arguments later), ``builtins.getattr`` (reaches what is not on the list), ``builtins.type`` (makes classes), and
``torch.storage._load_from_bytes`` (unpickles again).
"""

from collections.abc import Mapping

_NUMPY_SCALARS = """bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc longlong ulonglong
    float16 float32 float64 longdouble complex64 complex128 clongdouble str_ bytes_ void datetime64 timedelta64"""
_ARRAY = "_reconstruct scalar"
_SB3_POLICIES = "CnnPolicy MultiInputPolicy"
_PATHS = "PosixPath PurePosixPath PureWindowsPath WindowsPath"  # a path is only text, until somebody opens it

_NAMES = {
    "builtins": """bool bytearray bytes complex dict Ellipsis float frozenset int list NotImplemented object range set
        slice str tuple""",
    "_codecs": "encode",
    "argparse": "Namespace",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "types": "SimpleNamespace",
    "typing": "Any",
    "uuid": "SafeUUID UUID",
    "numpy": f"dtype ndarray {_NUMPY_SCALARS}",
    "numpy._core.multiarray": _ARRAY,
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.multiarray": _ARRAY,
    "numpy.core.numeric": "_frombuffer",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "gymnasium.spaces.box": "Box",
    "gymnasium.spaces.dict": "Dict",
    "gymnasium.spaces.discrete": "Discrete",
    "gymnasium.spaces.graph": "Graph GraphInstance",
    "gymnasium.spaces.multi_binary": "MultiBinary",
    "gymnasium.spaces.multi_discrete": "MultiDiscrete",
    "gymnasium.spaces.oneof": "OneOf",
    "gymnasium.spaces.sequence": "Sequence",
    "gymnasium.spaces.text": "Text",
    "gymnasium.spaces.tuple": "Tuple",
    "accelerate.data_loader": "SeedableRandomSampler",
    "accelerate.utils.dataclasses": "DistributedType",
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning.pytorch.utilities.parsing": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "sb3_contrib.ars.policies": "ARSLinearPolicy ARSPolicy",
    "sb3_contrib.common.maskable.buffers": "MaskableDictRolloutBuffer MaskableRolloutBuffer",
    "sb3_contrib.common.maskable.policies": """MaskableActorCriticCnnPolicy MaskableActorCriticPolicy
        MaskableMultiInputActorCriticPolicy""",
    "sb3_contrib.common.recurrent.policies": """RecurrentActorCriticCnnPolicy RecurrentActorCriticPolicy
        RecurrentMultiInputActorCriticPolicy""",
    "sb3_contrib.crossq.policies": "CrossQPolicy",
    "sb3_contrib.qrdqn.policies": f"QRDQNPolicy {_SB3_POLICIES}",
    "sb3_contrib.tqc.policies": f"TQCPolicy {_SB3_POLICIES}",
    "stable_baselines3.common.buffers": """DictReplayBuffer DictRolloutBuffer NStepReplayBuffer ReplayBuffer
        RolloutBuffer""",
    "stable_baselines3.common.noise": "NormalActionNoise OrnsteinUhlenbeckActionNoise VectorizedActionNoise",
    "stable_baselines3.common.policies": "ActorCriticCnnPolicy ActorCriticPolicy MultiInputActorCriticPolicy",
    "stable_baselines3.common.running_mean_std": "RunningMeanStd",
    "stable_baselines3.common.sb2_compat.rmsprop_tf_like": "RMSpropTFLike",
    "stable_baselines3.common.torch_layers": "CombinedExtractor FlattenExtractor MlpExtractor NatureCNN",
    "stable_baselines3.common.type_aliases": "TrainFreq TrainFrequencyUnit",
    "stable_baselines3.common.utils": "ConstantSchedule FloatSchedule LinearSchedule",
    "stable_baselines3.common.vec_env.vec_normalize": "VecNormalize",
    "stable_baselines3.dqn.policies": f"DQNPolicy {_SB3_POLICIES}",
    "stable_baselines3.her.goal_selection_strategy": "GoalSelectionStrategy",
    "stable_baselines3.her.her_replay_buffer": "HerReplayBuffer",
    "stable_baselines3.sac.policies": f"SACPolicy {_SB3_POLICIES}",
    "stable_baselines3.td3.policies": f"TD3Policy {_SB3_POLICIES}",
    "torch": """BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage
        DoubleStorage FloatStorage HalfStorage IntStorage LongStorage QInt32Storage QInt8Storage QUInt2x4Storage
        QUInt4x2Storage QUInt8Storage ShortStorage UntypedStorage Size Tensor device bfloat16 bool complex32 complex64
        complex128 float16 float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz int8 int16 int32
        int64 uint8 uint16 uint32 uint64 per_channel_affine per_tensor_affine""",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch._utils": """_rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage _rebuild_nested_tensor
        _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_csr_tensor
        _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_wrapper_subclass""",
    "torch.distributed._shard.sharded_tensor.metadata": "MEM_FORMAT_ENCODING TensorProperties",
    "torch.distributed.checkpoint.filesystem": "_StorageInfo",
    "torch.distributed.checkpoint.metadata": """BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex
        StorageMeta TensorProperties TensorStorageMetadata _MEM_FORMAT_ENCODING""",
    "torch.distributed.tensor": "DTensor",
    "torch.distributed.tensor._dtensor_spec": "ShardOrderEntry TensorMeta",
    "torch.distributed.tensor.placement_types": "Partial Replicate Shard",
    "torch.nn.parameter": "Buffer Parameter",
    "torch.serialization": "_get_layout",
    "torch.storage": "TypedStorage UntypedStorage",
    "torch.nn.modules.activation": """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid
        LogSoftmax Mish PReLU ReLU ReLU6 RReLU SELU Sigmoid SiLU Softmax Softmin Softplus Softshrink Softsign Tanh
        Tanhshrink Threshold""",
    "torch.nn.modules.linear": "Identity Linear",
    "torch.nn.modules.normalization": "GroupNorm LayerNorm RMSNorm",
    "torch.optim": "Adafactor Muon",
    "torch.optim.adadelta": "Adadelta",
    "torch.optim.adagrad": "Adagrad",
    "torch.optim.adam": "Adam",
    "torch.optim.adamax": "Adamax",
    "torch.optim.adamw": "AdamW",
    "torch.optim.asgd": "ASGD",
    "torch.optim.lbfgs": "LBFGS",
    "torch.optim.nadam": "NAdam",
    "torch.optim.radam": "RAdam",
    "torch.optim.rmsprop": "RMSprop",
    "torch.optim.rprop": "Rprop",
    "torch.optim.sgd": "SGD",
    "torch.optim.sparse_adam": "SparseAdam",
    "torch.utils.data.dataset": "ConcatDataset Subset TensorDataset",
    "torch.utils.data.sampler": """BatchSampler RandomSampler SequentialSampler SubsetRandomSampler
        WeightedRandomSampler""",
    "transformers.debug_utils": "DebugOption",
    "transformers.trainer_utils": """EvaluationStrategy FSDPOption HubStrategy IntervalStrategy SaveStrategy
        SchedulerType""",
    "transformers.training_args": "OptimizerNames ParallelMode",
}

# Their constructors set up process groups, change the environment, or read the files they are told of; a pickle of an
# object does not call them, it makes the bare object and fills its ``__dict__``.
_MADE_ONLY = {
    "accelerate.state": "PartialState",
    "torch.distributed._mesh_layout": "_FlatLayout _MeshLayout",
    "torch.distributed.device_mesh": "DeviceMesh",
    "torch.distributed.tensor._dtensor_spec": "DTensorSpec",
    "transformers.generation.configuration_utils": "GenerationConfig",
    "transformers.trainer_pt_utils": "AcceleratorConfig",
    "transformers.training_args": "TrainingArguments",
    "transformers.training_args_seq2seq": "Seq2SeqTrainingArguments",
}


# Its state setter reads three items of whatever it is given, in C and without a look: only a tuple of three is safe.
_CALLED_ONLY = {"torch._C": "Generator"}


def _pairs(table: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((module, name) for module, names in table.items() for name in names.split())


# Containers: pickles put items into them after they were made.
_FILLED = {
    "builtins": "bytearray dict list set",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning.pytorch.utilities.parsing": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
}

ALLOWED = _pairs(_NAMES)
"""Pairs of module and name, exactly as a pickle spells them."""

FILLED = _pairs(_FILLED)
"""Pairs into whose results a pickle may put items."""

CALLED_ONLY = _pairs(_CALLED_ONLY)
"""Pairs that are allowed only where a pickle calls them and gives what they made a state of three items."""

MADE_ONLY = _pairs(_MADE_ONLY)
"""Pairs that are allowed only where a pickle makes objects of them without calling their constructor."""
