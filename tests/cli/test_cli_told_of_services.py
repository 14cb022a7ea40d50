"""What people are told of a store on a service that a store in a folder need not say."""

import json
import uuid
from pathlib import Path

import pytest
from command_line import inside

from ckptkit.storage.objects import s3
from ckptkit.storage.objects.opening import open_objects
from tests.cli.conftest import write_rng

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


def test_a_save_into_memory_says_that_it_ends_with_the_command(url: str, tmp_path: Path) -> None:
    rng = write_rng(tmp_path / "rng.json")
    done = inside("--store", url, "save", "run", "--step", "1", f"rng={rng}")
    assert f"{url} ends with this command" in done.stderr
    assert "ends with" not in inside("--store", tmp_path / "s", "save", "run", "--step", "1", f"rng={rng}").stderr


def test_a_template_that_names_a_path_is_told_how_it_is_filled(url: str, tmp_path: Path) -> None:
    rng = write_rng(tmp_path / "rng.json")
    done = inside("--store", url, "save", "r", "--step", "1", f"rng={rng}", "--resume", "python train.py {path}")
    assert "names {path}" in done.stderr
    assert "takes --materialise DIR, which copies it here" in done.stderr


def test_doctor_looks_at_the_mirror_too(tmp_path: Path, url: str) -> None:
    (tmp_path / "ckptkit.yaml").write_text(f"store: here\nmirror: {url}\n")
    found = json.loads(inside("doctor", "--format", "json", cwd=tmp_path).stdout)["findings"]
    assert {"mirror: store", "mirror: service"} <= {one["about"] for one in found}


def test_uploads_that_nobody_can_look_for_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("obstore")  # not with the lowest versions
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = s3.importlib.util.find_spec
    for installed, said in ((False, True), (True, False)):
        there = object() if installed else None
        monkeypatch.setattr(
            s3.importlib.util, "find_spec", lambda name, *a, it=there: it if name == "boto3" else found(name, *a)
        )
        unseen = getattr(open_objects("s3://bucket/prefix"), "unseen", "")
        assert (unseen is not None) is said
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert getattr(open_objects("s3://bucket/prefix"), "unseen", "") is None
