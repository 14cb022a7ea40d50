"""Wait for the mirror at the end of a command that saved, and say what is not in it."""

from typing import TYPE_CHECKING

from ckptkit.cli import interrupts, output

if TYPE_CHECKING:
    from ckptkit.store.saver import StoreSaver


def tell(store: "StoreSaver", what: str) -> bool:
    """Wait for the mirror, say what is not in it, and return whether there is anything.

    Args:
        store: that saved.
        what: was saved.
    """
    with interrupts.leaving(lambda: f"but {what} was saved before that; it may not be in the mirror"):
        lines = store.unmirrored()
    for line in lines:
        output.echo(output.safe(line))
    return bool(lines)
