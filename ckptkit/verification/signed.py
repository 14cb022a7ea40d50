"""Is a checkpoint signed by somebody who is trusted? Each signature that does not count says why."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ckptkit.catalog import signatures
from ckptkit.errors import CkptkitError, NewerFormatError
from ckptkit.problem import Problem
from ckptkit.signing import claims
from ckptkit.signing.claims import Signable
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.keyring import Keyring
from ckptkit.storage import Entry
from ckptkit.verification.report import CheckpointReport

DAMAGED = "signatures-damaged"


def damage(at: Entry) -> Iterator[Problem]:
    """Yield a warning where the file of signatures is not what ckptkit wrote; nobody asks for them: nothing fails."""
    try:
        signatures.read(at)
    except NewerFormatError:
        return
    except CkptkitError as error:
        yield Problem(DAMAGED, _said(at, error), at.signatures_file, severity="warning")


def _said(at: Entry, error: CkptkitError) -> str:
    """Return what is wrong with the file, without its name, which a problem has anyway."""
    return error.message.rpartition(f"{at.signatures_file}: ")[2]


def judged(report: CheckpointReport, ring: Keyring) -> CheckpointReport:
    """Return a report with whom a checkpoint is signed by, or with why nobody's signature counts: then it is unsafe."""
    at, manifest = report.at, report.manifest
    if manifest is None:
        return report
    try:
        subject = signatures.signable(at, manifest)
        found = signatures.read(at)
    except CkptkitError as error:
        problem = Problem("signature-unreadable", _said(at, error), at.signatures_file, severity="unsafe")
        others = [p for p in report.problems if p.code != DAMAGED]
        return replace(report, problems=[*others, problem])
    names: list[str] = []
    problems: list[Problem] = []
    for one in found:
        wrong = _problem(one, subject, ring)
        if wrong is None:
            names.append(ring.name(one.key))
        else:
            problems.append(replace(wrong, file=at.signatures_file, severity="unsafe"))
    if names:
        return replace(report, signed_by=tuple(dict.fromkeys(names)))
    if not problems:
        message = "is not signed, and a signature is asked for"
        problems = [Problem("signature-missing", message, at.manifest_file, severity="unsafe")]
    return replace(report, problems=[*report.problems, *problems])


def _problem(one: Envelope, subject: Signable, ring: Keyring) -> Problem | None:
    """Return why a signature does not count; None: it does."""
    known = ring.trusted.get(one.key, [])
    if (where := ring.revoked.get(one.key)) is not None:
        name = known[0].name if known else one.key
        return Problem("signature-revoked", f"is signed by a key that was revoked: {name} ({where})")
    if not known:
        return Problem("signature-unknown", f"is signed by a key that is not trusted here: {one.key}")
    if not one.is_by(known[0].key):
        return Problem("signature-forged", f"carries a signature that {known[0].name} did not make of it")
    if (wrong := claims.objection(one, subject)) is not None:
        return Problem("signature-of-another", f"carries a signature by {known[0].name} that {wrong}")
    # A bundle of another tool does not say when it was signed: its key must be valid now.
    moment = claims.moment(one) or datetime.now(UTC)
    objections = [said.objection(moment) for said in known]
    if all(said is not None for said in objections):
        when = f"on {moment:%Y-%m-%d %H:%M} UTC"
        return Problem("signature-expired", f"was signed {when} by {known[0].name}, whose key {objections[0]}")
    return None
