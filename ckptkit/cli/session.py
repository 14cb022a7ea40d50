"""What all commands share: which store, which configuration, how much is printed."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ckptkit.digest import DEFAULT_ALGORITHM
from ckptkit.errors import StoreError, UsageError
from ckptkit.renamed import new_name

if TYPE_CHECKING:
    from ckptkit.config import Config
    from ckptkit.signing.keyring import Keyring
    from ckptkit.store import CheckpointStore, Ranking, StoreReader
    from ckptkit.store.keeper import StoreKeeper
    from ckptkit.verification import Level

DEFAULT_STORE = "checkpoints"

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="PATH", help="The store; else CKPTKIT_STORE, else ckptkit.yaml, else ./checkpoints."
    ),
]
NoCacheOption = Annotated[
    bool,
    typer.Option(
        "--no-cache", help="Know nothing from before, and keep nothing of what is found, about what verifies."
    ),
]
FormatOption = Annotated[
    Literal["table", "tsv", "json", "ndjson"] | None,
    typer.Option("--format", help="How to print; a table on a terminal, else tsv.", show_default=False),
]
LevelOption = Annotated[
    Literal["presence", "digest", "format", "resume"] | None,
    typer.Option(
        "--level", help="How thoroughly to check; else `level` in ckptkit.yaml, else format.", show_default=False
    ),
]
RequireSignatureOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--require-signature",
        metavar="KEY",
        help="Refuse what is not signed by one of these: a public key, allowed_signers, or a folder of them.",
    ),
]
MetricOption = Annotated[str | None, typer.Option("--metric", help="For @best: by which metric.")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, metavar="N", help="Threads that read and digest; all cores if left out.", show_default=False
    ),
]
ScratchOption = Annotated[
    str | None,
    typer.Option(
        "--scratch",
        metavar="DIR[,SIZE]",
        help="Where copies of what lies on a service are checked, and how much there may be at once (20GB); "
        "else CKPTKIT_SCRATCH, else ckptkit.yaml, else TMPDIR.",
        show_default=False,
    ),
]
ExactRunOption = Annotated[
    bool, typer.Option("--exact-run", help="RUN means the run itself, even where another run continues it.")
]
ModeOption = Annotated[
    Literal["min", "max"] | None, typer.Option("--mode", help="For @best: which is better.", show_default=False)
]


@dataclass
class Session:
    """Options that stand before the command."""

    store: str | None = None
    quiet: bool = False
    cache: bool = True
    _config: "Config | None" = None

    def config(self) -> "Config":
        """Return the configuration found upward from the current folder."""
        if self._config is None:
            from ckptkit.config import load_config

            self._config = load_config(Path.cwd())
        return self._config

    def level(self, run: str, given: "Level | None") -> "Level":
        """Return how far to look into a run's checkpoints."""
        return given or self.config().for_run(run).level or "format"

    def ranking(self, ref: str, metric: str | None, mode: Literal["min", "max"] | None) -> "Ranking":
        """Return how ``RUN@best`` ranks: by the options, else like the run's retention in ckptkit.yaml."""
        from ckptkit.store import Ranking

        policy = self.config().for_run(ref.partition("@")[0]).retention
        if policy is not None and metric in (None, policy.metric):
            metric, mode = metric or policy.metric, mode or policy.mode
        return Ranking(metric, mode)

    def url(self, store: str | None = None) -> str:
        """Return the store that the command line, the environment or the configuration names."""
        given = self.store if store is None else store
        if given is not None:
            if not given:  # --store "$UNSET" must not mean another store
                raise UsageError("--store is empty", hint="name the folder, or leave the option out")
            return given
        return os.environ.get("CKPTKIT_STORE") or self.config().store or DEFAULT_STORE

    def use_scratch(self, given: str | None) -> None:
        """Check copies in this scratch space, else in that of the environment or the configuration.

        Raises:
            UsageError: there is none there.
        """
        from ckptkit.storage import scratch_space

        def configured() -> scratch_space.ScratchSpace | None:
            said = self.config().scratch
            return None if said is None else scratch_space.parse(said, self.config().line("scratch"))

        scratch_space.otherwise(configured)
        if given is not None:
            scratch_space.use(scratch_space.parse(given, "--scratch"))

    def _there(self, store: str | None) -> str:
        """Return that store, for a command that creates none; raises StoreError as ``_tell_of_another``."""
        url = self.url(store)
        if url == DEFAULT_STORE and not os.path.lexists(url):
            _tell_of_another()
        return url

    def mirror(self, store: str | None = None) -> str | None:
        """Return the mirror of that store: the one in ckptkit.yaml belongs to the store that the file names."""
        told, own = self.config().mirror, self.config().store or DEFAULT_STORE
        return told.url if told is not None and os.path.realpath(self.url(store)) == os.path.realpath(own) else None

    def reader(self, store: str | None = None, *, mirrored: bool = False) -> "StoreReader":
        """Return that store, for a command that changes nothing; takes less time to import than one that does.

        Args:
            store: its URL.
            mirrored: what is asked for may be in its mirror, too.
        """
        from ckptkit.store import StoreReader

        mirror = self.mirror(store) if mirrored else None
        url = self.url(store) if mirror is not None else self._there(store)
        return StoreReader(url, cache=self.cache, mirror=mirror)

    def keeper(self, store: str | None = None) -> "StoreKeeper":
        """Return that store, for a command that removes, takes back or marks checkpoints, and saves none."""
        from ckptkit.cli import interrupts
        from ckptkit.store.keeper import StoreKeeper

        opened = StoreKeeper(self._there(store), cache=self.cache)
        interrupts.may_change()
        return opened

    def open(
        self,
        store: str | None = None,
        *,
        dedup: Literal["off", "file", "tensor"] | None = None,
        signer: Path | None = None,
    ) -> "CheckpointStore":
        """Return that store, opened."""
        from ckptkit.cli import interrupts
        from ckptkit.store import CheckpointStore

        algorithm = self.config().digest or DEFAULT_ALGORITHM
        stored = dedup or self.config().dedup or "off"
        opened = CheckpointStore(
            self.url(store),
            digest=algorithm,
            cache=self.cache,
            dedup=stored,
            mirror=self.mirror(store),
            signer=signer or self.config().sign,
        )
        interrupts.may_change()
        return opened


def signers(keys: list[Path] | None) -> "Keyring | None":
    """Return the keys in the files of ``--require-signature``; None where it was not given."""
    if not keys:
        return None
    from ckptkit.signing.keyring import Keyring

    return Keyring.of(keys)


def _tell_of_another() -> None:
    """Raise StoreError where there is no default store, and the working directory is, or is in, another one."""
    from ckptkit.storage.paths import store_near

    if (near := store_near(Path.cwd())) is not None:
        hint = f"this folder is, or lies in, another one: --store {shlex.quote(os.path.relpath(near))}"
        raise StoreError(f"store {DEFAULT_STORE}: does not exist", hint=hint)


def session_of(context: typer.Context) -> Session:
    """Return the session of a command."""
    found = context.obj
    assert isinstance(found, Session)  # set by the callback of the program
    if context.params.get("no_cache"):  # as well after the command as before it
        found.cache = False
    if "scratch" in context.params:
        found.use_scratch(context.params["scratch"])
    return found


def program_of(session: Session, store: str | None = None) -> str:
    """Return what a person types to call this program on the same store again."""
    given = session.store if store is None else store
    return "ckptkit" if given is None else f"ckptkit --store {shlex.quote(given)}"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        new_name(__name__, name, {"session": "session_of"})
        return session_of
