"""What an envelope says, held against the checkpoint that it lies beside: a true signature may be another one's."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from ckptkit.errors import DamagedError
from ckptkit.signing import oms
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.statement import TYPE, Statement


@dataclass(frozen=True, slots=True)
class Signable:
    """A checkpoint as it is signed.

    Attributes:
        run: name of its run, as its manifest says it.
        step: its step.
        digest: of its manifest, as that says itself.
        data: the bytes of the manifest's file.
        file: what that file is called.
        place: URL of the folder that stands for its run.
        name_step: the step that the name of its own folder, or of its manifest, ends in.
    """

    run: str
    step: int
    digest: str
    data: bytes
    file: str
    place: str
    name_step: int | None

    def signed(self, statement: Statement) -> str | None:
        """Return what is wrong where a statement is to be about this checkpoint; None: it is."""
        if (statement.run, statement.step) != (self.run, self.step):
            return f"is about {statement.run}@{statement.step}"
        if statement.manifest != self.digest:
            return "is about another checkpoint of this step: its manifest is another one"
        if statement.sha256 != hashlib.sha256(self.data).hexdigest():
            return "is about a manifest with other bytes"
        return None

    @property
    def moved(self) -> str | None:
        """What is wrong where it lies as another run's, or another step's; None: nothing.

        The store may have been opened further up or down: what counts is what the path to it ends in.
        """
        if self.name_step != self.step:
            return f"is about {self.run}@{self.step}, and this checkpoint lies here as another step's"
        if self.run == "." or f"/{self.place.strip('/')}/".endswith(f"/{self.run}/"):
            return None
        return f"is about {self.run}@{self.step}, and this checkpoint lies elsewhere, as another run's"


def objection(envelope: Envelope, subject: Signable) -> str | None:
    """Return why what an envelope says is not about a checkpoint; None: it is. Its signature is not looked at."""
    try:
        if envelope.type == TYPE:
            wrong = subject.signed(Statement.read(envelope.payload))
        else:
            wrong = oms.objection(envelope, subject.file, subject.data)
    except DamagedError as error:
        return error.message
    return wrong or subject.moved


def moment(envelope: Envelope) -> datetime | None:
    """Return when it says that it was signed; None where it says nothing of it."""
    return Statement.read(envelope.payload).moment if envelope.type == TYPE else None
