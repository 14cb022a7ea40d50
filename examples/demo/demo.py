"""The story of a killed run, told on the screen with the real command line: python examples/demo/demo.py.

The same story on an S3 server is `demo_s3.py`; what differs is its place.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from ckptkit.parting import without_absl_logs

HERE = Path(__file__).resolve().parent
OUTPUT = Path("demo-output").resolve()
CKPTKIT = Path(sys.executable).with_name("ckptkit")
KILL_AT = 120  # the job dies in the middle of this save


class Place(Protocol):
    """Where the checkpoints of the demo lie, seen past the store."""

    url: str

    def has(self, run: str, step: int) -> bool:
        """Return whether a checkpoint is committed."""

    def half_written(self, run: str, step: int) -> list[str]:
        """Return the names of the payload of a checkpoint that is being saved, or was when the job died."""

    def flip_one_byte(self, run: str, step: int, file: str) -> None:
        """Change one bit of a file of a checkpoint, as a dying disk does."""


class Folder:
    """A store in a folder."""

    def __init__(self, root: Path) -> None:
        self._root, self.url = root, str(root)

    def has(self, run: str, step: int) -> bool:
        return (self._root / run / f"step-{step:08d}").exists()

    def half_written(self, run: str, step: int) -> list[str]:
        staging = self._root / run / ".ckptkit" / "staging"
        return sorted(path.name for path in staging.glob("*/checkpoint/*/*"))

    def flip_one_byte(self, run: str, step: int, file: str) -> None:
        path = self._root / run / f"step-{step:08d}" / file
        path.write_bytes(flipped(path.read_bytes()))


def flipped(data: bytes) -> bytes:
    """Return data with one bit changed."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


def say(text: str) -> None:
    """Tell the person what comes next."""
    print(f"\n\033[1m## {text}\033[0m" if sys.stdout.isatty() else f"\n## {text}", flush=True)


def fail(text: str) -> None:
    """End the demo: something that must hold does not."""
    sys.exit(f"DEMO FAILED: {text}")


def trained(command: list[str] | str) -> str:
    """Run a training job to its end and return its stdout."""
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True)
    sys.stderr.write(without_absl_logs(done.stderr))
    if done.returncode:
        fail(f"the job ended with {done.returncode}")
    return done.stdout


def ckptkit(place: Place, *arguments: str, expect: int = 0) -> str:
    """Run the real command line, show it and its output, and return its stdout."""
    shown_store = place.url if "://" in place.url else os.path.relpath(place.url)
    print(f"$ ckptkit --store {shown_store} {' '.join(arguments)}", flush=True)
    done = subprocess.run([CKPTKIT, "--store", place.url, *arguments], stdout=subprocess.PIPE, text=True)
    shown = done.stdout if len(done.stdout.splitlines()) < 30 else "\n".join(done.stdout.splitlines()[:30]) + "\n..."
    print(shown, end="" if shown.endswith("\n") else "\n", flush=True)
    if done.returncode != expect:
        fail(f"ckptkit {arguments[0]} ended with {done.returncode}, not {expect}")
    return done.stdout


def train(place: Place, run: str) -> list[str]:
    """Return the command line of the training job."""
    data = ["--data", str(OUTPUT / "episodes")]
    return [sys.executable, str(HERE / "train.py"), "--store", place.url, "--run", run, *data]


def digest_of(output: str) -> str:
    """Show a run's output and return the digest it ended with."""
    print(output, end="", flush=True)
    lines = [line for line in output.splitlines() if line.startswith("digest ")]
    if not lines:
        fail("the run printed no digest")
    return lines[-1].removeprefix("digest ")


def killed_in_the_middle_of_a_save(place: Place, run: str) -> None:
    """Start the job and kill it with SIGKILL while it writes the checkpoint of KILL_AT."""
    process = subprocess.Popen(train(place, run), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = False
    # Watch for the save after the one before: there is payload of it, but no manifest yet.
    while process.poll() is None:
        before = before or place.has(run, KILL_AT - 40)
        if before and place.half_written(run, KILL_AT):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    output, errors = process.communicate()
    sys.stderr.write(without_absl_logs(errors))
    print(output, end="")
    if process.returncode != -signal.SIGKILL:
        fail("the job ended before it could be killed")
    if place.has(run, KILL_AT):
        fail("the save was faster than the kill; run the demo again")
    left = ", ".join(place.half_written(run, KILL_AT))
    print(f"(killed with SIGKILL while saving step {KILL_AT}; half-written: {left})")


def fresh_output() -> Path:
    """Return an empty folder for all that the demo writes."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    return OUTPUT


def tell(place: Place) -> None:
    """Tell the whole story; any promise that does not hold ends it with exit 1."""
    started = time.monotonic()

    say("1. A run that is never interrupted, for comparison later: 200 steps, four kinds of state, saved every 40")
    reference = digest_of(trained(train(place, "demo/whole")))

    say("2. The same run again, killed with SIGKILL in the middle of a save")
    killed_in_the_middle_of_a_save(place, "demo/killed")

    say("3. What is there? The half-written save is not listed")
    ckptkit(place, "list", "demo/killed", "--format", "table")
    say("4. Is it whole? Every byte and every format is checked")
    ckptkit(place, "verify", "demo/killed", "--format", "table")
    say("5. How does it go on? The command is printed, and run as printed")
    command = ckptkit(place, "resume-cmd", "demo/killed").strip()
    resumed = digest_of(trained(command))

    say("6. Did it end where the run ended that was never interrupted?")
    print(f"never interrupted  {reference}\nkilled and resumed {resumed}")
    if resumed != reference:
        fail("the two runs ended differently")
    print("EQUAL: weights, optimizer, agent, generators and data order, to the last bit")

    say("7. One byte of the newest checkpoint flips")
    place.flip_one_byte("demo/killed", 200, "policy/policy.safetensors")
    ckptkit(place, "verify", "demo/killed", "--latest", "--format", "table", expect=1)
    say("8. resume-cmd falls back to the newest good one, and says why")
    if "demo/killed@160" not in ckptkit(place, "resume-cmd", "demo/killed"):
        fail("it did not fall back to step 160")

    say("9. Prune: a plan first")
    ckptkit(place, "prune", "demo/killed", "--keep-last", "2", "--format", "table")
    say("10. Carried out with --apply. The damaged one filled no slot")
    ckptkit(place, "prune", "demo/killed", "--keep-last", "2", "--apply", "--format", "table")
    say("11. And one comes back from the trash")
    ckptkit(place, "undelete", "demo/killed@40")
    ckptkit(place, "list", "demo/killed", "--format", "table")
    took = time.monotonic() - started
    print(f"\nDEMO PASSED in {took:.0f} s; the digests are equal. All of it is in {os.path.relpath(OUTPUT)}")


if __name__ == "__main__":
    tell(Folder(fresh_output() / "checkpoints"))
