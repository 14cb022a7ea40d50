"""What training changes of an SB3 agent besides what ``learn`` itself does, after the hook has noted how it began."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Change = Callable[[Any], object]
Story = tuple[Callable[[], Any], Change]


def begun(build: Callable[[], Any]) -> Any:
    """Return an agent of which the callback has noted how its training began."""
    from ckptkit_sb3.cycle import begin

    agent = build()
    begin(agent, {})
    return agent


def stories(build: Callable[[], Any], changes: Mapping[str, Change]) -> dict[str, Story]:
    return {name: (functools.partial(begun, build), change) for name, change in changes.items()}


def given(**values: Any) -> Change:
    return lambda agent: [setattr(agent, name, value) for name, value in values.items()]


def of_policy(name: str, value: Any) -> Change:
    return lambda agent: setattr(agent.policy, name, value)


def of_env(name: str, value: Any) -> Change:
    return lambda agent: setattr(agent.env.envs[0].unwrapped, name, value)


def of_normalize(name: str, value: Any) -> Change:
    return lambda agent: setattr(agent.env, name, value)


def learning_rate(agent: Any) -> None:
    agent.learning_rate = 1e-4
    agent._setup_lr_schedule()


def linear_learning_rate(agent: Any) -> None:
    from stable_baselines3.common.utils import LinearSchedule

    agent.learning_rate = LinearSchedule(1e-3, 1e-5, 1.0)
    agent._setup_lr_schedule()


def own_learning_rate(agent: Any) -> None:
    agent.learning_rate = lambda left: 1e-4 * left
    agent._setup_lr_schedule()


def optimizer(kind: str, **options: Any) -> Change:
    def put(agent: Any) -> None:
        import torch

        agent.policy.optimizer = getattr(torch.optim, kind)(agent.policy.parameters(), lr=1e-3, **options)

    return put


def a_layer(agent: Any) -> None:
    import torch

    agent.policy.extra = torch.nn.Linear(2, 2)


def a_buffer(agent: Any) -> None:
    import torch

    agent.policy.register_buffer("counter", torch.ones(3))


def an_activation(agent: Any) -> None:
    import torch

    agent.policy.mlp_extractor.policy_net[1] = torch.nn.ReLU()


def frozen(agent: Any) -> None:
    for parameter in agent.policy.value_net.parameters():
        parameter.requires_grad_(False)


def other_env(agent: Any) -> None:
    import gymnasium

    agent.set_env(gymnasium.make("CartPole-v1", max_episode_steps=20))


def train_freq(count: int, unit: str) -> Change:
    def put(agent: Any) -> None:
        from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

        agent.train_freq = TrainFreq(count, TrainFrequencyUnit(unit))

    return put


def filled(agent: Any) -> None:
    row = np.ones((1, 4), np.float32)
    for _ in range(150):
        agent.replay_buffer.add(row * 0, row, np.array([[1]]), np.array([1.0]), np.array([False]), [{}])


def replay_buffer(rows: int, **options: Any) -> Change:
    def put(agent: Any) -> None:
        from stable_baselines3.common.buffers import ReplayBuffer

        agent.replay_buffer = ReplayBuffer(rows, agent.observation_space, agent.action_space, **options)

    return put


def action_noise(kind: str, sigma: float) -> Change:
    def put(agent: Any) -> None:
        from stable_baselines3.common import noise

        agent.action_noise = getattr(noise, kind)(np.zeros(1), sigma * np.ones(1))

    return put


ON_POLICY: Mapping[str, Change] = {
    "gamma": given(gamma=0.5),
    "ent_coef, vf_coef and gae_lambda": given(ent_coef=0.1, vf_coef=0.9, gae_lambda=0.5),
    "batch_size and n_epochs": given(batch_size=16, n_epochs=3),
    "a learning rate": learning_rate,
    "a linear learning rate": linear_learning_rate,
    "a learning rate of one's own": own_learning_rate,
    "a clip range of one's own": given(clip_range=lambda left: 0.1 * left),
    "Adam with other betas": optimizer("Adam", betas=(0.5, 0.9)),
    "another optimizer": optimizer("SGD", momentum=0.9),
    "a number in the policy": of_policy("mine", 3),
    "a generator in the policy": of_policy("rng", np.random.default_rng(3)),
    "an object in the policy": of_policy("mine", object()),
    "a layer more": a_layer,
    "a buffer more": a_buffer,
    "another activation": an_activation,
    "frozen parameters": frozen,
    "an attribute of the agent": given(mine=[1, 2]),
    "another environment": other_env,
    "a number in the environment": of_env("force_mag", 20.0),
    "a generator in the environment": of_env("other", np.random.default_rng(5)),
}

OFF_POLICY: Mapping[str, Change] = {
    "gamma and tau": given(gamma=0.5, tau=0.5),
    "train_freq": train_freq(2, "step"),
    "train_freq in episodes": train_freq(1, "episode"),
    "batch_size and gradient_steps": given(batch_size=4, gradient_steps=2),
    "learning_starts": given(learning_starts=40),
    "target_update_interval": given(target_update_interval=4),
    "an exploration of one's own": given(exploration_schedule=lambda left: 0.3),
    "a replay buffer that was filled": filled,
    "a replay buffer that was emptied": lambda agent: agent.replay_buffer.reset(),
    "another replay buffer": replay_buffer(200),
    "a larger replay buffer": replay_buffer(300),
    "a smaller replay buffer": replay_buffer(100),
    "a replay buffer of another layout": replay_buffer(
        200, optimize_memory_usage=True, handle_timeout_termination=False
    ),
    "noise where none was": action_noise("NormalActionNoise", 1.0),
}

NORMALIZED: Mapping[str, Change] = {
    "noise of another kind": action_noise("NormalActionNoise", 0.1),
    "noise of another size": action_noise("OrnsteinUhlenbeckActionNoise", 0.9),
    "no noise": given(action_noise=None),
    "policy_delay and target noise": given(policy_delay=1, target_policy_noise=0.5),
    "normalizing stopped": of_normalize("training", False),
    "observations left as they are": of_normalize("norm_obs", False),
    "another gamma of VecNormalize": of_normalize("gamma", 0.5),
}
