"""What the benchmarks of `verify` share: the commands of ours, and the programs that only digest the same files."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.in_turns import Program

_LARGE = """
import sys, blake3
hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
hasher.update_mmap(sys.argv[1])
print(hasher.hexdigest())
"""
_SMALL = """
import os, sys, blake3
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb", buffering=0) as stream:
            print(blake3.blake3(stream.read()).hexdigest())
"""
_HELLO = """
import typer
app = typer.Typer()
@app.command()
def main(name: str = "world"):
    print("hello", name)
app()
"""


def ours(store: Path, *words: str) -> Program:
    """Return `ckptkit verify` with these options."""
    command = [sys.executable, "-m", "ckptkit", "--no-cache", "--store", str(store), "verify", *words]
    return Program(" ".join(["ckptkit verify", *words]), command)


def peers(path: Path) -> Iterator[Program]:
    """Yield what digests a file, or all files of a folder, and `b3sum` where it is installed."""
    program, name = (_SMALL, "blake3 in a loop") if path.is_dir() else (_LARGE, "blake3, mapped, its own threads")
    yield Program(name, [sys.executable, "-c", program, str(path)], peer=True)
    if b3sum := shutil.which("b3sum"):
        files = [str(file) for file in path.rglob("*") if file.is_file()] if path.is_dir() else [str(path)]
        yield Program("b3sum", [b3sum, *files], peer=True)
    if find_spec("model_signing"):
        yield Program("model_signing verify", _signed(path), peer=True)
    yield Program("typer hello-world: the start alone", [sys.executable, "-c", _HELLO], peer=True)


def _signed(path: Path) -> list[str]:
    """Sign a file, or a folder, and return the command that verifies it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = Path(tempfile.mkdtemp(dir=path.parents[3] if path.is_file() else path.parents[2]))
    key = ec.generate_private_key(ec.SECP256R1())
    private, public, signature = (folder / name for name in ("private.pem", "public.pem", "signature"))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    known = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, known))
    program, model = [sys.executable, "-m", "model_signing"], str(path if path.is_dir() else path.parent)
    sign = [*program, "sign", "key", model, "--private_key", str(private), "--signature", str(signature)]
    subprocess.run(sign, check=True, stdout=subprocess.DEVNULL)
    return [*program, "verify", "key", model, "--public_key", str(public), "--signature", str(signature)]
