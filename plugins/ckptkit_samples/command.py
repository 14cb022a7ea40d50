"""`ckptkit samples`: write a small training, and what another one left behind, into a new folder."""

import shutil
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.session import session_of
from ckptkit.errors import ConflictError

_HERE = Path(__file__).parent


def samples(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; a new or an empty folder.")] = Path(
        "samples"
    ),
) -> None:
    """Write sample files to try ckptkit with.

    FOLDER/train.py is a training that needs nothing but Python. FOLDER/hf is what a training with the Hugging Face
    Trainer left behind: it was killed while it saved its third checkpoint.

    Examples:
        ckptkit samples
        ckptkit samples somewhere/else

    Exit codes:
        0: They are written.
        6: The folder holds something already; nothing was written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder}: exists and is not an empty folder", hint="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_HERE / "train.py", folder / "train.py")
    with zipfile.ZipFile(_HERE / "hf.zip") as archive:
        archive.extractall(folder)
    output.line(output.safe(folder / "train.py"))
    output.line(output.safe(folder / "hf"))
    output.echo(f"next: ckptkit adopt {output.safe(folder)}", quiet=session_of(context).quiet)
