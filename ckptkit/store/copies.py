"""Which runs are copies that somebody put into another run's folder: a backup there is not pruned with the store."""

from collections.abc import Iterable

from ckptkit.verification import CheckpointReport


def copied_into(reports: Iterable[CheckpointReport]) -> dict[str, str]:
    """Return, by name of the copy, the run whose folder it lies in.

    A copy is told by its manifests: all of them name another run than the place does, and the place ends in that name,
    as it does when a store, or a run of it, is copied with what is in it. A run that was saved inside another one, or
    was renamed, is no copy.
    """
    named: dict[str, set[str]] = {}
    for report in reports:
        names = named.setdefault(report.at.run, set())
        if report.manifest is not None:
            names.add(report.manifest.run)
    copies = {}
    for run, names in named.items():
        around = next((other for other in _around(run) if other in named), None)
        if around is not None and names and all(name == "." or run.endswith(f"/{name}") for name in names):
            copies[run] = around
    return copies


def _around(run: str) -> Iterable[str]:
    """Yield the runs whose folders hold that of a run, the nearest first."""
    while "/" in run:
        run = run.rpartition("/")[0]
        yield run
    yield "."
