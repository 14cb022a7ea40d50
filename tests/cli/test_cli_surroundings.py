"""The program where it is poor: no terminal, no HOME, LANG=C, a reader that leaves early, closed streams, odd names."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from command_line import PROGRAM, ckptkit, inside

POOR: dict[str, dict[str, str | None]] = {
    "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": None},
    "ASCII only": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None},
    "no HOME": {"HOME": None, "USER": None},
    "an empty environment": dict.fromkeys([k for k in os.environ if k not in ("PATH", "LD_LIBRARY_PATH")]),
    "TERM=dumb": {"TERM": "dumb", "NO_COLOR": "1"},
    "a narrow terminal": {"COLUMNS": "20"},
}


@pytest.fixture
def odd_store(store: Path) -> Path:
    """A run with a name beyond ASCII, and a stray file whose name is no text at all."""
    (store / "a" / "run").rename(store / "a" / "größe-模型")
    checkpoint = store / "a" / "größe-模型" / "step-00000002"
    Path(os.fsdecode(os.fsencode(checkpoint) + b"/bad\xff\x1b[31m")).write_text("x")
    return store


@pytest.mark.parametrize("where", POOR)
def test_odd_names_end_no_command(where: str, odd_store: Path) -> None:
    for arguments, code in (
        (["list", "--format", "table"], 0),
        (["verify", "--format", "json"], 1),
        # what no encoding can say cannot be asked for; it is refused as any other name that is none
        (["resume-cmd", "a/größe-模型"], 2 if where == "ASCII only" else 0),
    ):
        done = ckptkit(*arguments, store=odd_store, env=POOR[where])
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout
        if "json" in arguments:
            assert json.loads(done.stdout)["schema_version"] == "1.0"


def shell(line: str, store: Path) -> subprocess.CompletedProcess[str]:
    program = " ".join(f"'{word}'" for word in [*PROGRAM, "--store", str(store)])
    line = line.replace("CKPTKIT", program)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)


def test_a_reader_that_leaves_early_is_no_error_message(store: Path) -> None:
    done = shell("CKPTKIT list | head -1; echo ${PIPESTATUS[0]}", store)
    assert done.stdout.splitlines()[0].startswith("RUN\t")
    assert done.stderr == ""
    for command in ("list --format json", "show a/run@1", "verify", "--help", "prune --keep-last 1"):
        done = shell(f"CKPTKIT {command} | true; echo ${{PIPESTATUS[0]}}", store)
        assert int(done.stdout.split()[-1]) in (0, 141), command
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "0<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_no_result(closed: str, store: Path) -> None:
    done = shell(f"CKPTKIT verify {closed}", store)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    assert shell(f"CKPTKIT show none {closed}", store).returncode == 4


def test_evaluating_nothing_does_no_harm(store: Path) -> None:
    done = shell('set -e; eval "$(CKPTKIT resume-cmd none)"; echo alive', store)
    assert done.stdout == "alive\n"


def test_a_table_on_a_terminal_and_whole_lines_in_a_pipe(store: Path) -> None:
    wide = {"COLUMNS": "40"}
    assert all(len(line.split("\t")) == 9 for line in ckptkit("list", store=store, env=wide).stdout.splitlines())
    master, slave = pty.openpty()
    done = subprocess.run([*PROGRAM, "--store", str(store), "list"], stdout=slave, stderr=subprocess.PIPE, timeout=60)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0
    assert "\t" not in shown
    assert "a/run" in shown


def test_no_colour_means_none(store: Path) -> None:
    master, slave = pty.openpty()
    variables = os.environ | {"NO_COLOR": "1", "TERM": "xterm-256color"}
    subprocess.run(
        [*PROGRAM, "--store", str(store), "verify"], stdout=slave, stderr=subprocess.DEVNULL, env=variables, timeout=60
    )
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert "\x1b[3" not in shown


def test_long_values_are_never_cut_in_a_pipe(store: Path, rng_file: Path) -> None:
    metrics = [f"--metric=a_metric_with_a_long_name_{n}={n}" for n in range(40)]
    assert inside("save", "long", "--step", "1", f"rng={rng_file}", *metrics, store=store).returncode == 0
    line = ckptkit("list", "long", store=store).stdout.splitlines()[1]
    assert line.split("\t")[7].count("=") == 40
    assert "..." not in line
    assert "…" not in line


def test_a_current_folder_that_is_gone(store: Path) -> None:
    done = shell("mkdir /tmp/gone-$$; cd /tmp/gone-$$; rmdir /tmp/gone-$$; CKPTKIT list", store)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 10)
