"""Which runs are copies in another run's folder: a backup there is not pruned with the store."""

from collections.abc import Iterable

from ckptkit.store.surveying import Surveyed


def copied_into(found: Iterable[Surveyed]) -> dict[str, str]:
    """Return, by name of the copy, the run whose folder it is in.

    A copy is recognised by its manifests: all of them name a run that differs from their place, and the place ends in
    that name, which is what copying a store or a run with its contents leads to. A run that was saved inside another
    one, or renamed, is not a copy.
    """
    named: dict[str, set[str]] = {}
    for one in found:
        names = named.setdefault(one.at.run, set())
        if one.run is not None:
            names.add(one.run)
    copies = {}
    for run, names in named.items():
        around = next((other for other in _around(run) if other in named), None)
        if around is not None and names and all(name == "." or run.endswith(f"/{name}") for name in names):
            copies[run] = around
    return copies


def _around(run: str) -> Iterable[str]:
    """Yield the runs whose folders contain a run's folder, the nearest first."""
    while "/" in run:
        run = run.rpartition("/")[0]
        yield run
    if run != ".":
        yield "."
