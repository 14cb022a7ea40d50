"""The state of a training run: policy, optimizer, schedule, processors, place in the data; and one step of it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from ckptkit_torchdata import ResumableLoader
from config import Config
from dataset import Frames, make_loader, statistics
from policy import DiffusionPolicy, Processors, processor_configs


class Training:
    """All the state there is, and one step of it."""

    def __init__(self, config: Config, frames: Frames) -> None:
        self.config, self.frames = config, frames
        self.seed(config.seed)
        self.policy = DiffusionPolicy(config.policy, frames.states.shape[1], frames.actions.shape[1])
        self.optimizer = self.new_optimizer()
        self.schedule = self._schedule(0)
        self.before, self.behind = processor_configs(statistics(frames.states), statistics(frames.actions))
        self.data = ResumableLoader(
            lambda: make_loader(frames, config.policy.horizon, config.data.batch_size),
            skip="sampler",
            random_items=False,
            version=frames.digest,
        )
        self.use_processors()

    @staticmethod
    def seed(*numbers: int) -> None:
        """Seed the generators of the process."""
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        np.random.seed(numbers)

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimizer that has made no step."""
        options = self.config.optimizer
        return torch.optim.AdamW(
            self.policy.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )

    def _schedule(self, step: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule as it is after so many steps of the optimizer."""
        options = self.config.optimizer

        def factor(done: int) -> float:
            return min(1.0, (done + 1) / options.warmup) * options.decay ** max(0, done - options.warmup)

        for group in self.optimizer.param_groups:
            group["initial_lr"] = options.learning_rate
        return torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor, last_epoch=step - 1)

    def use_processors(self, configs: Mapping[str, Any] | None = None) -> None:
        """Build the processors from their configurations; to be called whenever those have changed.

        Args:
            configs: new ones, ``preprocessor`` or ``postprocessor`` or both.

        Raises:
            DamagedError: one is not what it should be, or is for other numbers of values.
        """
        before = (configs or {}).get("preprocessor", self.before)
        behind = (configs or {}).get("postprocessor", self.behind)
        values = (self.frames.states.shape[1], self.frames.actions.shape[1])
        self.processors = Processors(before, behind, *values)
        self.before, self.behind = before, behind

    def items(self) -> dict[str, Any]:
        """Return what one checkpoint holds."""
        policy = Policy(
            self.policy,
            self.optimizer,
            self.schedule,
            preprocessor=self.before,
            postprocessor=self.behind,
            gradients=False,
        )
        return {"policy": policy, "data": self.data, "rng": GlobalRng()}

    def go_on_from_older(self, optimizer: torch.optim.Optimizer, configs: Mapping[str, Any], step: int) -> None:
        """Go on with what a checkpoint of an older trainer held; what it did not hold starts over."""
        self.optimizer = optimizer
        self.schedule = self._schedule(step)
        self.use_processors(configs)
        self.seed(self.config.seed, step)  # the first seed would repeat the order of the first epochs

    def use_options(self) -> None:
        """Go on with the configuration's learning rate, schedule and weight decay instead of those put back."""
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.config.optimizer.weight_decay
        self.schedule = self._schedule(self.schedule.last_epoch)

    def batches(self) -> Iterator[Mapping[str, torch.Tensor]]:
        """Yield batches, epoch after epoch."""
        while True:
            yield from self.data

    def step(self, batch: Mapping[str, torch.Tensor]) -> float:
        """Do one step of training and return the loss."""
        state = self.processors.state(batch["state"])
        state = state + self.config.data.state_noise * torch.randn_like(state)
        loss = self.policy.loss(state, self.processors.actions(batch["actions"]), batch["inside"])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        return loss.item()

    def digest(self) -> str:
        """Return a digest of everything: weights, optimizer, schedule, processors, place in the data, generators."""
        hasher = hashlib.sha256()
        for name, tensor in self.policy.state_dict().items():
            hasher.update(name.encode() + tensor.numpy().tobytes())
        for state in self.optimizer.state.values():
            for value in state.values():
                hasher.update(torch.as_tensor(value).numpy().tobytes())
        counts = [self.schedule.last_epoch, self.schedule.get_last_lr(), self.data.epoch, self.data.batches]
        hasher.update(json.dumps([counts, self.before, self.behind], sort_keys=True).encode())
        for _, batch in zip(range(3), self.batches(), strict=False):
            hasher.update(batch["state"].numpy().tobytes() + batch["actions"].numpy().tobytes())
        hasher.update(torch.rand(8).numpy().tobytes() + np.random.rand(8).tobytes())
        return hasher.hexdigest()

    def mean_return(self) -> float | None:
        """Return the mean return of the policy in the environment that was recorded, or None where there is none."""
        if self.config.eval_episodes == 0 or self.frames.robot not in gymnasium.registry:
            return None
        env = gymnasium.make(self.frames.robot)
        self.policy.eval()
        total = 0.0
        for episode in range(self.config.eval_episodes):
            observation, _ = env.reset(seed=1_000_000 + episode)
            done, planned = False, list[Any]()
            while not done:
                if not planned:
                    state = self.processors.state(torch.as_tensor(observation, dtype=torch.float32)[None])
                    actions = self.processors.back(self.policy.act(state))[0]
                    planned = list(actions[: self.config.policy.execute].numpy())
                observation, reward, terminated, truncated, _ = env.step(planned.pop(0))
                total += float(reward)
                done = terminated or truncated
        env.close()
        self.policy.train()
        return total / self.config.eval_episodes
