"""Signatures go from ckptkit to the OpenSSF's model-signing and back, by its own command."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import inside

from ckptkit import CheckpointStore, Files
from ckptkit.signing import key_files, oms
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.keyring import Keyring
from ckptkit.store import signing
from ckptkit.verification import Verifier

pytest.importorskip("model_signing")
REF = "ppo/run1@1"
NAME = "ppo/run1/step-00000001"


def model_signing(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(params=["blake3", pytest.param("sha256", marks=pytest.mark.matrix)])
def cwd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store whose files are digested by an algorithm, and a key that both know."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("a")
    (tmp_path / "notes/b.bin").write_bytes(bytes(3000))
    store = CheckpointStore(tmp_path / "checkpoints", digest=request.param)
    for step in (1, 2):
        store.save("ppo/run1", step, {"notes": Files(tmp_path / "notes", "files")})
    key_files.generate(tmp_path / "k", "p256")
    return tmp_path


def verifies(cwd: Path, folder: str, *more: str) -> bool:
    words = ("verify", "key", folder, "--signature", "model.sig", "--public_key", "k.pub", *more)
    done = model_signing(*words, cwd=cwd)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def test_model_signing_verifies_what_ckptkit_signed(cwd: Path) -> None:
    done = inside("sign", REF, "--key", "k", "--to", "model.sig", cwd=cwd)
    assert (done.returncode, done.stdout) == (0, "model.sig\n"), done.stderr
    assert verifies(cwd, f"checkpoints/{NAME}")
    assert inside("sign", REF, "--key", "k", cwd=cwd).returncode == 0
    assert verifies(cwd, f"checkpoints/{NAME}"), "what is noted beside the manifest may come and go"
    assert inside("restore", REF, "there", cwd=cwd).returncode == 0
    assert verifies(cwd, "there"), "a copy is the same"
    assert not verifies(cwd, "checkpoints/ppo/run1/step-00000002")
    (cwd / "there/notes/b.bin").write_bytes(bytes(2999) + b"\1")
    assert not verifies(cwd, "there")


def test_what_model_signing_signed_counts_once_it_was_taken_over(cwd: Path) -> None:
    words = ("sign", "key", f"checkpoints/{NAME}", "--signature", "model.sig", "--private_key", "k")
    assert model_signing(*words, cwd=cwd).returncode == 0
    required = ("verify", REF, "--require-signature", "k.pub")
    assert inside(*required, cwd=cwd).returncode == 5
    done = inside("sign", REF, "--from", "model.sig", "--key", "k.pub", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, f"{REF} is signed by k\n")
    assert inside(*required, cwd=cwd).returncode == 0
    assert verifies(cwd, f"checkpoints/{NAME}", "--ignore_unsigned_files"), "and still there, too"


def test_a_bundle_of_another_checkpoint_key_or_kind_is_not_taken_over(cwd: Path) -> None:
    key_files.generate(cwd / "other", "p256")
    assert inside("sign", REF, "--key", "k", "--to", "model.sig", cwd=cwd).returncode == 0
    for ref, key, reason in (
        ("ppo/run1@2", "k.pub", "ppo/run1@2: the signature is about another manifest.json"),
        (REF, "other.pub", "is signed by none of the keys given"),
    ):
        done = inside("sign", ref, "--from", "model.sig", "--key", key, cwd=cwd)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
    data = (cwd / "model.sig").read_bytes()
    changed = json.loads(data)
    for text in (b"", b"{}", data[:-1], data + b" x", data.replace(b"v0.3", b"v0.1"), json.dumps([changed]).encode()):
        (cwd / "model.sig").write_bytes(text)
        done = inside("sign", REF, "--from", "model.sig", "--key", "k.pub", cwd=cwd)
        assert done.returncode == 2, text[:80]
        assert done.stderr.startswith("ckptkit: "), done.stderr
    assert not (cwd / f"checkpoints/{NAME}/signatures.json").exists()


@pytest.mark.parametrize("part", ["payload", "sig"])
def test_no_byte_of_a_bundle_that_was_taken_over_can_be_changed(tmp_path: Path, part: str) -> None:
    """Each letter of what it holds, in the file beside the manifest."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("a")
    store = CheckpointStore(tmp_path / "store")
    at = store.save("r", 1, {"notes": Files(tmp_path / "notes", "files")}).at
    key = key_files.generate(tmp_path / "k", "p256")
    ring = Keyring.of([tmp_path / "k.pub"])
    signing.take_over(at, signing.bundle(at, key), ring)
    verifier, path = Verifier("presence", signers=ring), at.folder / "signatures.json"
    assert verifier.verify(at).signed_by == ("k",)
    value = json.loads(path.read_bytes())["signatures"][0]
    text = value["payload"] if part == "payload" else value["signatures"][0]["sig"]
    data, accepted = path.read_bytes(), []
    start = data.index(text.encode())
    for place in range(start, start + len(text)):
        other = b"A" if data[place : place + 1] != b"A" else b"B"
        path.write_bytes(data[:place] + other + data[place + 1 :])
        if verifier.verify(at).good:
            accepted.append(place - start)
    assert accepted == []
    assert len(text) >= 90


def test_model_signing_knows_no_ed25519(cwd: Path) -> None:
    key_files.generate(cwd / "ed")
    done = inside("sign", REF, "--key", "ed", "--to", "model.sig", cwd=cwd)
    assert (done.returncode, "verifies no signature of an Ed25519 key" in done.stderr) == (2, True)
    assert not (cwd / "model.sig").exists()


def test_a_bundle_is_never_written_into_the_store(cwd: Path) -> None:
    done = inside("sign", REF, "--key", "k", "--to", f"checkpoints/{NAME}/model.sig", cwd=cwd)
    assert done.returncode == 5
    assert not (cwd / f"checkpoints/{NAME}/model.sig").exists()


def test_a_statement_that_lists_the_manifest_by_another_name_does_not_count(tmp_path: Path) -> None:
    key = key_files.generate(tmp_path / "k", "p256")
    data = b"{}"
    for name, counts in (("manifest.json", True), ("step-1/manifest.json", True), ("x.manifest.json", False)):
        one: Envelope = oms.signed("m", {name: hashlib.sha256(data).hexdigest()}, [], key)
        assert (oms.objection(one, "manifest.json", data) is None) is counts
        assert oms.objection(one, "manifest.json", data + b" ") is not None
