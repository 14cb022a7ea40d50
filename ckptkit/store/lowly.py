"""The process of a background rehearsal: ``python -m ckptkit.store.lowly JOB``; it gives way to everything else."""

import contextlib
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ckptkit import layouts
from ckptkit.backend import Proof
from ckptkit.catalog import manifests
from ckptkit.errors import CkptkitError, DamagedError, StoreError
from ckptkit.storage import Entry, open_storage
from ckptkit.store import rehearsal
from ckptkit.store.background import MARK
from ckptkit.store.choosing import Chosen

_REMOVED = "it was removed meanwhile, by the trainer or another program: let that one keep more checkpoints"


def give_way() -> None:
    """Lower the priority of this process and its children: last to get the processor, first to go when memory is short.

    A session is a scheduling group of its own where Linux groups by session: there a nice value counts within it only,
    and the group has one of its own (``/proc/self/autogroup``).
    """
    os.nice(19)
    files = {"oom_score_adj": "1000"}
    if os.getsid(0) == os.getpid():  # else the group is not ours alone
        files["autogroup"] = "19"
    for file, value in files.items():
        with contextlib.suppress(OSError):
            Path("/proc/self", file).write_text(value)


def _rehearse(job: dict[str, Any]) -> Proof:
    storage = open_storage(job["url"])
    at = Entry(job["run"], job["name"], layouts.named(job["layout"]), storage)
    manifest, problem = manifests.read(at)
    try:
        if manifest is None:
            raise DamagedError(problem.message if problem else "its manifest cannot be read")
        done = rehearsal.rehearse(
            storage, Chosen(at, manifest), steps=job["steps"], template=job["template"], seconds=job["seconds"]
        )
    except CkptkitError as error:
        if at.identity is None:
            raise StoreError(_REMOVED) from error
        raise
    return done.proof


def _main() -> None:
    job = json.loads(sys.argv[1])
    if job["low"]:
        give_way()
    # The command's own children are many, and may outlive all control: let the kernel end them by their CPU time.
    most = job["seconds"] * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ended from outside, it takes the rehearsed process and the scratch copy with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        proof = _rehearse(job)
    except CkptkitError as error:
        proof = Proof("unproven", error.message)
    print(f"{MARK}{json.dumps(asdict(proof))}", flush=True)


if __name__ == "__main__":
    _main()
