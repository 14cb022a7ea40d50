"""The command line on a store on S3: what goes wrong is two lines, and no secret is stored, printed or traced."""

import json
from pathlib import Path

import pytest
from command_line import ckptkit
from object_servers import KEY, SECRET, Server

from ckptkit.storage.objects.opening import open_objects


@pytest.fixture
def saved(s3: Server, tmp_path: Path) -> str:
    """A store with one checkpoint, saved from a file."""
    url = s3.place()
    (tmp_path / "weights.bin").write_bytes(b"some weights")
    done = ckptkit("--store", url, "save", "ppo/run1", "--step", "10", f"policy:files={tmp_path / 'weights.bin'}")
    assert done.returncode == 0, done.stderr
    return url


def test_what_is_saved_holds_no_credentials(saved: str) -> None:
    objects = open_objects(saved)
    content = b"".join(objects.read(info.key)[0] for info in objects.below(""))
    assert b"ppo/run1" in content
    assert SECRET.encode() not in content
    assert KEY.encode() not in content


def test_commands_print_the_store_without_credentials(saved: str) -> None:
    for command in (["list"], ["show", "ppo/run1@10"], ["verify"]):
        done = ckptkit("--store", saved, *command, "--format", "json")
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another-secret-0815", "does not accept the credentials"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "nothing answers there"),
        ("AWS_PROFILE", "absent", "there is no such profile"),
    ],
)
def test_what_goes_wrong_is_two_lines_and_its_trace_holds_no_secret(
    name: str, value: str, words: str, saved: str, tmp_path: Path
) -> None:
    for command in (["list"], ["save", "r", "--step", "1", f"policy:files={tmp_path / 'weights.bin'}"]):
        done = ckptkit("--debug", "--store", saved, *command, env={name: value})
        assert done.returncode == 10
        assert words in done.stderr
        assert "Traceback" in done.stderr
        assert len(done.stderr.rpartition("ckptkit: ")[2].splitlines()) == 2
        for secret in (SECRET, KEY, "another-secret-0815"):
            assert secret not in done.stderr + done.stdout


def test_doctor_tells_what_the_service_can_do(saved: str) -> None:
    done = ckptkit("doctor", "--store", saved, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = {
        finding["name"]: finding for finding in json.loads(done.stdout)["findings"] if finding["about"] == "service"
    }
    assert set(found) == {"clock", "create", "swap", "ranges", "checksums", "replace"}
    assert all(finding["state"] == "ok" for finding in found.values())
