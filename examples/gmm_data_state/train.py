"""Train a network to tell mixtures of Gaussians from points: python train.py --experiment-dir outputs/first."""

import argparse
import logging
import sys
from pathlib import Path

import torch
from gmm_v2.config import load_config
from gmm_v2.data.loaders import StateMismatchError
from gmm_v2.experiment.experiment_manager import ExperimentManager

from ckptkit import CkptkitError

HERE = Path(__file__).resolve()
LATEST = -1


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=HERE.with_name("config.yaml"), help="YAML file")
    parser.add_argument("--experiment-dir", type=Path, required=True, help="folder of this experiment")
    parser.add_argument("--num-epochs", type=int, help="epochs of the whole run, instead of the configuration's")
    parser.add_argument(
        "--resume", type=int, nargs="?", const=LATEST, metavar="STEP", help="go on: from a step, or the newest good one"
    )
    parser.add_argument(
        "--replace-newer",
        action="store_true",
        help="move checkpoints beyond the one that training goes on from to the trash",
    )
    return parser.parse_args()


def train(args: argparse.Namespace) -> None:
    """Run or resume the experiment."""
    torch.set_num_threads(1)  # the same order of additions everywhere
    folder = args.experiment_dir.absolute()
    command = [_literal(word) for word in (sys.executable, str(HERE), "--config", str(args.config.absolute()))]
    command += ["--experiment-dir", f"{{store}}/{_literal(folder.name)}", "--resume", "{step}"]
    if args.num_epochs is not None:
        command += ["--num-epochs", str(args.num_epochs)]
    manager = ExperimentManager(
        load_config(args.config),
        folder,
        command,
        say=lambda line: print(line, flush=True),
        replace_newer=args.replace_newer,
    )
    if args.resume is None:
        done = manager.run(args.num_epochs)
    else:
        done = manager.resume_training(args.num_epochs, step=None if args.resume == LATEST else args.resume)
    print(f"{done['step']} steps; the network explains new points {done['excess']:.3f} nats worse than the truth does")
    print(f"digest {done['digest']}")


def _literal(word: str) -> str:
    return word.replace("{", "{{").replace("}", "}}")  # braces would be fields of the command's template


def main() -> int:
    """Return the exit code; an error is told in a line, with what to do about it."""
    logging.basicConfig(format="note: %(message)s")
    try:
        train(arguments())
    except CkptkitError as error:
        print(f"error: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; --resume goes on from the newest checkpoint", file=sys.stderr)
        return 130
    except (FileNotFoundError, StateMismatchError) as error:
        print("\n  ".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 4 if isinstance(error, FileNotFoundError) else 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
