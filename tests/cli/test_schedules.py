"""What the page about schedules shows is run: crontab lines by a shell, units by systemd, rules by the command."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import inside

PAGE = Path(__file__).parents[2] / "docs/how-to/verify-on-a-schedule.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


@pytest.mark.parametrize("text", blocks("text"))
def test_a_line_of_a_crontab_runs_as_cron_runs_it(text: str, store: Path, tmp_path: Path) -> None:
    line = text.splitlines()[-1].split(None, 5)[5]
    assert "%" not in line.replace("\\%", ""), "cron ends a line there"
    program = tmp_path / "ckptkit"
    words = shlex.join([sys.executable, "-m", "ckptkit.cli.main", "--store", str(store)])
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    for shown, here in (
        ("/data/training", tmp_path),
        ("/opt/ckptkit/bin", tmp_path),
        ("/var/lib/node_exporter/textfile_collector", tmp_path),
    ):
        line = line.replace(shown, shlex.quote(str(here)))
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a/run@3" in done.stdout


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    service, timer = blocks("ini")
    service = service.replace("/opt/ckptkit/bin/ckptkit", "/bin/true").replace(
        "OnFailure=notify-admin@%n.service\n", ""
    )
    (tmp_path / "ckptkit-verify.service").write_text(service)
    (tmp_path / "ckptkit-verify.timer").write_text(timer)
    names = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_configuration_finds_the_run_that_is_not_there(store: Path) -> None:
    (store.parent / "ckptkit.yaml").write_text(blocks("yaml")[0])
    done = inside("verify", store=store, cwd=store.parent)
    assert done.returncode == 1
    assert done.stdout.count("prod/policy\tnot-met") == 3


def test_alarms_ask_for_metrics_that_are_written(store: Path, tmp_path: Path) -> None:
    alarms = next(found for found in map(yaml.safe_load, blocks("yaml")) if "groups" in found)
    asked = {name for rule in alarms["groups"][0]["rules"] for name in re.findall(r"ckptkit_\w+", rule["expr"])}
    done = inside("verify", "--require", "age<1h", "--metrics", tmp_path / "m.prom", store=store)
    assert done.returncode == 0, done.stderr
    written = set(re.findall(r"^(ckptkit_\w+)", (tmp_path / "m.prom").read_text(), re.MULTILINE))
    assert asked <= written
    assert written | {"ckptkit_verify_findings"} == set(
        re.findall(r"`(ckptkit_\w+)(?:\{[^`]*\})?` \|", PAGE.read_text())
    )
