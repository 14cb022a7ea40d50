"""Trainer, Lightning and Keras set-ups that were graded `exact` and did not resume so, through their hooks."""

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.resume_matrix.setup import RUN, Setup, Train, digest
from ckptkit import Schedule

STEPS, EVERY = 24, 5


class _Rows(torch.utils.data.Dataset):
    def __init__(self, draws: bool = False) -> None:
        self.draws = draws

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        ids = torch.randint(0, 64, (8,), generator=torch.Generator().manual_seed(index))
        if self.draws and index % 7 == 3:
            ids = torch.randint(0, 64, (8,))
        return {"input_ids": ids, "labels": torch.tensor(index % 2)}


def _trainer(draws: bool = False, **more: Any) -> Train:
    def train(setup: Setup) -> str:
        from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

        torch.manual_seed(1)
        config = BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=2,
        )
        saving = {"save_steps": EVERY} if setup.store else {"save_strategy": "no"}
        folder = f"{setup.store}-trainer" if setup.store else tempfile.mkdtemp()
        arguments = TrainingArguments(
            folder, max_steps=STEPS, per_device_train_batch_size=8, report_to=[], use_cpu=True,
            disable_tqdm=True, logging_strategy="no", **saving, **more,
        )  # fmt: skip

        class Fate(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
                setup.at_step(state.global_step)

        trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=_Rows(draws))
        if setup.store:
            from ckptkit_hooks.hf import CheckpointCallback

            hook = CheckpointCallback(setup.store, RUN, resume=setup.resume)
            trainer.add_callback(hook)
            trainer.add_callback(Fate())
            trainer.train(resume_from_checkpoint=hook.latest())
        else:
            trainer.train()
        return digest(trainer.model.parameters())

    return train


def _lightning(change: str) -> Train:
    def train(setup: Setup) -> str:
        import lightning
        from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging

        lightning.seed_everything(1, verbose=False)

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.layer, self.drop, self.calls = torch.nn.Linear(4, 4), torch.nn.Dropout(0.3), 0

            def training_step(self, batch: Any, index: int) -> Any:
                if change == "counter":
                    self.calls += 1
                if change == "dropout":
                    self.drop.p *= 0.97
                return (self.drop(self.layer(batch)) ** 2).sum() / (1 + 0.05 * self.calls)

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), 0.01)

        class Fate(Callback):
            def on_train_batch_end(self, trainer: Any, *others: Any) -> None:
                setup.at_step(trainer.global_step)

        callbacks: list[Any] = [Fate()]
        if change == "swa":
            callbacks.append(StochasticWeightAveraging(0.01, swa_epoch_start=1))
        path = None
        if setup.store:
            from ckptkit_hooks.lightning_ import CheckpointCallback

            hook = CheckpointCallback(setup.store, RUN, schedule=Schedule(every_steps=EVERY), resume=setup.resume)
            callbacks.append(hook)
            path = hook.latest()
        trainer = lightning.Trainer(
            max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=bool(path)
            or bool(setup.store), enable_model_summary=False, callbacks=callbacks, default_root_dir=tempfile.mkdtemp(),
        )  # fmt: skip
        module = Module()
        data = torch.utils.data.DataLoader(torch.arange(128.0).view(32, 4) / 128, batch_size=4, shuffle=True)
        trainer.fit(module, data, ckpt_path=path)
        return digest(module.parameters())

    return train


def _keras(prepare: Callable[[Any], list[Any]], **compiled: Any) -> Train:
    def train(setup: Setup) -> str:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
        options = {"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", **compiled}
        options = {name: value() if callable(value) else value for name, value in options.items()}
        model.compile(**options)

        class Fate(keras.callbacks.Callback):
            done = 0

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                setup.at_step(int(self.model.optimizer.iterations.numpy()))

        def dataset() -> Any:
            x = tf.reshape(tf.range(256, dtype=tf.float32), (64, 4)) / 256
            pairs = tf.data.Dataset.from_tensor_slices((x, tf.reduce_sum(x, 1, keepdims=True)))
            return pairs.shuffle(64, seed=2).repeat().batch(8)

        callbacks = [*prepare(keras), Fate()]
        more = {"epochs": 3, "steps_per_epoch": 8, "verbose": 0}
        if setup.store is None:
            model.fit(dataset(), callbacks=callbacks, **more)
        else:
            from ckptkit_hooks.keras_ import CheckpointCallback
            from ckptkit_tfdata import PersistentIterator

            hook = CheckpointCallback(setup.store, RUN, schedule=Schedule(every_steps=EVERY), resume=setup.resume)
            hook.fit(model, PersistentIterator(dataset), callbacks=callbacks, **more)
        return digest(model.get_weights())

    return train


def _stateful_schedule(keras: Any) -> list[Any]:
    class Schedule:
        calls = 0

        def __call__(self, epoch: int, rate: float) -> float:
            self.calls += 1
            return rate / (1 + 0.1 * self.calls)

    return [keras.callbacks.LearningRateScheduler(Schedule())]


def _plateau(keras: Any) -> list[Any]:
    return [keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)]


def _ema() -> Any:
    import keras

    return keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3)


def _nothing(keras: Any) -> list[Any]:
    return []


def setups() -> Iterator[tuple[str, Train]]:
    """Yield the set-ups by name."""
    yield "Trainer plain", _trainer()
    yield "Trainer persistent workers", _trainer(dataloader_num_workers=2, dataloader_persistent_workers=True)
    yield "Trainer draws for some indices", _trainer(draws=True)
    for change in ("nothing", "counter", "dropout", "swa"):
        yield f"Lightning {change}", _lightning(change)
    yield "Keras plain", _keras(_nothing)
    yield "Keras metrics", _keras(_nothing, metrics=["mae"])
    yield "Keras ReduceLROnPlateau", _keras(_plateau)
    yield "Keras use_ema", _keras(_nothing, optimizer=_ema)
    yield "Keras LearningRateScheduler with state", _keras(_stateful_schedule)
