"""Trainer: the network with its optimizer, one step of training, and what of it goes into a checkpoint."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy

from gmm_v2.config import ExperimentConfig, differences_that_matter
from gmm_v2.data.loaders import GMMDataLoader, StateMismatchError
from gmm_v2.experiment.checkpoints import ref_of, store_of
from gmm_v2.training.network import MixtureNetwork, negative_log_likelihood


class Trainer:
    """Trains the network to predict mixtures.

    Args:
        config: of the experiment. Its seed seeds torch's global generator, which weights and dropout draw from.

    Attributes:
        step: batches trained on.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        training = config.training_config
        torch.manual_seed(training.seed)
        self.model = MixtureNetwork(config.data_config, training.hidden, training.dropout, training.em_steps)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=training.learning_rate)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, training.decay)
        self.step = 0

    def train_step(self, data: Any, targets: Mapping[str, Any]) -> float:
        """Train on one batch and return the loss; the targets are not shown to the network."""
        points = torch.from_numpy(data)
        self.model.train()
        loss = negative_log_likelihood(points, self.model(points))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    def excess(self, loader: GMMDataLoader) -> float:
        """Return how much worse the network explains one epoch of data than the true mixtures do, in nats per point."""
        self.model.eval()
        found = []
        with torch.no_grad():
            for data, targets in loader:
                points = torch.from_numpy(data)
                truth = {name: torch.from_numpy(targets[name]) for name in ("means", "weights", "scales")}
                predicted = self.model(points)
                found.append(negative_log_likelihood(points, predicted) - negative_log_likelihood(points, truth))
        return float(torch.stack(found).mean())

    def items(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the trainer."""
        return {"policy": Policy(self.model, self.optimizer, self.schedule), "rng": GlobalRng()}

    def digest(self) -> str:
        """Return a digest of weights and optimizer."""
        hasher = hashlib.sha256(str(self.step).encode())
        for name, tensor in self.model.state_dict().items():
            hasher.update(name.encode() + tensor.numpy().tobytes())
        for state in self.optimizer.state_dict()["state"].values():
            for value in state.values():
                hasher.update(torch.as_tensor(value).numpy().tobytes())
        return hasher.hexdigest()

    def _load_checkpoint(self, checkpoint: Path) -> None:
        """Go on from a checkpoint's folder.

        Raises:
            StateMismatchError: it belongs to another configuration; the message names each field.
            CkptkitError: it does not verify, or does not fit.
        """
        store, ref = store_of(checkpoint.parent), ref_of(checkpoint)
        found = differences_that_matter(store.choose(ref).manifest.config, self.config)
        if found:
            raise StateMismatchError(f"{ref}: a checkpoint of another config: {'; '.join(found)}")
        restored = store.restore(ref, into=self.items())
        assert restored is not None  # only with missing_ok
        self.step = restored.step
