"""What people must know about a checkpoint before resuming it: what it lacks, and what may make a resume differ."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ckptkit.cli import output

if TYPE_CHECKING:
    from ckptkit.manifest.models import Manifest
    from ckptkit.problem import Problem


def tell(manifest: "Manifest", warnings: "Sequence[Problem]" = (), *, quiet: bool) -> None:
    """Report on stderr, one line each, every piece that is not captured, every hazard and every warning."""
    for line in dict.fromkeys(_lines(manifest, warnings)):
        output.echo(output.safe(line), quiet=quiet)


def _lines(manifest: "Manifest", warnings: "Sequence[Problem]") -> Iterator[str]:
    for name, item in manifest.items.items():
        for reason in item.captured.reasons:
            yield f"item {name!r} is {item.captured.grade}: {reason}"
        for hazard in item.hazards:
            yield f"item {name!r}: hazard: {hazard}"
        for file in item.files:
            if file.trusted:
                yield f"item {name!r}: {file.path} is trusted by whoever saved it, whatever loading it runs"
    for problem in (p for p in warnings if p.code != "file-trusted"):  # that is said above
        where = f"item {problem.item!r}: " if problem.item else ""
        yield f"{where}warning: {f'{problem.file}: ' if problem.file else ''}{problem.message}"
