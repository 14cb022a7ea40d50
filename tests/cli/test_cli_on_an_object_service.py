"""Every command on a store that is no folder: the same words and codes, no path of this machine, no secret."""

import json
import shlex
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
from object_servers import Server

from ckptkit import CheckpointStore, Files
from ckptkit.cli.built_in import NAMES
from tests.cli.conftest import write_rng
from tests.command_line import inside as ckptkit
from tests.command_line import refused

RUN = "ppo/run1"
RESUME = ["python", "train.py", "--store", "{store}", "--resume", "{run}@{step}"]
# What is typed, what it ends with, and a word that is shown.
TYPED = {
    "adopt": ("adopt --dry-run", 4, "no checkpoint of a known trainer is here"),
    "backends": ("backends", 0, "numpy-rng"),
    "config": ("config show", 0, "memory://"),
    "copy": ("copy {url} {url}-copy", 0, "copied 3 checkpoints"),
    "diff": ("diff ppo/run1@1 ppo/run1@2", 0, "w/weights.npy"),
    "doctor": ("doctor", 0, "an object is made only where there is none"),
    "find": ("find --tensor *", 0, "[1000]"),
    "index": ("index --rebuild", 0, "/ppo/run1/.ckptkit/index.json"),
    "keygen": ("keygen a.key", 0, "a.key.pub"),
    "list": ("list", 0, "ppo/run1"),
    "pin": ("pin ppo/run1@1", 0, "pinned ppo/run1@1"),
    "prune": ("prune --keep-last 1", 0, "plan: keep 1"),
    "restore": ("restore ppo/run1@2 restored", 0, "restored ppo/run1@2"),
    "resume-cmd": ("resume-cmd ppo/run1", 0, "python train.py"),
    "save": ("save other --step 1 rng=rng.json", 0, "/other/step-00000001"),
    "show": ("show ppo/run1@2", 0, "w/weights.npy"),
    "sign": ("sign ppo/run1@2", 2, "--key is missing: which private key?"),
    "tag": ("tag ppo/run1@2 good", 0, "tagged ppo/run1@2 good"),
    "undelete": ("undelete ppo/run1@77", 4, "is not in the trash"),
    "unpin": ("unpin ppo/run1@1", 0, "unpinned ppo/run1@1"),
    "verify": ("verify", 0, "verified 3 checkpoints on level format: all good"),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store in a service, with three checkpoints; its files lie nowhere else."""
    where = f"memory://{uuid.uuid4().hex}/store"
    store = CheckpointStore(where)
    for step in (1, 2, 3):
        rng = write_rng(tmp_path / "written" / "rng.json", step)
        weights = tmp_path / "written" / "weights.npy"
        np.save(weights, np.random.default_rng(step).normal(size=1000))
        store.save(
            RUN, step, {"rng": rng, "w": Files(weights, "files")}, metrics={"loss": 1.0 / step}, resume=RESUME, cwd="/"
        )
    write_rng(tmp_path / "here" / "rng.json", 9)
    return where


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def typed(url: str, here: Path, *words: str) -> tuple[int, str]:
    done = ckptkit("--store", url, *words, cwd=here)
    return done.returncode, done.stdout + done.stderr


def damage_the_newest(url: str) -> None:
    """Change a bit of its weights, past the store."""
    content = fsspec.filesystem("memory").store
    keys = [key for key in content if key.startswith(url.removeprefix("memory:/")) and key.endswith("weights.npy")]
    with content[max(keys)].getbuffer() as data:
        data[-1] ^= 1


@pytest.mark.parametrize("command", NAMES)
def test_every_command_says_what_it_says_of_a_folder(url: str, here: Path, command: str) -> None:
    line, code, shown = TYPED[command]
    words = shlex.split(line.format(url=url))
    done = ckptkit(*words, cwd=here) if command == "copy" else ckptkit("--store", url, *words, cwd=here)
    assert done.returncode == code, done.stdout + done.stderr
    assert shown in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "memory:/store" not in (done.stdout + done.stderr).replace("://", ""), "a path was made of the URL"


def test_what_was_removed_comes_back(url: str, here: Path) -> None:
    assert typed(url, here, "prune", "--keep-last", "1", "--apply")[0] == 0
    done = ckptkit("--store", url, "list", "--trash", "--format", "json", cwd=here)
    removed = json.loads(done.stdout)["removed"]
    assert [one["ref"] for one in removed] == [f"{RUN}@2", f"{RUN}@1"]
    for one in removed:
        back = ckptkit(*shlex.split(one["undelete"])[1:], cwd=here)
        assert back.returncode == 0, back.stderr
    assert len(ckptkit("--store", url, "list", "--format", "ref", cwd=here).stdout.split()) == 3


def test_runs_are_judged_by_rules(url: str, here: Path) -> None:
    words = ["--store", url, "verify", "--since", "1h", "--require", "count>=4", "--metrics", "m.prom"]
    done = ckptkit(*words, cwd=here)
    assert done.returncode == 1, done.stderr
    assert "count>=4 is not met: 3 of 3 that were checked are good" in done.stdout
    assert 'rule_met{run="ppo/run1",rule="count>=4"} 0' in (here / "m.prom").read_text()


@pytest.mark.parametrize("inner", ["", "/manifest.json", "/"])
def test_the_url_of_a_checkpoint_names_it_without_a_store(url: str, here: Path, inner: str) -> None:
    path = ckptkit("--store", url, "list", "--limit", "1", "--format", "path", cwd=here).stdout.strip()
    done = ckptkit("list", "--format", "ref", path + inner, cwd=here)
    assert done.stdout.split() == [f"{RUN}@3"], done.stderr


@pytest.mark.parametrize("inner", ["", "/", "/ppo", "/ppo/run1"])
def test_the_url_of_a_store_or_run_names_all_that_is_there(url: str, here: Path, inner: str) -> None:
    done = ckptkit("list", "--format", "ref", url + inner, cwd=here)
    assert done.stdout.split() == [f"{RUN}@{step}" for step in (1, 2, 3)], done.stderr
    assert ckptkit("verify", url + inner, cwd=here).returncode == 0


def test_a_url_takes_a_step_and_one_of_the_trash_comes_back(url: str, here: Path) -> None:
    assert ckptkit("list", "--format", "ref", f"{url}/{RUN}@2", cwd=here).stdout.split() == [f"{RUN}@2"]
    typed(url, here, "prune", "--keep-last", "1", "--apply")
    paths = ckptkit("list", url, "--trash", "--format", "path", cwd=here).stdout.split()
    assert [ckptkit("undelete", path, cwd=here).returncode for path in paths] == [0, 0]


def test_a_url_of_nothing_and_one_in_another_store_are_told(url: str, here: Path) -> None:
    refused(ckptkit("show", f"{url}/{RUN}/step-00000009", cwd=here), 4, "there is nothing at this path")
    refused(ckptkit("--store", url, "show", f"{url}-2/{RUN}/step-00000003", cwd=here), 4, "there is nothing")
    assert CheckpointStore(url).verify([f"{url}/{RUN}/step-00000003"]).checkpoints[0].at.ref == f"{RUN}@3"


@pytest.mark.parametrize(
    "line",
    [
        "restore ppo/run1 s3://bucket/there",
        "resume-cmd ppo/run1 --materialise s3://bucket/there",
        "verify --junit s3://bucket/there.xml",
        "save r --step 1 w=s3://bucket/there.npy",
        "adopt . --manifests store",
    ],
)
def test_a_url_is_no_path_of_this_machine(url: str, here: Path, line: str) -> None:
    Path(here, "model.npy").write_bytes((here.parent / "written" / "weights.npy").read_bytes())
    before = sorted(here.rglob("*"))
    refused(ckptkit("--store", url, *line.split(), cwd=here), 2, "is a URL, and this has to be a path of this machine")
    assert sorted(here.rglob("*")) == before


def test_a_command_that_names_a_folder_is_printed_for_a_copy_of_it(url: str, here: Path) -> None:
    template = ("--template", "python train.py --resume {path}")
    refused(ckptkit("--store", url, "resume-cmd", RUN, *template, cwd=here), 2, "has no folder on this machine")
    done = ckptkit("--store", url, "resume-cmd", RUN, "--materialise", "near", *template, cwd=here)
    folder = Path(shlex.split(done.stdout)[-1])
    assert folder == here / "near" / RUN / "step-00000003"
    assert (folder / "w" / "weights.npy").is_file()


def test_damage_is_found_and_the_resume_falls_back(url: str, here: Path) -> None:
    damage_the_newest(url)
    done = ckptkit("--store", url, "verify", "--latest", "--format", "table", "--no-cache", cwd=here)
    assert done.returncode == 1
    assert "content differs from what was saved" in done.stdout
    done = ckptkit("--store", url, "resume-cmd", RUN, cwd=here)
    assert shlex.split(done.stdout)[-1] == f"{RUN}@2"
    assert f"skipped {RUN}@3: " in done.stderr
    refused(ckptkit("--store", url, "restore", f"{RUN}@3", "restored", cwd=here), 1, "content differs")
    assert not (here / "restored").exists()


@pytest.mark.parametrize("service", ["gcs", "azure", "sftp"])
def test_the_other_services_are_called_alike(request: pytest.FixtureRequest, here: Path, service: str) -> None:
    url = request.getfixturevalue(service).place()
    here.mkdir()
    write_rng(here / "rng.json")
    examined = ckptkit("--store", url, "doctor", cwd=here)
    assert examined.returncode == 0, examined.stdout
    for line in ("save r --step 1 rng=rng.json", "verify", "show r@1", "restore r@1 out", "pin r@1", "unpin r@1"):
        done = ckptkit("--store", url, *line.split(), cwd=here)
        assert done.returncode == 0, done.stderr
    assert ckptkit("list", f"{url}/r", "--format", "ref", cwd=here).stdout.split() == ["r@1"]
    assert ckptkit("copy", url, "near", cwd=here).returncode == 0


@pytest.mark.parametrize(
    "words", ["s3://key:SECRET@bucket/x", "s3://bucket/x?token=SECRET", "gs://bucket/x#SECRET", "az://SECRET:x@c/p"]
)
@pytest.mark.parametrize("command", ["list", "save r --step 1 rng=rng.json", "show s3://key:SECRET@bucket/x/r@1"])
def test_what_a_url_may_not_hold_is_not_repeated(here: Path, words: str, command: str) -> None:
    here.mkdir()
    write_rng(here / "rng.json")
    done = ckptkit("--debug", "--store", words, *command.split(), cwd=here)
    assert done.returncode == 10
    told = [line for line in done.stderr.splitlines() if line.startswith(("ckptkit: ", "  "))]
    assert not [line for line in told if "SECRET" in line]


@pytest.mark.parametrize("command", ["list", "verify", "save r --step 1 rng=rng.json", "prune --keep-last 1 --apply"])
def test_no_secret_is_shown_of_a_service_that_refuses(
    s3: Server, monkeypatch: pytest.MonkeyPatch, here: Path, command: str
) -> None:
    here.mkdir()
    write_rng(here / "rng.json")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrongsecret4711")
    done = ckptkit("--debug", "--store", s3.place(), *command.split(), cwd=here)
    assert done.returncode == 10, done.stderr
    shown = done.stdout + done.stderr
    assert not [word for word in ("wrongsecret", "Signature=", s3.environment["AWS_ACCESS_KEY_ID"]) if word in shown]
    assert "the service does not accept the credentials" in shown or "may not do this here" in shown
