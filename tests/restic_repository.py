"""A repository of the real restic with snapshots of any date, quick enough for hundreds of commands.

restic derives the key of a repository from its password anew in each command, on purpose slowly. Here a second key file
takes the place of the first one, with the same key of the repository in it and the cheapest way to derive its own.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

PASSWORD = "password"


class Repository:
    """See the first line.

    Attributes:
        folder: where all of it lies.
        keeps_the_oldest: whether this restic (0.16 and newer) keeps the oldest snapshot while a rule has slots left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "content").write_text("weights")
        self.run("init")
        _derive_quickly(folder / "repository" / "keys")
        version = self.run("version").split()[1].split(".")
        self.keeps_the_oldest = (int(version[0]), int(version[1])) >= (0, 16)

    def run(self, *words: str) -> str:
        """Run restic and return what it printed."""
        places = {"RESTIC_REPOSITORY": str(self.folder / "repository"), "RESTIC_CACHE_DIR": str(self.folder / "cache")}
        done = subprocess.run(
            ["restic", "--quiet", *words], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **places, "RESTIC_PASSWORD": PASSWORD, "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def snapshot(self, host: str, moment: datetime, tags: Sequence[str]) -> None:
        """Make a snapshot of a host, as it would have been made at a moment (UTC, to the second)."""
        labels = [word for tag in tags for word in ("--tag", tag)]
        self.run("backup", "--host", host, "--time", f"{moment:%Y-%m-%d %H:%M:%S}", *labels, "content")

    def snapshots(self) -> list[dict[str, Any]]:
        """Return what restic knows of all snapshots."""
        found: list[dict[str, Any]] = json.loads(self.run("snapshots", "--json", "--no-lock"))
        return found

    def kept(self, *policy: str) -> dict[str, set[str]]:
        """Return the ids of the snapshots that a policy would keep, by host."""
        words = ("forget", "--dry-run", "--json", "--no-lock", "--group-by", "host")
        return {
            group["host"]: {one["id"] for one in group["keep"] or ()} for group in json.loads(self.run(*words, *policy))
        }


def _derive_quickly(keys: Path) -> None:
    [path] = keys.iterdir()
    fields = json.loads(path.read_bytes())
    inner = _opened(base64.b64decode(fields["data"]), _derived(fields))
    fields |= {"N": 2, "r": 1, "p": 1}
    fields["data"] = base64.b64encode(_sealed(inner, _derived(fields))).decode()
    data = json.dumps(fields).encode()
    path.unlink()
    (keys / hashlib.sha256(data).hexdigest()).write_bytes(data)


def _derived(fields: dict[str, Any]) -> bytes:
    return hashlib.scrypt(
        PASSWORD.encode(), salt=base64.b64decode(fields["salt"]), n=fields["N"], r=fields["r"], p=fields["p"],
        maxmem=1 << 28, dklen=64,
    )  # fmt: skip


def _sealed(plain: bytes, derived: bytes) -> bytes:
    """Encrypt as restic does (doc/design.rst, "Keys, Encryption and MAC"): AES-256-CTR, then Poly1305-AES."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    nonce = secrets.token_bytes(16)
    content = Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce)).encryptor().update(plain)
    once = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor().update(nonce)  # one block
    return nonce + content + Poly1305.generate_tag(derived[48:] + once, content)


def _opened(sealed: bytes, derived: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(derived[:32]), modes.CTR(sealed[:16])).decryptor().update(sealed[16:-16])
