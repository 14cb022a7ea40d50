"""Copies, a mirror and materialised checkpoints on a real S3 server, by the command line."""

from pathlib import Path
from typing import Any

import pytest
from command_line import inside
from object_servers import Server

from ckptkit import CheckpointStore

TEMPLATE = "python train.py --resume {path}"


def save(cwd: Path, step: int) -> Any:
    path = cwd / f"given-{step}" / "notes.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"step {step}")
    words = ("save", "r", "--step", str(step), f"notes:files={path.parent}", "--tag", "kept", "--resume", TEMPLATE)
    return inside(*words, cwd=cwd)


def steps(store: Path | str) -> list[int | None]:
    return [at.step for at in CheckpointStore(store).locate()]


@pytest.fixture
def url(s3: Server) -> str:
    return s3.place()


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    for step in (1, 2):
        assert save(tmp_path, step).returncode == 0
    return tmp_path


def test_a_store_goes_to_a_service_and_back(cwd: Path, url: str) -> None:
    done = inside("copy", "checkpoints", url, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert inside("verify", store=url, cwd=cwd).returncode == 0  # type: ignore[arg-type]  # a URL
    again = inside("copy", "checkpoints", url, cwd=cwd)
    assert again.stderr == "copied 0 checkpoints (0 B), 2 are there already\n"
    assert inside("copy", url, "back", cwd=cwd).returncode == 0
    for step in (1, 2):
        name = f"r/step-{step:08d}/manifest.json"
        assert (cwd / "back" / name).read_bytes() == (cwd / "checkpoints" / name).read_bytes()
    assert [one.tags for one in CheckpointStore(cwd / "back").list()] == [("kept",), ("kept",)]


def test_what_is_resumed_from_a_service_is_copied_to_this_machine(cwd: Path, url: str) -> None:
    assert inside("copy", "checkpoints", url, cwd=cwd).returncode == 0
    done = inside("--store", url, "resume-cmd", "r", cwd=cwd)
    assert (done.returncode, "--materialise DIR" in done.stderr) == (2, True)
    done = inside("--store", url, "resume-cmd", "r", "--materialise", "here", cwd=cwd)
    assert done.stdout.strip().endswith(f"--resume {cwd}/here/r/step-00000002/notes"), done.stderr
    assert inside("verify", store=cwd / "here", cwd=cwd).returncode == 0


def test_a_mirror_on_a_service_has_each_save_and_gives_it_back(cwd: Path, url: str) -> None:
    text = f"mirror:\n  url: {url}\n  retention: {{keep_last: 1}}\n"
    (cwd / "ckptkit.yaml").write_text(text)
    assert save(cwd, 3).returncode == 0
    assert steps(url) == [1, 2, 3]
    done = inside("prune", "--mirror", "--apply", cwd=cwd)
    assert (done.returncode, steps(url)) == (0, [3]), done.stderr
    (cwd / "new").mkdir()
    (cwd / "new" / "ckptkit.yaml").write_text(text)
    done = inside("resume-cmd", "r", cwd=cwd / "new")
    assert done.stdout.strip().endswith(f"--resume {cwd}/new/checkpoints/r/step-00000003/notes"), done.stderr


def test_a_bucket_that_is_not_there_costs_no_save(cwd: Path, s3: Server) -> None:
    (cwd / "ckptkit.yaml").write_text("mirror: s3://no-such-bucket/prefix\n")
    done = save(cwd, 3)
    assert (done.returncode, steps(cwd / "checkpoints")) == (3, [1, 2, 3])
    assert "not in the mirror" in done.stderr


def test_a_signature_lies_on_a_service_and_comes_back_with_the_checkpoint(cwd: Path, url: str) -> None:
    assert inside("keygen", "k", cwd=cwd).returncode == 0
    required = ("--require-signature", "k.pub")
    assert inside("copy", "checkpoints", url, cwd=cwd).returncode == 0
    on = ("--store", url)
    assert inside(*on, "sign", "r@1", "--key", "k", cwd=cwd).returncode == 0
    assert [len(one.signed_by) for one in CheckpointStore(url).list()] == [1, 0]
    assert inside(*on, "verify", "r@1", *required, cwd=cwd).returncode == 0
    assert inside(*on, "verify", *required, cwd=cwd).returncode == 5
    assert inside(*on, "prune", "r", "--keep-last", "1", "--apply", cwd=cwd).returncode == 0
    assert inside(*on, "undelete", "r@1", cwd=cwd).returncode == 0
    assert inside(*on, "verify", "r@1", *required, cwd=cwd).returncode == 0
    assert inside("copy", url, "back", cwd=cwd).returncode == 0
    done = inside("--store", "back", "verify", "r@1", *required, cwd=cwd)
    assert done.returncode == 0, done.stdout
