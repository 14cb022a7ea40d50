"""Train the policy; killed at any moment, it goes on from its last checkpoint: python scripts/train.py --help."""

import argparse
import hashlib
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from openpi_cot.dataloader import cot_data_loader as _data_loader
from openpi_cot.training import checkpoints as _checkpoints
from openpi_cot.training import config as _config
from openpi_cot.training.policy import TrainState

from ckptkit import CkptkitError

NEWEST = -1


def train(
    config: _config.TrainConfig,
    checkpoint_dir: Path,
    run: str,
    command: list[str],
    *,
    resume: int | None,
    replace_newer: bool,
) -> str:
    """Train to the config's last step and return a digest of all state at the end.

    Args:
        config: of the run.
        checkpoint_dir: the ckptkit store.
        run: name of the run in it.
        command: template of the command that goes on from a checkpoint.
        resume: step to go on from, ``NEWEST``, or None to begin.
        replace_newer: whether checkpoints beyond the one that training goes on from are moved to the trash.
    """
    torch.set_num_threads(1)  # the same order of additions everywhere
    checkpoint_manager, resuming = _checkpoints.initialize_checkpoint_dir(
        checkpoint_dir,
        run,
        config,
        resume_command=command,
        replace_newer=replace_newer,
        resume=resume is not None,
        step=None if resume == NEWEST else resume,
    )
    data_loaders = [
        _data_loader.create_data_loader(
            config,
            sharding=_data_loader.Sharding(host, config.hosts),
            shuffle=True,
            seed=config.seed,
            persistent_iterator=True,  # Enable checkpointing
        )
        for host in range(config.hosts)
    ]
    train_state = TrainState.create(config)
    if resuming:
        train_state = _checkpoints.restore_state(
            checkpoint_manager, train_state, data_loaders, step=None if resume == NEWEST else resume
        )
        print(f"resumed {run} at step {train_state.step}, batch {data_loaders[0].get_batches_seen()}", flush=True)
    # What this run does after a checkpoint is noted; what a resumed run does is held against it.
    observer = checkpoint_manager.store.observe(run, steps=4, note_after="every")
    batches = zip(*data_loaders, strict=True)
    while train_state.step < config.num_train_steps:
        loss = train_state.train_step(list(next(batches)))
        step = train_state.step
        if proof := observer.note(step, _checkpoints.items(train_state, data_loaders)):
            print(f"step {step:4d}  the last {observer.steps} steps: {proof.verdict} {proof.reason or ''}", flush=True)
        if step % config.save_interval == 0 or step == config.num_train_steps:
            checkpoint_manager = _checkpoints.save_state(
                checkpoint_manager, train_state, data_loaders, step, metrics={"loss": loss}
            )
            print(f"step {step:4d}  loss {loss:.4f}  saved", flush=True)
    hasher = hashlib.sha256(train_state.digest().encode())
    for data_loader in data_loaders:  # where the data is: what would come next
        observations, actions = next(iter(data_loader))
        hasher.update(observations.frame_id.tobytes() + actions.tobytes())
        hasher.update(str(data_loader.get_batches_seen()).encode())
    return hasher.hexdigest()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-name", default="gemma3", help="a file of configs/, without .yaml")
    parser.add_argument("--exp-name", help="name of the run; the config's name when left out")
    parser.add_argument("--data-dir", type=Path, help="folder that make_episodes.py wrote to")
    parser.add_argument("--checkpoint-dir", type=Path, default=_config.ROOT / "checkpoints", help="the ckptkit store")
    parser.add_argument("--num-train-steps", type=int)
    parser.add_argument("--save-interval", type=int)
    newest = (
        "go on from that step; without a number from the newest checkpoint that verifies, or begin if there is none"
    )
    parser.add_argument("--resume", metavar="STEP", nargs="?", const=NEWEST, type=int, help=newest)
    newer = "move checkpoints beyond the one that training goes on from to the trash; of a fresh start: all of them"
    parser.add_argument("--replace-newer", action="store_true", help=newer)
    args = parser.parse_args()
    options: list[str] = []
    for name in ("num_train_steps", "save_interval"):
        if getattr(args, name) is not None:
            options += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    try:
        config = _config.get_config(args.config_name)
        given = {n: getattr(args, n) for n in ("num_train_steps", "save_interval") if getattr(args, n) is not None}
        if args.data_dir is not None:
            given["data"] = {"data_dir": args.data_dir.resolve()}
            options += ["--data-dir", str(args.data_dir.resolve())]
        config = config.with_(**given)
        run = args.exp_name or config.name
        command = [sys.executable, str(Path(__file__).resolve()), "--config-name", args.config_name]
        command += ["--exp-name", "{run}", "--checkpoint-dir", "{store}", *options, "--resume", "{step}"]
        store = shlex.quote(str(args.checkpoint_dir.resolve()))
        print(f"if it dies: ckptkit --store {store} resume-cmd {shlex.quote(run)}", flush=True)
        digest = train(config, args.checkpoint_dir, run, command, resume=args.resume, replace_newer=args.replace_newer)
    except CkptkitError as error:
        print(f"train.py: {error}\n  {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ValueError as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"digest {digest}")


if __name__ == "__main__":
    main()
