"""Honest files of torch, NumPy, Gymnasium and Stable-Baselines3, written here and now, give no finding at all.

The allowlist was derived from these. A new version of a framework that pickles something else fails here first.
"""

import collections
import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.formats.pickles import check_pickle, check_pickle_file
from ckptkit.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks warn of tiny rollouts, odd images and old APIs

PROTOCOLS = range(6)


def check_saved(value: Any) -> list[Problem]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return look_into_bytes(buffer.getvalue(), file="x.pth", kind="torch")


def check_agent(path: Path) -> list[Problem]:
    """Check an SB3 zip: every pickle in its JSON, every torch file in it."""
    return look_into_file(path, file=path.name)


class Env(gymnasium.Env[Any, Any]):
    """Any spaces, random everything."""

    metadata: ClassVar[dict[str, Any]] = {}

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.2), False, {}


VECTOR = spaces.Box(-1, 1, (3,))
IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
SEVERAL = spaces.Dict(a=VECTOR, b=spaces.Discrete(3), c=spaces.MultiBinary(4))
TURN = spaces.Box(-1, 1, (2,))
CHOICE = spaces.Discrete(3)
SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}}
OFF: dict[str, Any] = {**SMALL, "learning_starts": 10, "buffer_size": 100}
ON: dict[str, Any] = {**SMALL, "n_steps": 16}
NOISE = NormalActionNoise(np.zeros(2), 0.1 * np.ones(2))

AGENTS: dict[str, tuple[str, str, Callable[[], Any], dict[str, Any]]] = {
    "PPO": ("PPO", "MlpPolicy", lambda: Env(VECTOR, CHOICE), {**ON, "batch_size": 16}),
    "PPO with its own schedules and optimizer": (
        "PPO",
        "MlpPolicy",
        lambda: Env(VECTOR, TURN),
        {
            "n_steps": 16,
            "batch_size": 16,
            "learning_rate": LinearSchedule(1e-3, 1e-4, 0.5),
            "clip_range_vf": 0.2,
            "policy_kwargs": {"activation_fn": torch.nn.ReLU, "optimizer_class": torch.optim.SGD},
        },
    ),
    "PPO on images": (
        "PPO",
        "CnnPolicy",
        lambda: Env(IMAGE, spaces.MultiDiscrete([2, 3])),
        {"n_steps": 8, "batch_size": 8},
    ),
    "PPO on a dict": ("PPO", "MultiInputPolicy", lambda: Env(SEVERAL, spaces.MultiBinary(3)), {**ON, "batch_size": 16}),
    "A2C": ("A2C", "MlpPolicy", lambda: Env(VECTOR, TURN), {**ON, "use_sde": True}),
    "SAC": ("SAC", "MlpPolicy", lambda: Env(VECTOR, TURN), {**OFF, "use_sde": True, "n_steps": 3}),
    "SAC on a dict": ("SAC", "MultiInputPolicy", lambda: Env(SEVERAL, TURN), OFF),
    "SAC on images": ("SAC", "CnnPolicy", lambda: Env(IMAGE, TURN), {**OFF, "learning_starts": 40}),
    "TD3": (
        "TD3",
        "MlpPolicy",
        lambda: Env(VECTOR, TURN),
        {**OFF, "action_noise": NOISE, "train_freq": (1, "episode")},
    ),
    "TD3 on several": (
        "TD3",
        "MlpPolicy",
        lambda: DummyVecEnv([lambda: Env(VECTOR, TURN)] * 2),
        {**OFF, "action_noise": VectorizedActionNoise(OrnsteinUhlenbeckActionNoise(np.zeros(2), np.ones(2)), 2)},
    ),
    "TD3 on a dict": ("TD3", "MultiInputPolicy", lambda: Env(SEVERAL, TURN), OFF),
    "DDPG on images": ("DDPG", "CnnPolicy", lambda: Env(IMAGE, TURN), {**OFF, "learning_starts": 40}),
    "DQN": ("DQN", "MlpPolicy", lambda: Env(VECTOR, CHOICE), OFF),
    "DQN on images": ("DQN", "CnnPolicy", lambda: Env(IMAGE, CHOICE), {**OFF, "learning_starts": 40}),
    "DQN with hindsight": (
        "DQN",
        "MultiInputPolicy",
        lambda: BitFlippingEnv(n_bits=4),
        {**OFF, "replay_buffer_class": stable_baselines3.HerReplayBuffer},
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_and_its_replay_buffer_give_no_finding(name: str, tmp_path: Path) -> None:
    algorithm, policy, env, options = AGENTS[name]
    agent: BaseAlgorithm = getattr(stable_baselines3, algorithm)(policy, env(), seed=0, **copy.deepcopy(options))
    agent.learn(30)
    agent.save(tmp_path / "agent.zip")
    assert check_agent(tmp_path / "agent.zip") == []
    if hasattr(agent, "save_replay_buffer"):
        agent.save_replay_buffer(tmp_path / "replay.pkl")
        assert check_pickle_file(tmp_path / "replay.pkl", file="replay.pkl") == []


def test_a_lambda_schedule_in_an_agent_is_reported_as_code(tmp_path: Path) -> None:
    agent = stable_baselines3.PPO("MlpPolicy", Env(VECTOR, CHOICE), learning_rate=lambda left: 1e-3 * left, **SMALL)
    agent.save(tmp_path / "agent.zip")
    problems = check_agent(tmp_path / "agent.zip")
    assert {(p.code, p.severity) for p in problems} >= {("pickle-contains-code", "unsafe")}
    assert any(p.message.startswith("data/lr_schedule: contains code of its own") for p in problems)


@pytest.mark.parametrize("observation", [VECTOR, SEVERAL], ids=["vector", "dict"])
def test_vec_normalize_gives_no_finding(observation: spaces.Space[Any], tmp_path: Path) -> None:
    keys = ["a"] if isinstance(observation, spaces.Dict) else None
    normalize = VecNormalize(DummyVecEnv([lambda: Env(observation, TURN)]), norm_obs_keys=keys)
    normalize.reset()
    normalize.step(np.zeros((1, 2)))
    normalize.save(str(tmp_path / "vecnormalize.pkl"))
    assert check_pickle_file(tmp_path / "vecnormalize.pkl", file="vecnormalize.pkl") == []


OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_torch_gives_no_finding(name: str) -> None:
    sparse = name == "SparseAdam"
    model = torch.nn.Embedding(4, 2, sparse=True) if sparse else torch.nn.Linear(3, 2, bias=name != "Muon")
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = model(torch.tensor([1]) if sparse else torch.ones(4, 3)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert check_saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}) == []


SCHEDULERS: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda of, o: of.StepLR(o, 2),
    "MultiStepLR": lambda of, o: of.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda of, o: of.ConstantLR(o),
    "LinearLR": lambda of, o: of.LinearLR(o),
    "ExponentialLR": lambda of, o: of.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda of, o: of.PolynomialLR(o),
    "CosineAnnealingLR": lambda of, o: of.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda of, o: of.CosineAnnealingWarmRestarts(o, 5),
    "OneCycleLR": lambda of, o: of.OneCycleLR(o, 0.1, total_steps=10),
    "CyclicLR": lambda of, o: of.CyclicLR(o, 0.1, 0.2),
    "ReduceLROnPlateau": lambda of, o: of.ReduceLROnPlateau(o),
    "LambdaLR": lambda of, o: of.LambdaLR(o, lambda epoch: 0.9),
    "MultiplicativeLR": lambda of, o: of.MultiplicativeLR(o, lambda epoch: 0.9),
    "SequentialLR": lambda of, o: of.SequentialLR(o, [of.ConstantLR(o), of.ExponentialLR(o, 0.9)], [2]),
    "ChainedScheduler": lambda of, o: of.ChainedScheduler([of.ConstantLR(o), of.ExponentialLR(o, 0.9)]),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_of_torch_gives_no_finding(name: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    scheduler = SCHEDULERS[name](torch.optim.lr_scheduler, optimizer)
    optimizer.step()
    scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    assert check_saved(scheduler.state_dict()) == []


def test_scaler_averages_and_generators_of_torch_give_no_finding() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    state = {
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "averages": torch.optim.swa_utils.AveragedModel(model).state_dict(),
        "rng": torch.get_rng_state(),
        "generator": torch.Generator().get_state(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
    }
    assert check_saved(state) == []


DTYPES = """bfloat16 bool complex32 complex64 complex128 float16 float32 float64 float8_e4m3fn float8_e4m3fnuz
float8_e5m2 float8_e5m2fnuz int8 int16 int32 int64 uint8 uint16 uint32 uint64"""


@pytest.mark.parametrize("name", str.split(DTYPES))
def test_a_tensor_of_every_dtype_gives_no_finding(name: str) -> None:
    assert check_saved([torch.zeros(3, dtype=getattr(torch, name)), getattr(torch, name)]) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_generators_of_numpy_give_no_finding(protocol: int) -> None:
    kinds = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
    value = [
        np.ones(3),
        np.asfortranarray(np.ones((2, 3))),
        np.float32(1),
        np.bool_(True),
        np.arange(4).astype("M8[s]"),
        np.array([(1, 2.0)], "i4,f4"),
        np.array(["a"]),
        np.dtype("f4"),
        np.random.RandomState(0),
        np.random.SeedSequence(1),
        *(np.random.Generator(kind(1)) for kind in kinds),
    ]
    assert check_pickle(pickle.dumps(value, protocol), file="x") == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_python_values_give_no_finding(protocol: int) -> None:
    value = [
        collections.deque([1], 3),
        collections.defaultdict(list),
        collections.Counter("aa"),
        collections.OrderedDict(a=1),
        [{1}, frozenset({1}), 1j, bytearray(b"a"), b"ab", range(3), slice(1, 2), 2**70, ..., NotImplemented, int, str],
    ]
    assert check_pickle(pickle.dumps(value, protocol), file="x") == []


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_space_of_gymnasium_gives_no_finding(protocol: int) -> None:
    every = spaces.Tuple(
        (
            VECTOR,
            spaces.Dict(a=CHOICE),
            spaces.MultiBinary([2, 3]),
            spaces.MultiDiscrete([2, 3]),
            spaces.Text(5),
            spaces.Sequence(CHOICE),
            spaces.Graph(VECTOR, CHOICE),
            spaces.OneOf([CHOICE, VECTOR]),
        )
    )
    every.seed(0)
    every.sample()
    assert check_pickle(pickle.dumps(every, protocol), file="x") == []
