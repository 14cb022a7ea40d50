"""Rehearse a resume: run the resume command twice in scratch copies of the store and compare what the two write.

This proves the training script itself: is it deterministic from this checkpoint, and does it go the way the run went
that saved it? The command runs with ``CKPTKIT_STORE`` pointing at the scratch store, and with every mention of the real
store in its arguments replaced; a script that writes elsewhere writes for real.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit.backend import Proof
from ckptkit.errors import CkptkitError, UsageError
from ckptkit.manifest.models import Manifest
from ckptkit.storage import LocalStorage, Location
from ckptkit.store import restoring, resuming
from ckptkit.store.choosing import Chosen
from ckptkit.store.observing import REHEARSAL
from ckptkit.store.readback import recorded
from ckptkit.verification import observation
from ckptkit.verification.presence import read_manifest

_POLL = 0.1
_PATIENCE = 15.0  # seconds between asking a process to end and ending it


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came out.

    Attributes:
        proof: ``same``: both runs wrote the same (and what the first run had written, where it still exists).
        compared: what was compared, for a person: ``step 5040``, ``observed steps 5001-5004``.
    """

    proof: Proof
    compared: Sequence[str] = ()


def rehearse(
    storage: LocalStorage,
    chosen: Chosen,
    *,
    steps: int,
    template: Sequence[str] | None = None,
    seconds: float = 600,
) -> Rehearsal:
    """Run the resume command twice from a verified checkpoint and compare what the runs write.

    A run is over when its process ends, when its observer has noted ``steps`` steps (see ``CheckpointStore.observe``),
    or when it has saved a checkpoint at least ``steps`` further.

    Args:
        storage: the store.
        chosen: the checkpoint.
        steps: how far to go.
        template: the command; that of the manifest when left out.
        seconds: limit for each run.

    Raises:
        UsageError: nothing says how to resume it, or the command never names the store.
        StoreError: the scratch copy cannot be written.
    """
    results = []
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix="ckptkit-rehearsal-") as folder:
            scratch = LocalStorage(Path(folder, "store"))
            at = _copy(storage, chosen, scratch)
            failure = _run(storage, scratch, Chosen(at, chosen.manifest), steps, template, seconds)
            written = _written(scratch, at, chosen.manifest)
            if not written:
                return Rehearsal(Proof("unproven", failure or "the command wrote nothing into the scratch store"))
            results.append(written)
    first, second = results
    common = [name for name in first if name in second]
    if not common:
        return Rehearsal(Proof("unproven", "the two runs wrote no checkpoint of the same step"))
    for name in common:
        if difference := _difference(first[name], second[name]):
            return Rehearsal(Proof("differs", f"the two runs differ in {name}: {difference}"), common)
    original = _written(storage, chosen.at, chosen.manifest)
    for name in common:
        if name in original and (difference := _difference(original[name], first[name])):
            return Rehearsal(
                Proof("differs", f"equal twice, but not the way the run went in {name}: {difference}"), common
            )
    return Rehearsal(Proof("same"), common)


def _copy(storage: LocalStorage, chosen: Chosen, scratch: LocalStorage) -> Location:
    folder = scratch.run_folder(chosen.at.run)
    target = folder if chosen.at.sidecar else folder / chosen.at.folder.name
    target.parent.mkdir(parents=True, exist_ok=True)
    restoring.copy_out(chosen, target)
    return Location(chosen.at.run, target, target / chosen.at.manifest.name)


def _run(
    storage: LocalStorage,
    scratch: LocalStorage,
    chosen: Chosen,
    steps: int,
    template: Sequence[str] | None,
    seconds: float,
) -> str | None:
    """Run the command until it is over; return why it failed, or None."""
    command = resuming.command(scratch, chosen, template=template)
    here, there = str(storage.root.resolve()), str(scratch.root.resolve())
    argv = [argument.replace(here, there) for argument in command.argv]
    if not any(there in argument for argument in argv):
        raise UsageError(
            f"the command never names the store: {argv[0]} ... would write into the real one",
            hint="use {store} or {path} in it",
        )
    environment = os.environ | {"CKPTKIT_STORE": there, REHEARSAL: str(steps)}
    log = scratch.root.parent / "log"
    cwd = command.cwd if command.cwd and Path(command.cwd).is_dir() else None
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"{argv[0]}: {error.strerror}"
        try:
            over = _wait(process, scratch, chosen, steps, seconds)
        finally:
            _end(process)
    if over == "ended" and process.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        return f"the command ended with {process.returncode}: {lines[-1][:200]}"
    return f"the command did not get there within {seconds:.0f} seconds" if over == "late" else None


def _wait(process: "subprocess.Popen[bytes]", scratch: LocalStorage, chosen: Chosen, steps: int, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return "ended"
        if any(
            (at.step or 0) >= chosen.manifest.step + steps and at.manifest.exists()
            for at in scratch.scan(chosen.at.run)
        ):
            return "saved"
        time.sleep(_POLL)
    return "late"


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            continue


def _written(storage: LocalStorage, base: Location, manifest: Manifest) -> dict[str, dict[str, dict[str, str]]]:
    """Return what a run wrote after the checkpoint: by name, by item, by part, a digest."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    try:
        observed = observation.read(base, manifest)
    except CkptkitError:
        observed = None
    for step, items in sorted((observed.steps if observed else {}).items()):
        found[f"observed step {step}"] = {name: dict(parts) for name, parts in items.items()}
    for at in storage.scan(base.run):
        later, _ = read_manifest(at)
        if later is not None and later.step > manifest.step:
            found[f"step {later.step}"] = {
                name: dict(recorded(item)) or {f.path: f.digest for f in item.files}
                for name, item in later.items.items()
            }
    return found


def _difference(one: dict[str, dict[str, str]], other: dict[str, dict[str, str]]) -> str | None:
    for name in sorted(set(one) & set(other)):
        changed = sorted(part for part in one[name] if other[name].get(part) != one[name][part])
        if changed:
            return f"{', '.join(changed)} of item {name!r}"
    return None
