"""Keys that people have are read, keys that others may read are not, and lists of keys mean what OpenSSH says."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ckptkit.errors import CkptkitError, ConflictError, NotFoundError, RefusedError, UsageError
from ckptkit.signing import key_files
from ckptkit.signing.keyring import Keyring
from ckptkit.signing.keys import SigningKey

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def ssh_keygen(path: Path, *words: str, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-C", "ada@example.org", "-N", passphrase, "-f", str(path), *words]
    subprocess.run(command, check=True, capture_output=True)
    return path


def line(path: Path) -> str:
    return " ".join(path.read_text().split()[:2])


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return key_files.generate(tmp_path / "own.key")


def test_the_private_half_is_for_its_owner_only(key: SigningKey, tmp_path: Path) -> None:
    assert (tmp_path / "own.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "own.key.pub").read_text() == f"{key.public.line} own\n"
    assert key_files.load_private(tmp_path / "own.key").public == key.public


@pytest.mark.parametrize("name", ["", ".", "a\nb", "a\0b", "\udcff"])
def test_a_name_that_no_line_of_text_can_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a key"):
        key_files.generate(Path(name))


def test_no_key_is_written_over(key: SigningKey, tmp_path: Path) -> None:
    before = (tmp_path / "own.key").read_bytes()
    with pytest.raises(ConflictError, match=r"own\.key: exists already"):
        key_files.generate(tmp_path / "own.key")
    (tmp_path / "new.key.pub").write_text("mine")
    with pytest.raises(ConflictError, match=r"new\.key\.pub: exists already"):
        key_files.generate(tmp_path / "new.key")
    assert ((tmp_path / "own.key").read_bytes(), (tmp_path / "new.key").exists()) == (before, False)


def test_a_key_that_others_may_read_is_refused(key: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "own.key").chmod(0o640)
    with pytest.raises(RefusedError, match="others may read") as caught:
        key_files.load_private(tmp_path / "own.key")
    assert caught.value.hint == f"chmod 600 {tmp_path / 'own.key'}"


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = key_files.generate(tmp_path / "k", kind, "geheim")  # type: ignore[arg-type]
    monkeypatch.delenv(key_files.PASSPHRASE, raising=False)
    with pytest.raises(UsageError, match="no passphrase is given"):
        key_files.load_private(tmp_path / "k")
    monkeypatch.setenv(key_files.PASSPHRASE, "other")
    with pytest.raises(UsageError, match="does not open this key") as caught:
        key_files.load_private(tmp_path / "k")
    assert "other" not in str(caught.value)
    monkeypatch.setenv(key_files.PASSPHRASE, "geheim")
    assert key_files.load_private(tmp_path / "k").public == made.public


@pytest.mark.parametrize("words", [("-t", "ed25519"), ("-t", "ecdsa", "-b", "256"), ("-t", "ecdsa", "-b", "384")])
@pytest.mark.parametrize("passphrase", ["", "geheim"])
def test_keys_of_ssh_keygen_sign_and_verify(tmp_path: Path, words: tuple[str, ...], passphrase: str) -> None:
    private = key_files.load_private(ssh_keygen(tmp_path / "id", *words, passphrase=passphrase), passphrase)
    [trusted] = Keyring.of([tmp_path / "id.pub"]).trusted[private.public.id]
    assert trusted.key.verifies(private.sign(b"data"), b"data")
    assert not trusted.key.verifies(private.sign(b"data"), b"date")
    told = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "id.pub")], capture_output=True, text=True, check=True)
    assert private.public.id in told.stdout


def test_public_keys_in_pem_are_read(key: SigningKey, tmp_path: Path) -> None:
    other = key_files.generate(tmp_path / "other", "p256")
    (tmp_path / "both.pem").write_bytes(key.public.pem + other.public.pem)
    assert Keyring.of([tmp_path / "both.pem"]).trusted.keys() == {key.public.id, other.public.id}


def test_a_line_says_names_and_times(key: SigningKey, tmp_path: Path) -> None:
    words = f'ada@example.org,bob valid-after="20260101Z",valid-before="202612311200Z" {key.public.line} a comment'
    (tmp_path / "allowed_signers").write_text(f"# ours\n\n{words}\n")
    ring = Keyring.of([tmp_path / "allowed_signers"])
    [trusted] = ring.trusted[key.public.id]
    assert ring.name(key.public.id) == "ada@example.org"
    assert trusted.objection(NOON) is None
    assert trusted.objection(datetime(2025, 12, 31, tzinfo=UTC)) == "was not valid before 2026-01-01 00:00 UTC"
    assert trusted.objection(datetime(2026, 12, 31, 12, tzinfo=UTC)) == "expired at 2026-12-31 12:00 UTC"


def test_a_time_without_a_z_is_local(key: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f'ada valid-before="20270101" {key.public.line}\n')
    [trusted] = Keyring.of([tmp_path / "list"]).trusted[key.public.id]
    assert trusted.before is not None
    assert trusted.before.replace(tzinfo=None) == datetime(2027, 1, 1)


def test_what_is_for_other_things_is_passed_over(key: SigningKey, tmp_path: Path) -> None:
    rsa = ssh_keygen(tmp_path / "rsa", "-t", "rsa", "-b", "2048")
    lines = [
        f'git namespaces="git,file" {key.public.line}',
        f"ca cert-authority {key.public.line}",
        f"old {line(Path(f'{rsa}.pub'))}",
        f'ours namespaces="git,ckptkit" {key_files.generate(tmp_path / "two").public.line}',
    ]
    (tmp_path / "list").write_text("\n".join(lines))
    ring = Keyring.of([tmp_path / "list"])
    assert [ring.name(one) for one in ring.trusted] == ["ours"]


@pytest.mark.parametrize("how", ["line", "file", "folder"])
def test_a_revocation_in_one_file_counts_for_all(key: SigningKey, tmp_path: Path, how: str) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "ada.pub").write_text(f"{key.public.line}\n")
    if how == "line":
        (keys / "list").write_text(f"@revoked ada {key.public.line}\n")
    elif how == "file":
        (keys / "revoked.pub").write_text(f"{key.public.line}\n")
    else:
        (keys / "revoked").mkdir()
        (keys / "revoked" / "ada.pem").write_bytes(key.public.pem)
    ring = Keyring.of([keys])
    assert (ring.revoked.keys(), ring.name(key.public.id)) == ({key.public.id}, "ada")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no public key"),
        ("nonsense", ":1: is no public key"),
        ("ssh-ed25519 AAAA", ":1: holds a public key that is damaged"),
        ('ada valid-before="soon" {line}', ":1: 'soon' is no moment"),
        ('ada valid-before="20261301" {line}', ":1: '20261301' is no moment"),
        ("ada verify-required {line}", ":1: the option 'verify-required' is not known"),
        ('ada valid-before="2026 {line}', ":1: "),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "damaged or unknown"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is a private key"),
    ],
)
def test_what_cannot_be_read_is_an_error_not_a_key_less(
    key: SigningKey, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "list").write_text(text.format(line=key.public.line))
    with pytest.raises(UsageError) as caught:
        Keyring.of([tmp_path / "own.key.pub", tmp_path / "list"])
    assert reason in caught.value.message
    assert str(tmp_path / "list") in caught.value.message


@pytest.mark.parametrize("data", [b"", b"\x00\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_private_key_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "k").write_bytes(data)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(UsageError, match="private key"):
        key_files.load_private(tmp_path / "k")


def test_kinds_that_sign_nothing_here_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of a kind that signs nothing here"):
        key_files.load_private(ssh_keygen(tmp_path / "rsa", "-t", "rsa", "-b", "2048"))


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    for call in (key_files.load_private, lambda path: Keyring.of([path])):
        with pytest.raises(NotFoundError, match="does not exist"):
            call(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CkptkitError):  # and nobody waits for it
        key_files.load_private(tmp_path / "pipe")


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_files.generate(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is empty"):
        Keyring.of([""])
    with pytest.raises(UsageError, match="is empty"):
        Keyring.of(["a.pub", ""])
    assert Keyring.of(["a.pub"]).trusted
