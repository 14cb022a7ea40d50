"""`ckptkit find`: which checkpoints hold a file, a tensor, or content with a digest."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ckptkit.cli import naming, output
from ckptkit.cli.session import FormatOption, NoCacheOption, StoreOption, session_of

if TYPE_CHECKING:
    from ckptkit.store import Hit


def find(
    context: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF", help="Only these runs or checkpoints; the whole store if left out."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="NAME", help="A file, by its name or path; * and ? match any text.")
    ] = None,
    tensor: Annotated[
        str | None, typer.Option("--tensor", metavar="NAME", help="A tensor, by its name; * and ? match any text.")
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="DIGEST", help="What has this digest; its beginning is enough (ab12)."),
    ] = None,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Find the checkpoints that hold a file, tensor or digest.

    All that is given must be true of one file: --file 'model*' --tensor '*.bias' finds tensors in such files. Headers
    are read for tensors, manifests for the rest; no framework is imported.

    Examples:
        ckptkit find --file 'model*'
        ckptkit find ppo/run1 --tensor '*weight' --format json

    Exit codes:
        0: Something was found.
        1: Something could not be read (it is on stderr), and may hold what is looked for.
        4: Nothing was found.
    """
    from ckptkit.store import Wanted

    session = session_of(context)
    named = naming.named(session, refs or (), store)
    search = session.reader(named.url).find(Wanted(file, tensor, digest), named.refs or None)
    hits = list(search)
    chosen = output.chosen(format_)
    columns = ("REF", "ITEM", "FILE", *(("TENSOR", "DTYPE", "SHAPE") if tensor else ("SIZE", "DIGEST")))
    output.rows(
        chosen,
        "found",
        columns,
        ((_cells(hit, exact=chosen != "table"), _fields(hit)) for hit in hits),
        {"unread": [{"ref": one.at.ref, "file": one.path, "reason": one.reason} for one in search.unread]},
        spare=("ITEM",) if tensor else ("ITEM", "DIGEST"),
        names=("REF", "FILE", "TENSOR"),
        quiet=session.quiet,
    )
    for one in search.unread:
        output.echo(output.safe(f"{one.at.ref}: {one.path}: {one.reason}"))
    if not hits:
        output.echo("nothing found", quiet=session.quiet)
    return 1 if search.unread else 0 if hits else 4


def _cells(hit: "Hit", *, exact: bool) -> list[object]:
    cells: list[object] = [hit.at.ref, hit.item, hit.file.path if hit.file else hit.at.manifest_file]
    if hit.tensor is not None:
        return [*cells, hit.tensor.label, hit.tensor.dtype, f"[{', '.join(map(str, hit.tensor.shape))}]"]
    size: object = ""
    if hit.file is not None:
        size = hit.file.size if exact else output.size(hit.file.size)
    algorithm, colon, hexadecimal = hit.digest.partition(":")
    return [*cells, size, hit.digest if exact else f"{algorithm}{colon}{hexadecimal[:12]}"]


def _fields(hit: "Hit") -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ref": hit.at.ref,
        "run": hit.at.run,
        "step": hit.at.step,
        "item": hit.item or None,
        "file": hit.file.path if hit.file else hit.at.manifest_file,
        "size": hit.file.size if hit.file else None,
        "digest": hit.digest,
    }
    if hit.tensor is not None:
        tensor = hit.tensor
        fields["tensor"] = {
            "member": tensor.member or None,
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
        }
    return fields
