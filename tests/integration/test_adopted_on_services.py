"""What real trainers wrote, uploaded as it is to a real service, and adopted where it lies there."""

import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, inside
from foreign_files import hugging_face
from object_servers import Server

from ckptkit import CheckpointStore, CkptkitError
from ckptkit.storage.objects.opening import open_objects
from ckptkit.store.stranger_item import Wrote

TRAINERS = """
import sys
from pathlib import Path
import torch
from stable_baselines3 import PPO
sys.path.insert(0, sys.argv[2])
import tiny_trainers
out = Path(sys.argv[1])
tiny_trainers.hf(str(out / "bert"), None)
agent = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=1, device="cpu")
agent.learn(32).save(out / "ppo/rl_model_32_steps.zip")
(out / "plain").mkdir()
torch.save({"step": 7, "model": torch.nn.Linear(3, 2).state_dict()}, out / "plain/model_7.pt")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Hugging Face Trainer, Stable-Baselines3 and ``torch.save`` write."""
    out = tmp_path_factory.mktemp("trainers") / "out"
    plugins = Path(__file__).parent.parent / "plugins"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINERS, str(out), str(plugins)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return out


def upload(folder: Path, url: str) -> dict[str, str]:
    """Put what is in a folder to a URL as it is, and return the versions there."""
    objects = open_objects(url)
    for path in folder.rglob("*"):
        if path.is_file():
            objects.upload(path.relative_to(folder).as_posix(), path)
    return versions(url)


def versions(url: str) -> dict[str, str]:
    """Return the version of each object of the trainers' by its key."""
    found = {info.key: info.version for info in open_objects(url).below("")}
    return {key: found[key] for key in found if ".ckptkit/" not in key and not key.endswith(".manifest.json")}


@pytest.mark.matrix
@pytest.mark.parametrize("service", ["s3", "sftp"])
def test_real_trainers_files_are_adopted_where_they_lie(
    request: pytest.FixtureRequest, written: Path, tmp_path: Path, service: str
) -> None:
    url = request.getfixturevalue(service).place()
    before = upload(written, url)
    dry = inside("adopt", url, "--dry-run", "--format", "json")
    assert {info.key: info.version for info in open_objects(url).below("")} == before, "nothing was written"
    done = inside("adopt", url, "--format", "json")
    assert (dry.returncode, done.returncode) == (0, 0), done.stderr
    found = {one["path"].removeprefix(f"{url}/"): one for one in json.loads(done.stdout)["checkpoints"]}
    wanted = {
        "bert/checkpoint-4": ("hf_trainer", 4),
        "bert/checkpoint-6": ("hf_trainer", 6),
        "ppo/rl_model_32_steps.zip": ("sb3_callback", 32),
        "plain/model_7.pt": ("torch_file", 7),
    }
    assert {path: (one["trainer"], one["step"]) for path, one in found.items()} == wanted
    assert {one["action"] for one in found.values()} == {"adopted"}
    assert {one["action"] for one in json.loads(dry.stdout)["checkpoints"]} == {"new"}
    assert versions(url) == before, "no file was moved or written again"
    assert inside("--store", url, "verify").returncode == 0
    line = inside("--store", url, "resume-cmd", "bert", "--materialise", tmp_path / "near").stdout
    assert "--resume_from_checkpoint" in line
    folder = Path(next(word for word in shlex.split(line) if word.endswith("checkpoint-6")))
    for path in folder.iterdir():
        assert path.read_bytes() == (written / "bert/checkpoint-6" / path.name).read_bytes()
    assert inside("--store", url, "prune", "bert", "--keep-last", "1", "--apply").returncode == 0
    assert not any(key.startswith("bert/checkpoint-4/") for key in versions(url))
    assert inside("--store", url, "undelete", "bert@4").returncode == 0
    assert inside("--store", url, "verify").returncode == 0
    assert versions(url).keys() == before.keys()


def _adopt(url: str, start: Any, codes: Any) -> None:
    store = CheckpointStore(url)
    start.wait()
    try:
        done = store.adopt("run", "checkpoint-4", 4, {"model": Wrote("checkpoint-4")})
        codes.put((0, done.how))
    except CkptkitError as error:
        codes.put((error.exit_code, error.message))


def test_of_several_that_adopt_one_checkpoint_at_once_one_writes_its_manifest(s3: Server, tmp_path: Path) -> None:
    url = s3.place()
    hugging_face(tmp_path / "run", 4)
    upload(tmp_path, url)
    context = multiprocessing.get_context("spawn")
    start, codes = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_adopt, args=(url, start, codes)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = sorted(codes.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert [how for code, how in found if code == 0].count("new") == 1, found
    assert inside("--store", url, "verify", "run@4").returncode == 0


def test_an_adoption_that_is_killed_anywhere_leaves_nothing_half(s3: Server, tmp_path: Path) -> None:
    for step in (4, 8, 12):
        hugging_face(tmp_path / "out/run", step)
    url = s3.place()
    before = upload(tmp_path / "out", url)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for number, delay in enumerate((0.35, 0.5, 0.6, 0.7)):
        sign = signal.SIGINT if number == 1 else signal.SIGKILL
        process = subprocess.Popen(
            [*PROGRAM, "adopt", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        time.sleep(delay)
        process.send_signal(sign)
        process.wait(60)
        assert versions(url) == before
        listed = inside("--store", url, "verify")
        assert listed.returncode in (0, 4), listed.stderr
    assert inside("adopt", url).returncode == 0
    assert inside("--store", url, "verify").returncode == 0
