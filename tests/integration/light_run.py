"""A training of generators only, quick to start: ``python light_run.py STORE MODE [--resume REF] [--hold SECONDS]``.

It saves every 5 of 20 steps and is observed for 3; what each MODE does otherwise stands beside its name below.
"""

import argparse
import logging
import subprocess
import sys
import time

import numpy as np

from ckptkit import CheckpointStore

STEPS, EVERY, NOTED = 20, 5, 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("mode")
    parser.add_argument("--resume")
    parser.add_argument("--hold", type=float, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    store = CheckpointStore(args.store)
    items = {"rng": np.random.default_rng(0)}
    start = 0
    if args.resume and args.mode != "afresh":  # it takes the option and does not heed it
        start = store.restore(args.resume, into=items).step
    if args.resume and args.mode == "child":  # it leaves a process behind, in a session of its own
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if args.resume and args.mode == "fails":
        sys.exit("no such dataset")
    if args.resume and args.mode == "short":
        sys.exit(_steps(store, items, start, start + 2, args))
    _steps(store, items, start, 7 if args.mode == "brief" else STEPS, args)


def _steps(store: CheckpointStore, items: dict[str, np.random.Generator], start: int, end: int, args: object) -> None:
    mode, resume = args.mode, args.resume
    # "fixed": the command names the real store, whatever the rehearsal says
    place = args.store if mode == "fixed" else "{store}"
    command = [sys.executable, __file__, place, mode, "--resume", "{run}@{step}"]
    observer = store.observe("toy", steps=NOTED)
    for step in range(start + 1, end + 1):
        items["rng"].random(2 if resume and mode == "differs" else 1)
        observer.note(step, items)
        if step % EVERY == 0:
            store.save("toy", step, items, resume=None if mode == "silent" else command, replace=True)
    observer.close()
    deadline = time.monotonic() + args.hold
    while observer.proving and time.monotonic() < deadline:
        time.sleep(0.1)
        observer.look()


if __name__ == "__main__":
    main()
