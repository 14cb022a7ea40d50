"""The names that an honest checkpoint pickle imports, one by one: nothing is allowed by prefix or by pattern.

Derived from files that torch, NumPy, Gymnasium and Stable-Baselines3 write (``tests/unit/test_formats_benign.py``
writes them again), plus the same names under the module paths of NumPy 1. A name is here only if importing it and
calling it with whatever the pickle likes builds plain data: it runs no code from the file, opens nothing, and imports
nothing by a name it is given. It may still use memory; the list says nothing about that.

Kept out on purpose although honest files hold them: ``functools.partial`` and ``torch._tensor._rebuild_from_type_v2``
(they call what they are given), ``builtins.getattr``, ``builtins.type`` (makes classes), and
``torch.storage._load_from_bytes`` (unpickles again).
"""

_NUMPY_SCALARS = """bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc longlong ulonglong
    float16 float32 float64 longdouble complex64 complex128 clongdouble str_ bytes_ void datetime64 timedelta64"""
_ARRAY = "_reconstruct scalar"
_SB3_POLICIES = "CnnPolicy MultiInputPolicy"

_NAMES = {
    "builtins": """bool bytearray bytes complex dict Ellipsis float frozenset int list NotImplemented object range set
        slice str tuple""",
    "_codecs": "encode",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
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
    "torch._utils": """_rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage _rebuild_nested_tensor
        _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_csr_tensor
        _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3""",
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
}

ALLOWED: frozenset[tuple[str, str]] = frozenset(
    (module, name) for module, names in _NAMES.items() for name in names.split()
)
"""Pairs of module and name, exactly as a pickle spells them."""

MADE_ONLY: frozenset[tuple[str, str]] = frozenset()
"""Pairs that are allowed only where a pickle makes objects of them without calling their constructor."""
