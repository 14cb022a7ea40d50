"""A small chain-of-thought policy in torch: from the state the thought in bytes and a chunk of actions."""

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from openpi_cot.dataloader.cot_data_loader import Batch
from openpi_cot.dataloader.cot_rlds_dataset import ACTION_DIM, STATE_DIM
from openpi_cot.training.config import TrainConfig

_BYTES = 128  # thoughts are ASCII


class CoTPolicy(nn.Module):
    """Thinks first, then acts: the action head sees what the thought head said.

    Args:
        config: of the run; the chunk has ``action_horizon`` actions, the thought ``max_token_len`` bytes.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        width, self.horizon, self.tokens = config.model.width, config.data.action_horizon, config.data.max_token_len
        drop = nn.Dropout(config.model.dropout)
        self.trunk = nn.Sequential(nn.Linear(STATE_DIM, width), nn.GELU(), drop, nn.Linear(width, width), nn.GELU())
        self.thought = nn.Linear(width, self.tokens * _BYTES)
        self.heard = nn.Linear(self.tokens * _BYTES, width)
        self.act = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, self.horizon * ACTION_DIM))

    def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return actions (batch, horizon, 7) and logits of the thought (batch, tokens, 128) for (batch, 1, 7)."""
        seen = self.trunk(state[:, 0])
        thought = self.thought(seen).view(-1, self.tokens, _BYTES)
        heard = torch.tanh(self.heard(thought.softmax(-1).flatten(1)))
        actions = self.act(torch.cat([seen, heard], 1)).view(-1, self.horizon, ACTION_DIM)
        return actions, thought


@dataclass
class TrainState:
    """All that training changes, the data loader aside."""

    model: CoTPolicy
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    reasoning_weight: float
    step: int = 0

    @classmethod
    def create(cls, config: TrainConfig) -> "TrainState":
        """Return a new state, its weights drawn from the config's seed."""
        torch.manual_seed(config.seed)
        model = CoTPolicy(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.optimizer.learning_rate)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=config.optimizer.warmup_steps)
        return cls(model, optimizer, scheduler, config.model.reasoning_weight)

    def train_step(self, batches: list[Batch]) -> float:
        """Do one step on the batches of all hosts and return the loss."""
        loss = torch.stack([self._loss(batch) for batch in batches]).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()  # after the step: gradients of a finished step would only swell the checkpoint
        self.scheduler.step()
        self.step += 1
        return loss.item()

    def digest(self) -> str:
        """Return a digest of weights, optimizer, schedule and the generator's next numbers."""
        hasher = hashlib.sha256(f"{self.step} {self.scheduler.get_last_lr()}".encode())
        tensors = [*self.model.state_dict().values()]
        tensors += [v for s in self.optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
        for tensor in [*tensors, torch.rand(8)]:
            hasher.update(tensor.detach().numpy().tobytes())
        return hasher.hexdigest()

    def _loss(self, batch: Batch) -> torch.Tensor:
        observation, actions = batch
        predicted, thought = self.model(torch.from_numpy(observation.state))
        words = torch.from_numpy(observation.tokenized_reasoning).long()
        said = nn.functional.cross_entropy(thought.flatten(0, 1), words.flatten())
        return nn.functional.mse_loss(predicted, torch.from_numpy(actions)) + self.reasoning_weight * said
