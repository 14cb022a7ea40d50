"""`ckptkit keygen`: make a key that signs checkpoints."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ckptkit.cli import output
from ckptkit.cli.session import session_of
from ckptkit.errors import UsageError


def keygen(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The private key; the public one is FILE.pub.")],
    kind: Annotated[
        Literal["ed25519", "p256"], typer.Option("--kind", help="p256 makes signatures that model-signing verifies.")
    ] = "ed25519",
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt it with the passphrase in CKPTKIT_KEY_PASSPHRASE.")
    ] = False,
) -> None:
    """Make a key that signs checkpoints: a private file for whoever signs, a public one for everybody else.

    Nothing is written over. Keys of `ssh-keygen -t ed25519` and of OpenSSL do as well.

    Examples:
        ckptkit keygen ada.key
        # For OpenSSF's model-signing, too
        ckptkit keygen models.key --kind p256

    Exit codes:
        0: Both files are written.
        6: One of them is there already, and nothing was written.
    """
    from ckptkit.signing import key_files

    passphrase = os.environ.get(key_files.PASSPHRASE) if encrypt else None
    if encrypt and not passphrase:
        raise UsageError("--encrypt needs a passphrase", hint=f"put one into {key_files.PASSPHRASE}")
    made = key_files.generate(path, kind, passphrase)
    output.echo(f"{made.public.id} ({made.public.kind}); keep {path} to yourself", quiet=session_of(context).quiet)
    sys.stderr.flush()
    output.line(output.safe(f"{path}.pub"))
