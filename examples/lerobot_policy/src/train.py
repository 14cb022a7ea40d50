r"""Trains a diffusion policy on a LeRobot dataset, and goes on from a checkpoint exactly where it was made.

Run it as::

    python src/train.py --output_dir ./outputs/my_training_run --dataset_id ISdept/piper_arm
    python src/train.py --output_dir ./outputs/my_training_run --dataset_id ISdept/piper_arm \
        --resume_from_checkpoint ./outputs/my_training_run/checkpoint-5000
    python src/train.py --output_dir ./outputs/another_rate --dataset_id ISdept/piper_arm --config another_rate.yaml \
        --resume_from_checkpoint ./outputs/my_training_run/checkpoint-5000 --change_config
"""

import argparse
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from checkpoints import PROCESSORS, Found, OutputFolder, find, is_adopted, load_older, load_weights
from ckptkit_safetensors import Policy
from config import load_config
from dataset import read_frames, resolve
from training import Training

from ckptkit import CkptkitError, UsageError

HERE = Path(__file__).resolve()
CONFIG = HERE.parents[1] / "config.yaml"
DATA_ROOT = "./data"


def train(
    output_dir: str | Path,
    dataset_id: str,
    resume_from_checkpoint: str | Path | None = None,
    *,
    fine_tune: bool = False,
    change_config: bool = False,
    config: str | Path = CONFIG,
    steps: int | None = None,
    data_root: str | Path = DATA_ROOT,
    replace_newer: bool = False,
) -> dict[str, Any]:
    """Train a policy, from scratch or from a checkpoint.

    Args:
        output_dir: folder of ``checkpoint-N/`` and, at the end, the final model.
        dataset_id: a LeRobot dataset below ``data_root``; made from rollouts if it is not there.
        resume_from_checkpoint: ``.../checkpoint-N`` to go on from, at step N.
        fine_tune: take only weights and processors from it, and train from step 0 with this configuration and dataset.
        change_config: go on at its step with another configuration of the optimizer (or ``data.state_noise``,
            ``policy.execute``).
        config: YAML file.
        steps: length of the run, instead of the configuration's.
        data_root: where datasets are.
        replace_newer: move checkpoints of ``output_dir`` beyond the one that training goes on from to the trash.

    Returns:
        ``step``, ``loss`` (None when there was nothing left to do), ``digest``, ``mean_return`` (None where the
        dataset was recorded in no known environment).

    Raises:
        CkptkitError: see its subclasses; the message names the file or field, its ``hint`` says what to do.
    """
    torch.set_num_threads(1)  # the same order of additions everywhere
    settings = load_config(Path(config), steps=steps)
    found = None if resume_from_checkpoint is None else find(resume_from_checkpoint)
    if fine_tune and found is None:
        raise UsageError("--fine_tune needs a checkpoint", hint="name it with --resume_from_checkpoint")
    if change_config and (fine_tune or found is None or not found.committed or is_adopted(found)):
        hint = "name one with --resume_from_checkpoint, without --fine_tune"
        raise UsageError("--change_config needs a checkpoint with a manifest to go on from", hint=hint)
    start = 0 if found is None or fine_tune else found.step
    if start > settings.steps:
        raise UsageError(
            f"checkpoint-{start} is beyond the end of the run ({settings.steps})", hint="give more --steps"
        )
    frames = read_frames(resolve(dataset_id, Path(data_root), _say))
    training = Training(settings, frames)
    noted = {**settings.model_dump(), "dataset": {"id": dataset_id, **frames.description()}}
    extra = _options(config=config, steps=steps, data_root=data_root)
    output = OutputFolder(Path(output_dir), _command(dataset_id, extra), noted)
    changed = False
    if found is not None and fine_tune:
        _take_weights(training, found)
    elif found is not None and found.committed and not is_adopted(found):
        changed = _take_all(training, output, found, change=change_config)
    elif found is not None:
        _take_what_is_there(training, found)
    for line in output.prepare(None if fine_tune else found, replace_newer=replace_newer, changed=changed):
        _say(line)
    return _run(training, output, start)


def _take_weights(training: Training, found: Found) -> None:
    training.use_processors(load_weights(found, training.policy))
    _say(f"fine-tuning the weights of {found.path}; everything else starts over")


def _take_all(training: Training, output: OutputFolder, found: Found, *, change: bool) -> bool:
    """Put everything back, and return whether training goes on with another configuration."""
    changed, warnings = output.resume(found, training.items(), change=change)
    training.use_processors()
    _say(f"resumed from {found.path} at step {found.step}")
    for line in changed:
        _say(f"changed: {line}")
    if changed:
        training.use_options()
    for warning in warnings:
        _say(f"note: {warning}")
    return bool(changed)


def _take_what_is_there(training: Training, found: Found) -> None:
    optimizer = training.new_optimizer()
    policy = Policy(training.policy, optimizer, gradients=False)
    there = load_older(found, policy)
    training.go_on_from_older(optimizer, there, found.step)
    _say(f"resumed from {found.path} at step {found.step}: policy, {', '.join([*there, 'optimizer'])}")
    if found.committed:
        _say("note: it was adopted: its files are what they were then, and do not hold all that is needed")
    else:
        _say("note: it has no manifest, so nothing in it could be verified, and it does not hold all that is needed")
    missing = [f"the {part} (from the dataset's statistics)" for part in PROCESSORS if part not in there]
    _say(f"note: these start over: {', '.join([*missing, 'data order', 'random generators'])}")
    _say(f"note: the learning rate is that of step {found.step} of the configured schedule")


def _run(training: Training, output: OutputFolder, start: int) -> dict[str, Any]:
    config, loss = training.config, None
    batches = training.batches()
    last = output.path / f"checkpoint-{start}"
    for step in range(start + 1, config.steps + 1):
        loss = training.step(next(batches))
        if not math.isfinite(loss):
            raise UsageError(f"step {step}: the loss is {loss}", hint="lower optimizer.learning_rate")
        if proof := output.observer.note(step, training.items()):
            _say(f"step {step:5d}  since the checkpoint: {proof.verdict} {proof.reason or ''}".rstrip())
        saved = ""
        if step % config.save_every == 0 or step == config.steps:
            committed = output.save(step, training.items(), loss)
            last = committed.path
            saved = f"  saved {last.name} ({committed.manifest.grade})"
        if saved or step % config.log_every == 0:
            _say(f"step {step:5d}/{config.steps}  loss {loss:.4f}  epoch {training.data.epoch}{saved}")
    shape = {"state_values": training.frames.states.shape[1], "action_values": training.frames.actions.shape[1]}
    output.write_final(last, {"policy": config.policy.model_dump(), **shape})
    _say(f"final model: {output.path}")
    result = {"step": config.steps, "loss": loss, "digest": training.digest(), "mean_return": training.mean_return()}
    if result["mean_return"] is not None:
        _say(f"mean return of the policy in {training.frames.robot}: {result['mean_return']:.0f}")
    _say(f"digest {result['digest']}")
    return result


def _command(dataset_id: str, extra: list[str]) -> list[str]:
    """Return the documented command line, as a template of the arguments."""
    found = shutil.which("python")
    python = "python" if found and os.path.samefile(found, sys.executable) else sys.executable
    cwd = Path.cwd().resolve()
    script = HERE.relative_to(cwd) if HERE.is_relative_to(cwd) else HERE
    command = [python, str(script).replace("{", "{{").replace("}", "}}"), "--output_dir", "{store}/{run}"]
    return [*command, "--dataset_id", dataset_id, *extra, "--resume_from_checkpoint", "{path}"]


def _options(*, config: str | Path, steps: int | None, data_root: str | Path) -> list[str]:
    """Return the options that were given beside the documented ones."""
    given = {"config": None if Path(config) == CONFIG else Path(config).resolve(), "steps": steps}
    given["data_root"] = None if str(data_root) == DATA_ROOT else Path(data_root).resolve()
    pairs = [(f"--{name}", str(value).replace("{", "{{").replace("}", "}}")) for name, value in given.items() if value]
    return [word for pair in pairs for word in pair]


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Return the exit code; an error is told in a line, with what to do about it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="folder of checkpoints and of the final model")
    parser.add_argument("--dataset_id", required=True, help="a LeRobot dataset below --data_root")
    parser.add_argument("--resume_from_checkpoint", metavar="DIR", help="go on from .../checkpoint-N")
    parser.add_argument("--fine_tune", action="store_true", help="take only weights and processors from it")
    change = "go on at its step with another learning rate, or another of the fields of `optimizer`"
    parser.add_argument("--change_config", action="store_true", help=change)
    parser.add_argument("--config", default=CONFIG, help="YAML file")
    parser.add_argument("--steps", type=int, help="length of the run, instead of the configuration's")
    newer = "move checkpoints in --output_dir beyond the one that training goes on from to the trash"
    parser.add_argument("--replace-newer", "--replace_newer", action="store_true", help=newer)
    parser.add_argument("--data_root", default=DATA_ROOT, help=f"where datasets are [{DATA_ROOT}]")
    try:
        train(**vars(parser.parse_args()))
    except CkptkitError as error:
        print(f"error: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; `ckptkit resume-cmd` prints how to go on from the newest checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
