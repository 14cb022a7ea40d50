"""`ckptkit keygen`, `sign`, `save --sign` and `verify --require-signature`, as they are typed."""

import json
import subprocess
from pathlib import Path

import pytest
from command_line import inside, refused

KEY = "release.key"


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("a")
    assert inside("keygen", KEY, cwd=tmp_path).returncode == 0
    assert save(tmp_path, 1).returncode == 0
    return tmp_path


def save(cwd: Path, step: int, *words: str) -> "subprocess.CompletedProcess[str]":
    return inside("save", "r", "--step", str(step), "notes:files=notes", *words, cwd=cwd)


def test_the_key_is_named_and_the_private_half_is_nobodys_business(cwd: Path) -> None:
    done = inside("keygen", "other.key", cwd=cwd)
    assert (done.returncode, done.stdout) == (0, "other.key.pub\n")
    assert done.stderr.startswith("SHA256:")
    assert (cwd / "other.key").stat().st_mode & 0o777 == 0o600
    refused(inside("keygen", "other.key", cwd=cwd), 6, "other.key: exists already")
    done = inside("keygen", "no/where", cwd=cwd)
    refused(done, 10, "no: there is no such folder")
    assert done.stderr.endswith("  mkdir -p no\n")
    (cwd / "file").touch()
    refused(inside("keygen", "file/key", cwd=cwd), 10, "file: is no folder")
    refused(inside("keygen", "other.pub", cwd=cwd), 2, "other.pub: is what a public key is called")
    assert not (cwd / "other.pub").exists()
    refused(inside("keygen", "locked", "--encrypt", cwd=cwd), 2, "--encrypt needs a passphrase")


def test_what_is_signed_is_asked_for(cwd: Path) -> None:
    required = ("verify", "r", "--require-signature", f"{KEY}.pub")
    done = inside(*required, cwd=cwd)
    assert done.returncode == 5
    assert "signature-missing" in done.stdout
    assert inside("sign", "r@1", "--key", KEY, cwd=cwd).stderr.startswith("signed r@1 by SHA256:")
    done = inside(*required, "--format", "json", cwd=cwd)
    assert done.returncode == 0
    [one] = json.loads(done.stdout)["checkpoints"]
    assert (one["result"], one["signed_by"]) == ("ok", ["release.key"])
    assert "\tsigned\tby release.key\n" in inside(*required, cwd=cwd).stdout
    again = inside(*required, "--trust-unchanged", cwd=cwd)
    assert (again.returncode, "1 of them not read again" in again.stderr) == (0, True)


def test_every_report_says_why_a_signature_does_not_count(cwd: Path) -> None:
    for format_ in ("tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab"):
        done = inside("verify", "--require-signature", f"{KEY}.pub", "--format", format_, cwd=cwd)
        assert (done.returncode, "is not signed" in done.stdout) == (5, True), format_


def test_list_and_show_tell_by_which_keys_it_says_to_be_signed(cwd: Path) -> None:
    assert "SIGNED BY" not in inside("list", cwd=cwd).stdout
    inside("sign", "r@1", "--key", KEY, cwd=cwd)
    save(cwd, 2)
    told = subprocess.run(["ssh-keygen", "-lf", f"{KEY}.pub"], cwd=cwd, capture_output=True, text=True, check=True)
    key = told.stdout.split()[1]
    rows = [line.split("\t") for line in inside("list", cwd=cwd).stdout.splitlines()]
    assert [row[-1] for row in rows] == ["SIGNED BY", key, ""]
    assert f" {key[:15]}\n" in inside("list", "--limit", "1", "--format", "table", "r@1", cwd=cwd).stdout
    listed = json.loads(inside("list", "--format", "json", cwd=cwd).stdout)["checkpoints"]
    assert [one["signed_by"] for one in listed] == [[key], []]
    assert f"signed by    {key} (not checked here)" in inside("show", "r@1", "--format", "table", cwd=cwd).stdout
    assert f"signed_by\t{key}\n" in inside("show", "r@1", cwd=cwd).stdout


def test_save_signs_by_option_or_by_configuration(cwd: Path) -> None:
    assert save(cwd, 2, "--sign", KEY).returncode == 0
    (cwd / "keys").mkdir()
    for name in (KEY, f"{KEY}.pub"):
        (cwd / name).rename(cwd / "keys" / name)
    (cwd / "ckptkit.yaml").write_text(f"sign: keys/{KEY}\n")
    assert save(cwd, 3).returncode == 0
    assert inside("sign", "r@1", cwd=cwd).returncode == 0
    assert inside("verify", "--require-signature", "keys", cwd=cwd).returncode == 2, "a private key is not public"
    assert inside("verify", "--require-signature", f"keys/{KEY}.pub", cwd=cwd).returncode == 0
    assert f"sign\tkeys/{KEY}".replace("keys", str(cwd / "keys")) in inside("config", "show", cwd=cwd).stdout


def test_a_key_that_cannot_be_read_ends_the_command_before_anything_is_saved(cwd: Path) -> None:
    refused(save(cwd, 2, "--sign", "none"), 4, "none: does not exist")
    refused(save(cwd, 2, "--sign", f"{KEY}.pub"), 2, "is no private key")
    (cwd / KEY).chmod(0o644)
    refused(save(cwd, 2, "--sign", KEY), 5, "is a private key that others may read")
    refused(inside("sign", "r@1", "--key", KEY, cwd=cwd), 5, "others may read")
    refused(inside("sign", "r@1", cwd=cwd), 2, "--key is missing: which private key?")
    assert len(inside("list", cwd=cwd).stdout.splitlines()) == 2
    (cwd / "ckptkit.yaml").write_text("sign: s3://bucket/key\n")
    refused(save(cwd, 2), 2, "ckptkit.yaml: line 1: sign: 's3://bucket/key' is no path")


def test_what_is_not_there_is_not_signed(cwd: Path) -> None:
    refused(inside("sign", "r@7", "--key", KEY, cwd=cwd), 4, "r@7")
    refused(inside("verify", "--require-signature", "none", cwd=cwd), 4, "none: does not exist")
    refused(inside("sign", "r@1", "--from", "none", "--key", f"{KEY}.pub", cwd=cwd), 4, "none: cannot be read")
    for junk in (b"ab\xff{}", b"{}", b"[]", b'{"a": 1, "a": 1}'):
        (cwd / "junk").write_bytes(junk)
        refused(inside("sign", "r@1", "--from", "junk", "--key", f"{KEY}.pub", cwd=cwd), 2, "junk: is no signature of")
    refused(inside("sign", "r@1", "--from", "a", "--to", "b", "--key", KEY, cwd=cwd), 2, "two things")


def test_a_variable_that_is_not_set_trusts_nobody(cwd: Path) -> None:
    assert inside("sign", "r@1", "--key", KEY, cwd=cwd).returncode == 0
    required = ("--require-signature", "")
    for words in (("verify",), ("resume-cmd", "r"), ("restore", "r", "there")):
        refused(inside(*words, *required, cwd=cwd), 2, "--require-signature is empty")
    refused(inside("verify", "--require-signature", f"{KEY}.pub", *required, cwd=cwd), 2, "is empty")


@pytest.mark.parametrize("command", ["resume-cmd", "materialised", "restore"])
def test_what_nobody_has_signed_is_not_resumed_from(cwd: Path, command: str) -> None:
    for step in (2, 3):
        assert save(cwd, step, "--resume", "python train.py {path}").returncode == 0
    assert inside("sign", "r@2", "--key", KEY, cwd=cwd).returncode == 0
    words = {
        "resume-cmd": ["resume-cmd", "{}"],
        "materialised": ["resume-cmd", "{}", "--materialise", "there"],
        "restore": ["restore", "{}", "there"],
    }[command]
    required = ["--require-signature", f"{KEY}.pub"]

    def tried(ref: str) -> "subprocess.CompletedProcess[str]":
        return inside(*(word.format(ref) for word in words), *required, cwd=cwd)

    done = tried("r@3")
    assert (done.returncode, done.stdout, "is not signed" in done.stderr) == (5, "", True), done.stderr
    assert done.stderr.endswith("  `ckptkit verify r@3 --require-signature FILE` says who signed what\n")
    done = tried("r")
    assert done.returncode == 0, done.stderr
    assert "skipped r@3: is not signed, and a signature is asked for" in done.stderr.replace("manifest.json: ", "")
    assert inside("keygen", "eve", cwd=cwd).returncode == 0
    required[1] = "eve.pub"
    done = inside(*words[:1], "r", *(["elsewhere"] if command == "restore" else []), *required, cwd=cwd)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith("  `ckptkit verify r --require-signature FILE` says who signed what\n")


def test_a_job_that_is_started_again_asks_for_the_same(cwd: Path) -> None:
    assert save(cwd, 2, "--resume", "python train.py {path}", "--sign", KEY).returncode == 0
    done = inside("resume-cmd", "r", "--format", "slurm", "--require-signature", f"{KEY}.pub", cwd=cwd)
    assert f"--require-signature {cwd / KEY}.pub" in done.stdout


def test_the_passphrase_comes_from_the_environment(cwd: Path) -> None:
    secret = {"CKPTKIT_KEY_PASSPHRASE": "geheim"}
    assert inside("keygen", "locked", "--encrypt", cwd=cwd, env=secret).returncode == 0
    refused(inside("sign", "r@1", "--key", "locked", cwd=cwd), 2, "is encrypted")
    assert inside("sign", "r@1", "--key", "locked", cwd=cwd, env=secret).returncode == 0
    assert inside("verify", "--require-signature", "locked.pub", cwd=cwd).returncode == 0
