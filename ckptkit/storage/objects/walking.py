"""All objects below a prefix of a service that lists one folder at a time."""

from collections.abc import Callable, Iterator

from ckptkit.storage.objects.service import Info, Level


def below(level: Callable[[str], Level], prefix: str) -> Iterator[Info]:
    """Yield the objects of a folder and of all below it; what raises ends it, and nothing is left out.

    Args:
        level: lists one folder.
        prefix: of the keys.
    """
    there = level(prefix)
    yield from there.objects
    for name in there.folders:
        yield from below(level, f"{prefix}{name}/")
