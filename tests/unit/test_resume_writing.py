"""Written resume commands, read back by the programs that will read them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ckptkit.errors import UsageError
from ckptkit.resume import FORMATS, Command, format_command, redacted_arguments

NASTY = [
    *("", " ", "two words", "it's", '"', "''", "\\", "end\\", "$(touch pwned)", "$HOME", "${x}", "$$", "`touch pwned`"),
    *("a\nb", "\n", "tab\there", ";", "a;b", "&&", "|", ">", "-rf", "--", "*", "?", "[a-z]", "!", "!!", "~", "~root"),
    *(
        "#",
        "a=b",
        "=ls",
        "{a,b}",
        "{}",
        "%1",
        "^",
        "\x1b[31mred",
        "\x07",
        "\r",
        "\u202eevil",
        "\u200b",
        "é☃",
        "😀",
        "a'b\"c\\d",
    ),
    *("\x7f", "\x85", "\ufeff", "(", ")", "<(x)", "$'a'", "if", "#SBATCH --wrap=x", "- a: b", "null", "\ufffe"),
]
PRINT = [sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))"]
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_back_the_same_arguments(shell: str, tmp_path: Path) -> None:
    line = format_command(Command([*PRINT, *NASTY]))
    done = subprocess.run([shell, "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout) == NASTY
    assert list(tmp_path.iterdir()) == []


def test_a_shell_reads_each_nasty_argument_alone_and_in_a_file(tmp_path: Path) -> None:
    script = tmp_path / "all.sh"
    script.write_text(
        "".join(format_command(Command([*PRINT[:2], "import sys; print(ascii(sys.argv[1]))", n])) for n in NASTY[:24])
    )
    done = subprocess.run(["sh", script], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == [ascii(n) for n in NASTY[:24]]


@pytest.mark.parametrize("name", ["A=b", "if", "a b", "!", "time", "[x"])
def test_a_program_name_is_never_an_assignment_or_a_word_of_the_shell(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    for shell in SHELLS:
        line = format_command(Command([name]))
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run([shell, "-c", line], env=environment, capture_output=True, check=True)
        assert done.stdout == b"ran\n"


def test_plain_arguments_stay_readable() -> None:
    argv = ["python", "train.py", "--resume=/s/ppo/run1/step-00005000", "lr=1e-3", "a b"]
    assert format_command(Command(argv)) == "python train.py --resume=/s/ppo/run1/step-00005000 lr=1e-3 'a b'\n"


def test_argv0_gives_the_arguments_to_xargs() -> None:
    written = format_command(Command([*PRINT, *NASTY]), "argv0")
    done = subprocess.run(["xargs", "-0", "env"], input=written.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout) == NASTY


def test_json_carries_everything() -> None:
    argv = [*NASTY, "a\0b", os.fsdecode(b"/run\xff")]
    found = json.loads(format_command(Command(argv, cwd="/a b", env=["CUDA_VISIBLE_DEVICES"]), "json"))
    assert found["schema_version"] == 1
    assert found["argv"] == [*NASTY, "a\0b", {"base64": "L3J1bv8="}]
    assert (found["cwd"], found["env"]) == ("/a b", ["CUDA_VISIBLE_DEVICES"])


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "json"])
@pytest.mark.parametrize("bad", ["a\0b", os.fsdecode(b"/run\xff")])
def test_nul_and_bytes_that_are_no_text_are_refused_with_a_way_out(format: str, bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_command(Command(["x", bad]), format)  # type: ignore[arg-type]  # a loop variable is a str
    assert "use --format json" in caught.value.hint
    str(caught.value).encode("ascii")


def test_an_unknown_format_an_empty_command_and_a_bad_variable_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown format 'fish'"):
        format_command(Command(["x"]), "fish")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(UsageError, match="empty"):
        format_command(Command([]))
    with pytest.raises(UsageError, match="environment variable"):
        format_command(Command(["x"], env=["A\nB"]), "slurm")


def test_redacted_arguments_are_found() -> None:
    assert redacted_arguments(["python", "--token=***", "s3://***@bucket", "**"]) == [1, 2]


def test_the_slurm_script_is_bash_with_its_directives_first() -> None:
    written = format_command(
        Command([*PRINT, *NASTY], cwd="/a b\n#SBATCH --wrap=x", run="ppo/run 1\nx", env=["WANDB_MODE"], refresh=NASTY),
        "slurm",
    )
    subprocess.run(["bash", "-n"], input=written.encode(), check=True)
    lines = written.splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert head[0] == "#!/bin/bash"
    assert [line for line in head if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=ppo_run_1_x",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:USR1@120",
    ]


def run_script(tmp_path: Path, command: Command, **environment: str) -> subprocess.Popen[bytes]:
    script = tmp_path / "job.sh"
    script.write_text(format_command(command, "slurm"))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "scontrol").write_text('#!/bin/sh\necho "scontrol $@"\n')
    (tools / "scontrol").chmod(0o755)
    full = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"} | environment
    return subprocess.Popen(["bash", script], cwd=tmp_path, env=full, stdout=subprocess.PIPE)


def test_the_slurm_script_runs_the_command_with_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    program = (
        "import os, sys, json; print(json.dumps(sys.argv[1:])); sys.exit(os.path.basename(os.getcwd()) != 'a b' or 3)"
    )
    job = run_script(tmp_path, Command([sys.executable, "-c", program, *NASTY], cwd=str(tmp_path / "a b")))
    output, _ = job.communicate(timeout=60)
    assert json.loads(output) == NASTY
    assert job.returncode == 3


def test_the_slurm_script_asks_again_when_the_job_was_started_again(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"echo\0from\0a\nnew one\0")
    again = Command(["echo", "old"], refresh=["cat", str(tmp_path / "new")])
    output, _ = run_script(tmp_path, again, SLURM_RESTART_COUNT="1").communicate(timeout=60)
    assert output == b"from a\nnew one\n"


def test_the_slurm_script_stops_when_nothing_can_be_resumed_any_more(tmp_path: Path) -> None:
    job = run_script(tmp_path, Command(["echo", "old"], refresh=["false"]), SLURM_RESTART_COUNT="1")
    assert job.communicate(timeout=60)[0] == b""
    assert job.returncode == 4


def test_the_slurm_script_passes_the_warning_on_waits_and_queues_the_job_again(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        "def save(*_): time.sleep(0.2); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGUSR1, save)\n"
        "pathlib.Path('ready').touch()\n"
        "while True: time.sleep(0.05)\n"
    )
    job = run_script(tmp_path, Command([sys.executable, "-c", program]))
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)
    output, _ = job.communicate(timeout=60)
    assert output == b"saved\nscontrol requeue 7\n"
    assert job.returncode == 0


def kubernetes_expands(text: str) -> str:
    """Return what the kubelet makes of an argument when no variable is defined (expand.go: "$$" is "$")."""
    return re.sub(r"\$\$|\$\([^)]*\)", lambda m: "$" if m[0] == "$$" else f"VALUE OF {m[0]}", text)


def test_the_kubernetes_job_carries_the_same_arguments() -> None:
    command = Command(["train", *NASTY], cwd="/a b\n- x", run="PPO/run_1 é", env=["A"], refresh=["ckptkit", "a\nb: c"])
    written = format_command(command, "k8s")
    assert written.isascii()
    job = yaml.safe_load(written)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert [kubernetes_expands(a) for a in container["command"]] == ["train", *NASTY]
    assert container["workingDir"] == "/a b\n- x"
    assert job["metadata"]["generateName"] == "ppo-run-1-"


def test_the_kubernetes_job_ignores_evictions_and_gives_up_on_hopeless_exit_codes() -> None:
    job = yaml.safe_load(format_command(Command(["x"], run="///"), "k8s"))
    evicted, hopeless = job["spec"]["podFailurePolicy"]["rules"]
    assert (evicted["action"], evicted["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (hopeless["action"], hopeless["onExitCodes"]["values"]) == ("FailJob", [2, 5, 7])
    assert job["spec"]["backoffLimit"] == 6
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["metadata"]["generateName"] == "resume-"
