"""Which key everything in a store has; ``docs/adr/0047`` draws it."""

from dataclasses import dataclass

from ckptkit.layouts import Layout
from ckptkit.manifest.names import MANIFEST_NAME, SHOWN_NAME, SIGNATURES_NAME, STATE_FOLDER

SIGNED = f".{SIGNATURES_NAME}"
"""What keys of signatures end in."""


def prefix_of(run: str) -> str:
    """Return what the keys of a run begin with."""
    return "" if run == "." else f"{run}/"


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of a run.

    Attributes:
        run: its name.
    """

    run: str

    @property
    def prefix(self) -> str:
        """What all keys of the run begin with."""
        return prefix_of(self.run)

    def state(self, name: str = "") -> str:
        """Return the key of what belongs to the run and to no checkpoint."""
        return f"{self.prefix}{STATE_FOLDER}/{name}"

    def manifest(self, name: str) -> str:
        """Return the key of the manifest of a checkpoint that has a folder of its own."""
        return f"{self.prefix}{name}/{MANIFEST_NAME}"

    def payload(self, place: str = "") -> str:
        """Return what the keys of the payload at a place begin with."""
        return self.state(f"data/{place}/" if place else "data/")

    def shown(self, place: str = "") -> str:
        """Return the key of what was shown of the checkpoint with its payload there; without a place, their prefix."""
        return self.state(f"shown/{place}.json" if place else "shown/")

    def signatures(self, place: str) -> str:
        """Return the key of its signatures: below the same prefix, so that one listing tells which have any."""
        return self.state(f"shown/{place}{SIGNED}")

    def trash(self, key: str = "") -> str:
        """Return what the keys of an entry in the trash begin with."""
        return self.state(f"trash/{key}/" if key else "trash/")

    def aside(self, key: str = "") -> str:
        """Return what the keys of what is being purged begin with."""
        return self.state(f"aside/{key}/" if key else "aside/")

    def lease(self, name: str) -> str:
        """Return the key of a lease."""
        return self.state(f"leases/{name}")


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one checkpoint lie.

    Attributes:
        files: what the keys of its files begin with.
        manifest: key of its manifest.
        shown: key of what was shown of it.
        signatures: key of its signatures.
        place: of its payload; None where its files lie beside its manifest.
    """

    files: str
    manifest: str
    shown: str
    signatures: str
    place: str | None = None

    @classmethod
    def beside(cls, run: str, name: str, layout: Layout) -> "Home":
        """Return the home of what lies as it would lie in folders."""
        files = prefix_of(run) + ("" if layout.shared else f"{name}/")
        return cls(files, *(files + layout.own(name, own) for own in (MANIFEST_NAME, SHOWN_NAME, SIGNATURES_NAME)))

    @classmethod
    def at(cls, run: str, name: str, place: str) -> "Home":
        """Return the home of what was saved here."""
        keys = RunKeys(run)
        return cls(keys.payload(place), keys.manifest(name), keys.shown(place), keys.signatures(place), place)

    def key(self, path: str, layout: Layout, name: str) -> str:
        """Return the key of a file, by its path as the manifest counts it."""
        if path == layout.own(name, MANIFEST_NAME):
            return self.manifest
        if path == layout.own(name, SIGNATURES_NAME):
            return self.signatures
        return self.shown if path == layout.own(name, SHOWN_NAME) else self.files + path
