"""A signature is true for one checkpoint in one place, goes along wherever that goes, and is asked for by name."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from service_in_memory import ServiceInMemory

from ckptkit import CheckpointStore, DamagedError, Files, PartlyDoneError, RetentionPolicy, StoreReader
from ckptkit.catalog import signatures
from ckptkit.signing import key_files, statement
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.keyring import Keyring
from ckptkit.signing.keys import SigningKey
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.store.stranger_item import Wrote
from ckptkit.testing import MemoryStorage

RUN = "ppo/run1"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return key_files.generate(tmp_path / "ada")


@pytest.fixture
def ring(key: SigningKey, tmp_path: Path) -> Keyring:
    return Keyring.of([tmp_path / "ada.pub"])


@pytest.fixture(params=["folder", "memory", "service"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    kinds = {
        "folder": lambda: tmp_path / "store",
        "memory": MemoryStorage,
        "service": lambda: ObjectStorage(ServiceInMemory(), outlives=False),
    }
    return CheckpointStore(kinds[request.param]())


def save(store: CheckpointStore, step: int, **how: object) -> None:
    store.save(RUN, step, {"rng": np.random.default_rng(step)}, **how)  # type: ignore[call-overload]


def told(store: StoreReader, ring: Keyring, ref: str | None = None) -> dict[str, list[str]]:
    """By checkpoint: whose signatures count, or the codes of what was found."""
    report = store.verify(ref, signers=ring)
    return {c.at.ref: list(c.signed_by) or [p.code for p in c.problems] for c in report.checkpoints}


def test_what_is_signed_verifies_and_what_is_not_is_unsafe(
    store: CheckpointStore, key: SigningKey, ring: Keyring
) -> None:
    save(store, 1)
    save(store, 2)
    store.sign(f"{RUN}@1", key)
    assert told(store, ring) == {f"{RUN}@1": ["ada"], f"{RUN}@2": ["signature-missing"]}
    assert (store.verify(signers=ring).exit_code, store.verify().exit_code) == (5, 0)
    assert [one.signed_by for one in store.list()] == [(key.public.id,), ()]
    assert store.describe(f"{RUN}@1").signed_by == (key.public.id,)


def test_the_manifest_and_what_is_known_of_the_checkpoint_stay(store: CheckpointStore, key: SigningKey) -> None:
    save(store, 1)
    at = store.locate(f"{RUN}@1")[0]
    before = store.storage.read(at, at.manifest_file, 1 << 20), store.storage.stamps(at)
    store.sign(at, key)
    assert (store.storage.read(at, at.manifest_file, 1 << 20), store.storage.stamps(at)) == before
    [report] = store.verify(f"{RUN}@1", trust_unchanged=True).checkpoints
    assert report.known_since is not None
    assert report.problems == []


def test_several_keys_sign_and_each_only_once(store: CheckpointStore, key: SigningKey, tmp_path: Path) -> None:
    other = key_files.generate(tmp_path / "bob", "p256")
    save(store, 1)
    for one in (key, other, key):
        store.sign(f"{RUN}@1", one)
    both = Keyring.of([tmp_path / "ada.pub", tmp_path / "bob.pub"])
    assert told(store, both) == {f"{RUN}@1": ["bob", "ada"]}
    assert told(store, Keyring.of([tmp_path / "bob.pub"])) == {f"{RUN}@1": ["bob"]}


def test_it_survives_removal_and_comes_back(store: CheckpointStore, key: SigningKey, ring: Keyring) -> None:
    for step in (1, 2):
        save(store, step, sign=key)
    store.pin(f"{RUN}@2")
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))
    assert told(store, ring) == {f"{RUN}@2": ["ada"]}
    store.undelete(f"{RUN}@1")
    assert told(store, ring) == {f"{RUN}@1": ["ada"], f"{RUN}@2": ["ada"]}


def test_it_goes_along_with_a_copy_also_later(
    store: CheckpointStore, key: SigningKey, ring: Keyring, tmp_path: Path
) -> None:
    there = CheckpointStore(tmp_path / "copy")
    save(store, 1, sign=key)
    save(store, 2)
    store.copy_to(there.storage)
    assert told(there, ring) == {f"{RUN}@1": ["ada"], f"{RUN}@2": ["signature-missing"]}
    store.sign(f"{RUN}@2", key)
    transfer = store.copy_to(there.storage)
    assert (transfer.copied, transfer.undone) == ([], [])
    assert told(there, ring) == {f"{RUN}@1": ["ada"], f"{RUN}@2": ["ada"]}


def test_a_mirror_has_it_too(key: SigningKey, ring: Keyring, tmp_path: Path) -> None:
    mirror = MemoryStorage()
    with CheckpointStore(tmp_path / "store", mirror=mirror, signer=key) as store:
        save(store, 1)
    assert told(StoreReader(mirror), ring) == {f"{RUN}@1": ["ada"]}


def test_a_store_signs_each_save_waited_for_or_not(key: SigningKey, ring: Keyring, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", signer=tmp_path / "ada")
    save(store, 1)
    handle = store.save(RUN, 2, {"rng": np.random.default_rng(2)}, wait=False)
    handle.result()
    other = key_files.generate(tmp_path / "bob")
    save(store, 3, sign=other)
    assert told(store, ring) == {f"{RUN}@1": ["ada"], f"{RUN}@2": ["ada"], f"{RUN}@3": ["signature-unknown"]}


def test_what_is_adopted_is_signed_beside_its_manifest(key: SigningKey, ring: Keyring, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", signer=key)
    run = tmp_path / "store" / "r"
    (run / "checkpoint-5").mkdir(parents=True)
    (run / "checkpoint-5" / "notes.txt").write_text("five")
    store.adopt("r", "checkpoint-5", 5, {"notes": Wrote("checkpoint-5", backend="files")})
    assert told(store, ring) == {"r@5": ["ada"]}
    assert {path.name for path in run.iterdir()} == {
        ".ckptkit",
        "checkpoint-5",
        "checkpoint-5@5.manifest.json",
        "checkpoint-5@5.signatures.json",
    }
    store.undelete(store.storage.remove(store.locate("r@5")[0], ["checkpoint-5/notes.txt"]).run)
    assert told(store, ring) == {"r@5": ["ada"]}


def test_a_checkpoint_that_is_signed_and_adopted_again_needs_another_signature(
    key: SigningKey, ring: Keyring, tmp_path: Path
) -> None:
    run = tmp_path / "store" / "r"
    (run / "checkpoint-5").mkdir(parents=True)
    for text, signer in (("five", key), ("fives", None)):
        (run / "checkpoint-5" / "notes.txt").write_text(text)
        store = CheckpointStore(tmp_path / "store", signer=signer)
        store.adopt("r", "checkpoint-5", 5, {"notes": Wrote("checkpoint-5", backend="files")})
    assert told(store, ring) == {"r@5": ["signature-of-another"]}
    store.sign("r@5", key)
    assert told(store, ring) == {"r@5": ["ada"]}


def test_a_key_that_cannot_be_read_ends_a_save_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="does not exist"):
        CheckpointStore(tmp_path / "store", signer=tmp_path / "none")
    store = CheckpointStore(tmp_path / "store")
    with pytest.raises(LookupError, match="does not exist"):
        save(store, 1, sign=tmp_path / "none")
    assert not (tmp_path / "store").exists()


def test_where_only_the_signature_fails_it_is_saved(key: SigningKey, tmp_path: Path) -> None:
    class Full(MemoryStorage):
        def put(self, entry: object, path: str, data: bytes, *, replace: bool) -> None:
            raise OSError("no room")

    store = CheckpointStore(Full(), signer=key)
    with pytest.raises(PartlyDoneError, match="was saved, but not signed: no room") as caught:
        save(store, 1)
    assert caught.value.committed.at.ref == f"{RUN}@1"
    assert [one.at.step for one in store.list()] == [1]


def test_what_does_not_verify_is_not_signed(key: SigningKey, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    save(store, 1)
    at = store.locate(f"{RUN}@1")[0]
    (at.folder / "rng/rng.json").write_bytes(b"{}")
    with pytest.raises(DamagedError, match="does not verify, and is not signed"):
        store.sign(at, key)
    assert not (at.folder / "signatures.json").exists()


def test_a_damaged_file_of_signatures_is_told_and_not_written_over(
    key: SigningKey, ring: Keyring, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store", signer=key)
    save(store, 1)
    path = store.locate(f"{RUN}@1")[0].folder / "signatures.json"
    path.write_bytes(b"half")
    assert told(store, ring) == {f"{RUN}@1": ["signature-unreadable"]}
    with pytest.raises(DamagedError, match="is no file of signatures"):
        store.sign(f"{RUN}@1", key)
    assert path.read_bytes() == b"half"
    assert [one.signed_by for one in store.list()] == [()]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no file of signatures: is empty"),
        (b"{}", "holds no list of signatures"),
        (b"[]", "holds no list of signatures"),
        (b'{"signatures": {}}', "holds no list of signatures"),
        (b'{"signatures": [1]}', "holds what is no signed envelope"),
        (None, "is a symbolic link, not a regular file"),
    ],
)
def test_a_damaged_file_of_signatures_is_a_warning_where_nobody_asks(
    data: bytes | None, why: str, key: SigningKey, ring: Keyring, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store", signer=key)
    save(store, 1)
    assert not store.verify().checkpoints[0].problems
    path = store.locate(f"{RUN}@1")[0].folder / "signatures.json"
    whole = path.read_bytes()
    path.unlink()
    path.symlink_to("manifest.json") if data is None else path.write_bytes(data)
    [one] = store.verify().checkpoints
    assert one.good
    assert [(p.code, p.severity, p.file, p.message) for p in one.problems] == [
        ("signatures-damaged", "warning", "signatures.json", why)
    ]
    assert told(store, ring) == {f"{RUN}@1": ["signature-unreadable"]}
    with pytest.raises(DamagedError) as caught:
        store.sign(f"{RUN}@1", key)
    assert caught.value.message.endswith(f"signatures.json: {why}")
    if data is not None:
        assert caught.value.hint == f"remove {path}, and sign it again: `ckptkit sign {RUN}@1 --key FILE`"
    path.unlink()
    path.write_bytes(whole)
    assert not store.verify(trust_unchanged=True).checkpoints[0].problems


# --- keys that do not count any more, and places where a signature does not count ---


def signed_at(store: CheckpointStore, key: SigningKey, moment: datetime) -> None:
    """Sign the first checkpoint as a machine whose clock says another time would have."""
    at = store.locate(f"{RUN}@1")[0]
    subject = signatures.signable(at)
    said = statement.Statement.about(subject.run, subject.step, subject.digest, subject.data)
    payload = statement.Statement(said.run, said.step, said.manifest, said.sha256, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    signatures.add(at, Envelope.signed(statement.TYPE, payload.payload, key), subject)


@pytest.mark.parametrize(
    ("moment", "found"),
    [((2026, 1, 1), ["ada"]), ((2026, 6, 30), ["ada"]), ((2026, 7, 1), None), ((2025, 12, 31), None)],
)
def test_what_was_signed_while_the_key_was_valid_counts_for_ever(
    key: SigningKey, tmp_path: Path, moment: tuple[int, int, int], found: list[str] | None
) -> None:
    store = CheckpointStore(tmp_path / "store")
    save(store, 1)
    signed_at(store, key, datetime(*moment, tzinfo=UTC))
    (tmp_path / "list").write_text(f'ada valid-after="20260101Z",valid-before="20260701Z" {key.public.line}\n')
    ring = Keyring.of([tmp_path / "list"])
    assert told(store, ring) == {f"{RUN}@1": found or ["signature-expired"]}
    [report] = store.verify(signers=ring).checkpoints
    assert found or "by ada, whose key " in report.reason


def test_nothing_that_a_revoked_key_signed_counts(key: SigningKey, ring: Keyring, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    save(store, 1, sign=key)
    (tmp_path / "revoked").write_text(f"{key.public.line}\n")
    revoked = Keyring.of([tmp_path / "ada.pub", tmp_path / "revoked"])
    [report] = store.verify(signers=revoked).checkpoints
    assert [p.code for p in report.problems] == ["signature-revoked"]
    assert report.reason.endswith(f"is signed by a key that was revoked: ada ({tmp_path / 'revoked'}:1)")
    save(store, 2, sign=key_files.generate(tmp_path / "bob"))
    store.sign(f"{RUN}@2", key)  # of two signatures, one is by a key that counts
    both = Keyring.of([tmp_path / "bob.pub", tmp_path / "ada.pub", tmp_path / "revoked"])
    assert told(store, both, f"{RUN}@2") == {f"{RUN}@2": ["bob"]}


def test_a_signed_checkpoint_counts_only_as_the_run_and_step_that_it_was(
    key: SigningKey, ring: Keyring, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store", signer=key)
    save(store, 1)
    here = tmp_path / "store" / RUN
    shutil.copytree(here / "step-00000001", tmp_path / "store/ppo/run2/step-00000001")
    shutil.copytree(here / "step-00000001", here / "step-00000002")
    assert told(store, ring) == {
        f"{RUN}@1": ["ada"],
        f"{RUN}@2": ["manifest-step-mismatch", "signature-of-another"],
        "ppo/run2@1": ["signature-of-another"],
    }
    assert told(StoreReader(tmp_path / "store/ppo"), ring, "run1@1") == {"run1@1": ["ada"]}
    assert store.verify("ppo/run2@1").exit_code == 0, "by content it is what was saved"


def test_files_are_signed_as_they_are_saved(key: SigningKey, ring: Keyring, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a").write_text("a")
    store = CheckpointStore(tmp_path / "store")
    store.save("r", 1, {"notes": Files(tmp_path / "notes", "files")}, sign=tmp_path / "ada", flat=True)
    assert told(store, ring) == {"r@1": ["ada"]}
