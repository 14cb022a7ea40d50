"""Program: trainings that say their steps and metrics, by the trainers themselves: kept_by_trainers.py DIR [NAME ...].

RL Zoo and LeRobot have programs of their own, DeepSpeed is not installed here.
"""

import sys
from pathlib import Path
from typing import Any


def classifier() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    size = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(**size, intermediate_size=8, max_position_embeddings=8))


def train(model: Any, root: Path, callbacks: Any = (), **options: Any) -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    class Data(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 16

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)}

    arguments = TrainingArguments(
        str(root), save_steps=4, max_steps=8, logging_steps=2, per_device_train_batch_size=8, report_to=[],
        use_cpu=True, disable_tqdm=True, **options,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Data(), eval_dataset=Data(), callbacks=list(callbacks)).train()


def hugging_face(root: Path) -> None:
    train(classifier(), root, eval_strategy="steps", eval_steps=4)


def sharded(root: Path) -> None:
    import functools

    model = classifier()
    model.save_pretrained = functools.partial(model.save_pretrained, max_shard_size="2KB")
    train(model, root)


def adapter(root: Path) -> None:
    from peft import LoraConfig, get_peft_model

    train(get_peft_model(classifier(), LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")), root)


def weights_only(root: Path) -> None:
    train(classifier(), root, save_only_model=True)


def accelerate(root: Path) -> None:
    import torch
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    naming = ProjectConfiguration(str(root), automatic_checkpoint_naming=True)
    one = Accelerator(cpu=True, project_config=naming)
    net = torch.nn.Linear(4, 4)
    net, optimizer = one.prepare(net, torch.optim.AdamW(net.parameters()))
    one.register_for_checkpointing(torch.optim.lr_scheduler.StepLR(optimizer, 1))
    for step in range(1, 9):
        one.backward(net(torch.ones(2, 4)).sum())
        optimizer.step()
        if step % 4 == 0:
            one.save_state()


def lightning(root: Path) -> None:
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.demos.boring_classes import BoringModel

    class Model(BoringModel):
        def validation_step(self, batch: Any, index: int) -> Any:
            self.log("val_loss", torch.tensor([0.5, 0.25, 0.75, 0.125][self.current_epoch]))

    for kind in ("copy", "link"):
        keep = ModelCheckpoint(
            dirpath=root / kind, monitor="val_loss", save_top_k=2, save_last=True if kind == "copy" else "link"
        )
        trainer = L.Trainer(
            max_epochs=3, limit_train_batches=2, limit_val_batches=1, accelerator="cpu", logger=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=root, callbacks=[keep],
            num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(Model())


def sb3(root: Path) -> None:
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    def env() -> Any:
        return VecNormalize(DummyVecEnv([lambda: Monitor(gymnasium.make("Pendulum-v1"))]))

    callbacks = [
        CheckpointCallback(4, str(root), save_replay_buffer=True, save_vecnormalize=True),
        EvalCallback(env(), n_eval_episodes=2, eval_freq=8, log_path=str(root / "results"), verbose=0),
    ]
    agent = SAC("MlpPolicy", env(), learning_starts=2, buffer_size=16, policy_kwargs={"net_arch": [4]}, seed=1)
    agent.learn(8, callback=callbacks)


def dcp(root: Path) -> None:
    import torch
    import torch.distributed.checkpoint as dcp

    dcp.save({"model": torch.nn.Linear(2, 2).state_dict()}, checkpoint_id=root / "step-5", no_dist=True)


def torch_file(root: Path) -> None:
    import torch

    net = torch.nn.Linear(4, 4)
    torch.save({"model": net.state_dict(), "epoch": 3, "loss": torch.tensor(0.5)}, root / "net_3.pt")
    torch.save({"model": net.state_dict(), "global_step": 70}, root / "last.pt", _use_new_zipfile_serialization=False)


def tensorflow(root: Path) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    step = tf.Variable(0, dtype=tf.int64)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(step=step), str(root / "tf"), max_to_keep=3)
    for _ in range(2):
        step.assign_add(50)
        manager.save()
    tf.train.Checkpoint(weights=tf.Variable(1.0)).save(str(root / "tf" / "plain"))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(root / "{epoch:02d}-val_loss={val_loss:.4f}.keras")),
        keras.callbacks.ModelCheckpoint(str(root / "w{epoch:02d}.weights.h5"), save_weights_only=True),
        keras.callbacks.BackupAndRestore(str(root / "backup"), delete_checkpoint=False),
    ]
    data = np.ones((4, 2)), np.ones((4, 1))
    model.fit(*data, validation_data=data, epochs=2, verbose=0, callbacks=callbacks)


def orbax(root: Path) -> None:
    import numpy as np
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=3, best_fn=lambda metrics: metrics["loss"], best_mode="min")
    with ocp.CheckpointManager(root, options=options) as manager:
        for step in (5, 10):
            state = ocp.args.StandardSave({"w": np.arange(4.0)})
            manager.save(step, args=ocp.args.Composite(state=state), metrics={"loss": 1 / step})
        manager.wait_until_finished()


EVERY = (hugging_face, sharded, adapter, weights_only, accelerate, lightning, sb3, dcp, torch_file, tensorflow, orbax)


def main() -> None:
    """Write those that are named, or all."""
    root, names = Path(sys.argv[1]), sys.argv[2:]
    for write in EVERY:
        if not names or write.__name__ in names:
            place = root / write.__name__
            place.mkdir(parents=True)
            write(place)


if __name__ == "__main__":
    main()
