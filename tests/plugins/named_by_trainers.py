"""Program: folders in which trainers chose the names of several checkpoints themselves: named_by_trainers.py DIR."""

import sys
from pathlib import Path

import trainer_files


def lightning(root: Path) -> None:
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.demos.boring_classes import BoringModel

    for _ in range(2):  # the second run finds the names taken
        trainer = L.Trainer(
            max_epochs=2, limit_train_batches=2, limit_val_batches=0, accelerator="cpu", logger=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=root,
            callbacks=[ModelCheckpoint(dirpath=root, save_top_k=-1, save_last=True)],
        )  # fmt: skip
        trainer.fit(BoringModel())
    torch.save({"epoch": 3}, root / "mine_3.pt")


def dcp(root: Path) -> None:
    import torch
    import torch.distributed.checkpoint as dcp

    dcp.save({"model": torch.nn.Linear(2, 2).state_dict()}, checkpoint_id=root / "step-5", no_dist=True)


def tensorflow(root: Path) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    manager = tf.train.CheckpointManager(tf.train.Checkpoint(step=tf.Variable(7)), str(root), max_to_keep=3)
    manager.save()
    manager.save()
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(root / "{epoch:02d}-{loss:.2f}.keras")),
        keras.callbacks.BackupAndRestore(str(root / "backup"), delete_checkpoint=False),
    ]
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0, callbacks=callbacks)


def main() -> None:
    """Write everything."""
    root = Path(sys.argv[1])
    for write in (trainer_files.hugging_face, trainer_files.accelerate, trainer_files.sb3, lightning, dcp, tensorflow):
        place = root / write.__name__
        place.mkdir(parents=True)
        write(place)


if __name__ == "__main__":
    main()
