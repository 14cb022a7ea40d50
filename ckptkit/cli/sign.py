"""`ckptkit sign`: say with a key that a checkpoint is what it should be, and exchange that with model-signing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ckptkit.cli import output, pin
from ckptkit.cli.naming import RefsArgument
from ckptkit.cli.session import MetricOption, ModeOption, NoCacheOption, StoreOption, session_of
from ckptkit.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ckptkit.storage import Entry
    from ckptkit.store.keeper import StoreKeeper


def sign(
    context: typer.Context,
    refs: RefsArgument,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The private key; with --from, public ones.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write a bundle that model-signing verifies, instead.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take over a bundle that model-signing wrote.")
    ] = None,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Sign checkpoints that verify: which run, which step, and every byte.

    The signature lies beside the manifest, in signatures.json, and goes with the checkpoint wherever it is copied.
    `ckptkit verify --require-signature` asks for it. The passphrase of an encrypted key is read from
    CKPTKIT_KEY_PASSPHRASE. Without --key the key is `sign` in ckptkit.yaml.

    Examples:
        ckptkit sign ppo/run1@5000 --key release.key
        ckptkit sign 'ppo/*@latest' --key release.key
        # For OpenSSF's model-signing, with a key of --kind p256
        ckptkit sign ppo/run1@5000 --key p256.key --to model.sig

    Exit codes:
        0: They are signed.
        1: A checkpoint does not verify, or a bundle is not of it, and is not signed.
        4: There is no such checkpoint or key.
        5: The key may be read by others, or is revoked.
        7: The package cryptography is missing.
    """
    from ckptkit.store import signing

    session = session_of(context)
    if to is not None and from_ is not None:
        raise UsageError("--to and --from are two things to do", hint="give one of them")
    found = key or session.config().sign
    if found is None or (from_ is not None and key is None):
        which, make = ("private", "`ckptkit keygen FILE` makes one") if from_ is None else ("public", "name NAME.pub")
        raise UsageError(f"--key is missing: which {which} key?", hint=make)
    loaded = signing.key_of(found) if from_ is None else None
    opened, places = pin.checkpoints(session, refs, store, metric, mode)
    if from_ is not None:
        _take_over(opened, places, from_, found, quiet=session.quiet)
    elif to is not None and loaded is not None:
        if len(places) != 1:
            raise UsageError("--to writes the bundle of one checkpoint", hint="name one")
        opened.require_outside(to)
        signing.require_good(places[0], opened.ledger)
        to.write_bytes(signing.bundle(places[0], loaded))
        output.echo(f"signed {places[0].ref} by {loaded.public.id}", quiet=session.quiet)
        output.line(output.safe(str(to)))
    elif loaded is not None:
        for at in places:
            output.echo(f"signed {opened.sign(at, loaded).ref} by {loaded.public.id}", quiet=session.quiet)


def _take_over(store: "StoreKeeper", places: "Sequence[Entry]", bundle: Path, key: Path, *, quiet: bool) -> None:
    from ckptkit.formats.given_file import require_file
    from ckptkit.signing.keyring import Keyring
    from ckptkit.signing.oms import MAX_BYTES
    from ckptkit.store import signing

    ring = Keyring.of([key])
    require_file(bundle)
    try:
        with bundle.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "name the file that model-signing wrote"
        raise NotFoundError(f"{bundle}: cannot be read ({error.strerror})", hint=hint) from error
    for at in places:
        signing.require_good(at, store.ledger)
        name = signing.take_over(at, data, ring, str(bundle))
        output.echo(f"{output.safe(at.ref)} is signed by {output.safe(name)}", quiet=quiet)
