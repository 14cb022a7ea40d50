"""The story of a killed run, told on the screen with the real command line: python examples/demo/demo.py."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from ckptkit.parting import without_absl_logs

HERE = Path(__file__).resolve().parent
OUTPUT = Path("demo-output").resolve()
STORE = OUTPUT / "checkpoints"
CKPTKIT = Path(sys.executable).with_name("ckptkit")
KILL_AT = 120  # the job dies in the middle of this save


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


def ckptkit(*arguments: str, expect: int = 0) -> str:
    """Run the real command line, show it and its output, and return its stdout."""
    print(f"$ ckptkit {' '.join(arguments)}", flush=True)
    done = subprocess.run([CKPTKIT, "--store", STORE, *arguments], stdout=subprocess.PIPE, text=True)
    shown = done.stdout if len(done.stdout.splitlines()) < 30 else "\n".join(done.stdout.splitlines()[:30]) + "\n..."
    print(shown, end="" if shown.endswith("\n") else "\n", flush=True)
    if done.returncode != expect:
        fail(f"ckptkit {arguments[0]} ended with {done.returncode}, not {expect}")
    return done.stdout


def train(run: str) -> list[str]:
    """Return the command line of the training job."""
    return [sys.executable, str(HERE / "train.py"), "--store", str(STORE), "--run", run]


def digest_of(output: str) -> str:
    """Show a run's output and return the digest it ended with."""
    print(output, end="", flush=True)
    lines = [line for line in output.splitlines() if line.startswith("digest ")]
    if not lines:
        fail("the run printed no digest")
    return lines[-1].removeprefix("digest ")


def killed_in_the_middle_of_a_save(run: str) -> None:
    """Start the job and kill it with SIGKILL while it writes the checkpoint of KILL_AT."""
    process = subprocess.Popen(train(run), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    previous, staging = STORE / run / f"step-{KILL_AT - 40:08d}", STORE / run / ".ckptkit" / "staging"
    # Watch for the staging folder of the save after `previous`: it holds payload, but no manifest yet.
    while process.poll() is None:
        if previous.exists() and any(staging.glob("*/checkpoint/*/*")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    output, errors = process.communicate()
    sys.stderr.write(without_absl_logs(errors))
    print(output, end="")
    if process.returncode != -signal.SIGKILL:
        fail("the job ended before it could be killed")
    if (STORE / run / f"step-{KILL_AT:08d}").exists():
        fail("the save was faster than the kill; run the demo again")
    left = sorted(path.relative_to(STORE) for path in staging.glob("*/checkpoint/*/*"))
    print(f"(killed with SIGKILL while saving step {KILL_AT}; half-written: {', '.join(p.name for p in left)})")


def flip_one_byte(path: Path) -> None:
    """Change one bit of the file, as a dying disk does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def main() -> None:
    """Tell the whole story; any promise that does not hold ends it with exit 1."""
    started = time.monotonic()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()

    say("1. A run that is never interrupted, for comparison later: 200 steps, four kinds of state, saved every 40")
    reference = digest_of(trained(train("demo/whole")))

    say("2. The same run again, killed with SIGKILL in the middle of a save")
    killed_in_the_middle_of_a_save("demo/killed")

    say("3. What is there? The half-written save is not listed")
    ckptkit("list", "demo/killed", "--format", "table")
    say("4. Is it whole? Every byte and every format is checked")
    ckptkit("verify", "demo/killed", "--format", "table")
    say("5. How does it go on? The command is printed, and run as printed")
    command = ckptkit("resume-cmd", "demo/killed").strip()
    resumed = digest_of(trained(command))

    say("6. Did it end where the run ended that was never interrupted?")
    print(f"never interrupted  {reference}\nkilled and resumed {resumed}")
    if resumed != reference:
        fail("the two runs ended differently")
    print("EQUAL: weights, optimizer, agent, generators and data order, to the last bit")

    say("7. One byte of the newest checkpoint flips")
    flip_one_byte(STORE / "demo/killed/step-00000200/policy/policy.safetensors")
    ckptkit("verify", "demo/killed", "--latest", "--format", "table", expect=1)
    say("8. resume-cmd falls back to the newest good one, and says why")
    if "demo/killed@160" not in ckptkit("resume-cmd", "demo/killed"):
        fail("it did not fall back to step 160")

    say("9. Prune: a plan first")
    ckptkit("prune", "demo/killed", "--keep-last", "2", "--format", "table")
    say("10. Carried out with --apply. The damaged one filled no slot")
    ckptkit("prune", "demo/killed", "--keep-last", "2", "--apply", "--format", "table")
    say("11. And one comes back from the trash")
    ckptkit("undelete", "demo/killed@40")
    ckptkit("list", "demo/killed", "--format", "table")
    took = time.monotonic() - started
    print(f"\nDEMO PASSED in {took:.0f} s; the digests are equal. All of it is in {os.path.relpath(OUTPUT)}")


if __name__ == "__main__":
    main()
