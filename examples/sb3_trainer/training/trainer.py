"""Train an agent, or go on from a checkpoint: python training/trainer.py --mode quick."""

import argparse
import logging
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a file: `training` is the folder that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ckptkit import CheckpointStore, CkptkitError, UsageError
from training.config import TrainingConfig, combined, read_yaml
from training.run import Event, Listener, TrainingRun, tell

TRAINER = Path(__file__).resolve()
MOST_EPISODES = 10**9


def train(
    chosen: Mapping[str, Any],
    file: Mapping[str, Any] | None = None,
    *,
    resume_episode: int | None = None,
    replace_newer: bool = False,
    listeners: Sequence[Listener] = (),
) -> tuple[TrainingRun, Any]:
    """Train from the start, or from ``resume_from_checkpoint``, until ``total_timesteps`` are done.

    Args:
        chosen: fields of the configuration that win over all others.
        file: fields that win over those of the checkpoint.
        resume_episode: count episodes on from here, whatever the checkpoint's metadata says.
        replace_newer: move checkpoints of the run beyond the one that it goes on from to the trash.
        listeners: called with an ``Event`` after each commit and each removal; what they raise is logged.

    Returns:
        The run, and the trained agent.

    Raises:
        FileNotFoundError: Checkpoint not found.
        RuntimeError: Failed to load model from checkpoint.
        CkptkitError: the configuration is off, the run cannot be written or is written by another process, newer
            checkpoints are in the way, or a checkpoint could not be saved.
    """
    from ckptkit_hooks.sb3_episodes import EpisodeCheckpoints

    from training.agent import build_model, make_env
    from training.checkpoints import find_checkpoint, load_agent

    named = {**(file or {}), **chosen}.get("resume_from_checkpoint")
    if named is None and resume_episode is not None:
        raise UsageError("--resume-episode needs a checkpoint", hint="name it with --resume-from-checkpoint")
    found = None if named is None else find_checkpoint(named, episode=resume_episode)
    config = combined({} if found is None else found.config, file or {}, chosen)
    _require_something_left(chosen, found)
    run = _new_run(config, found)
    model = build_model(config, make_env(config))
    resumed = None if found is None else load_agent(found, model)
    if found is not None and not found.exact:
        logging.warning("%s: beside it lies no state: weights and counters go on, nothing else", found.path.name)
    store = CheckpointStore(run.checkpoint_dir)
    after = -1 if found is None else found.episode
    for moved in store.prepare(run.name, after=after, replace_newer=replace_newer):
        logging.warning("%s: moved to the trash", moved.ref)
    checkpoints = EpisodeCheckpoints(
        store,
        run.name,
        config=config.saved(),
        keep_last_n=config.keep_last_n_checkpoints,
        trash_hours=config.trash_hours,
        resume=resume_words(),
        began_from=found,
        listener=lambda kind, episode, path: tell(listeners, Event(kind, run, episode, path)),
    )
    callback = checkpoints.callback(every_episodes=config.checkpoint_interval_episodes or None)
    (model if resumed is None else resumed).learn(config.total_timesteps, callback=callback)
    checkpoints.save(model)
    checkpoints.save_final(model)
    return run, model


def _require_something_left(chosen: Mapping[str, Any], found: Any) -> None:
    """Refuse a total that was asked for now and lies behind the checkpoint: what remained of it would be trained."""
    total, done = chosen.get("total_timesteps"), 0 if found is None else found.extra.get("num_timesteps", 0)
    if total is not None and total < done:
        raise UsageError(
            f"total_timesteps {total}: the checkpoint has done {done} already",
            hint="it is the total of the training, those before the resume included: give more",
        )


def resume_words() -> list[str]:
    """Return the argument list that goes on from a checkpoint, as a template: ``{path}`` is its zip."""
    here = Path.cwd()
    script = TRAINER.relative_to(here) if TRAINER.is_relative_to(here) else TRAINER
    words = [sys.executable, str(script)]
    return [*(word.replace("{", "{{").replace("}", "}}") for word in words), "--resume-from-checkpoint", "{path}"]


def _new_run(config: TrainingConfig, found: Any) -> TrainingRun:
    return TrainingRun(
        agent_id=config.agent_id or "",
        run_id=config.run_id or str(uuid.uuid4()),
        checkpoint_dir=Path(config.checkpoint_dir),
        parent=None if found is None else found.parent,
        resumed_from=None if found is None else found.path,
    )


def arguments(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Parse the command line; only what was said is in the result."""
    parser = argparse.ArgumentParser(description=__doc__, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="fields of the configuration; see config.yaml")
    parser.add_argument("--mode", choices=("quick", "full"), help="how long to train (default: quick)")
    parser.add_argument("--total-timesteps", type=int, help="of the whole training, those before a resume included")
    parser.add_argument("--checkpoint-interval-episodes", type=int, help="0 saves only at the end (default: 50)")
    parser.add_argument("--keep-last-n-checkpoints", type=int, help="older ones are removed (default: 3)")
    parser.add_argument("--trash-hours", type=float, help="how long they can be taken back (default: 24)")
    parser.add_argument("--checkpoint-dir", help="default: checkpoints")
    parser.add_argument("--resume-from-checkpoint", metavar="ZIP", help="go on from here, as a new run")
    parser.add_argument("--resume-episode", type=int, help="count on from this episode, whatever the metadata says")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--algorithm", choices=("ppo", "a2c", "dqn", "sac"), help="default: ppo")
    parser.add_argument("--env-id", help="default: CartPole-v1")
    parser.add_argument("--n-envs", type=int, help="default: 1")
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument("--agent-id", help="default: ppo_agent")
    parser.add_argument("--run-id", help="default: a new UUID")
    help_ = "move checkpoints of --run-id beyond the one that training goes on from to the trash"
    parser.add_argument("--replace-newer", action="store_true", help=help_)
    return vars(parser.parse_args(words))


def main(listeners: Sequence[Listener] = ()) -> int:
    """Return the exit code; an error is told in a line, with what to do about it."""
    logging.basicConfig(format="note: %(message)s")
    chosen = arguments()
    path, episode = chosen.pop("config", None), chosen.pop("resume_episode", None)
    replace_newer = chosen.pop("replace_newer", False)
    try:
        if episode is not None and not 0 <= episode <= MOST_EPISODES:
            raise UsageError(f"--resume-episode {episode}: is not a number of episodes", hint="for example 100")
        file = {} if path is None else read_yaml(path)
        import torch

        torch.set_num_threads(1)  # the same order of additions everywhere
        from training.agent import digest

        run, model = train(
            chosen, file, resume_episode=episode, replace_newer=replace_newer, listeners=[_say, *listeners]
        )
    except CkptkitError as error:
        print(f"error: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    except (FileNotFoundError, RuntimeError) as error:
        print("\n  ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 4 if isinstance(error, FileNotFoundError) else 1
    except KeyboardInterrupt:
        print("interrupted; `ckptkit resume-cmd` prints how to go on from the newest checkpoint", file=sys.stderr)
        return 130
    print(f"{run.name}: {model.num_timesteps} timesteps; final_model.zip is the agent\ndigest {digest(model)}")
    return 0


def _say(event: Any) -> None:
    print(f"{event.kind} {event.path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
