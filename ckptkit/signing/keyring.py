"""Which keys are trusted, under which names, until when, and which are revoked: files that OpenSSH and git use, too."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from ckptkit.errors import NotFoundError, UsageError
from ckptkit.signing import key_files
from ckptkit.signing.keys import PublicKey

NAMESPACE = "ckptkit"
"""What a line with the option ``namespaces=`` must name, to be about checkpoints."""
_REVOKED = "revoked"
_MARK = "@revoked"
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_TYPES = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+")
_OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)"|=([^",]*))?(?:,|$)', re.IGNORECASE)
_MOMENT = re.compile(r"(\d{8})(\d{4})?(\d{2})?(Z?)")


@dataclass(frozen=True, slots=True)
class Trusted:
    """A key, and what is said of it.

    Attributes:
        key: the key.
        name: of whom it is.
        where: the file, and the line, that says so.
        after: signatures made before this moment do not count.
        before: nor do those made then or later.
    """

    key: PublicKey
    name: str
    where: str
    after: datetime | None = None
    before: datetime | None = None

    def objection(self, moment: datetime) -> str | None:
        """Return why nothing that it signed at a moment counts; None: it does."""
        if self.after is not None and moment < self.after:
            return f"was not valid before {_said(self.after)}"
        return f"expired at {_said(self.before)}" if self.before is not None and moment >= self.before else None


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by their fingerprints.

    Attributes:
        trusted: each key that is trusted, with all that is said of it.
        revoked: keys that nothing counts of, whenever it was signed, and where that is said.
    """

    trusted: dict[str, list[Trusted]]
    revoked: dict[str, str]

    @classmethod
    def of(cls, paths: Iterable[Path | str]) -> Self:
        """Return the keys in files and folders.

        Args:
            paths: of each a public key (PEM, or a line as OpenSSH writes it), OpenSSH's ``allowed_signers``, or a
                folder of such files. Revoked is what follows ``@revoked`` in a line, what is in a file called
                ``revoked`` (with any suffix), and what is in a folder of that name.

        Raises:
            NotFoundError: there is no such file.
            UsageError: a file is no such file, a path is empty, or no key is trusted.
        """
        ring, given = cls({}, {}), list(paths)
        if "" in given:  # as a path it would be the current folder, and all keys in it
            raise UsageError("the path of a public key is empty", hint="name the file; was a variable not set?")
        asked = [Path(path) for path in given]
        for path in asked:
            for file, revoked in _files(path):
                ring._add(file, revoked)
        if not ring.trusted and not ring.revoked:
            raise UsageError(f"{', '.join(map(str, asked))}: holds no public key", hint="put one there, NAME.pub")
        return ring

    def name(self, key: str) -> str:
        """Return whose a key is, or its fingerprint where nobody says so."""
        return self.trusted[key][0].name if key in self.trusted else key

    def _add(self, path: Path, revoked: bool) -> None:
        entries = list(_entries(path))
        if not entries:
            hint = "give an Ed25519 or ECDSA key: PEM, NAME.pub of ssh-keygen, or allowed_signers"
            raise UsageError(f"{path}: holds no public key that may sign checkpoints", hint=hint)
        for one, gone in entries:
            if revoked or gone:
                self.revoked[one.key.id] = one.where
            else:
                self.trusted.setdefault(one.key.id, []).append(one)


def _files(path: Path, revoked: bool = False) -> Iterator[tuple[Path, bool]]:
    """Yield the files that a path stands for, and whether their keys are revoked; hidden ones are nobody's."""
    gone = revoked or path.name.partition(".")[0] == _REVOKED
    if not path.is_dir():
        if not path.exists():
            raise NotFoundError(f"{path}: does not exist", hint="`ckptkit keygen FILE` makes FILE.pub, too")
        yield path, gone
        return
    for inner in sorted(path.iterdir()):
        if not inner.name.startswith("."):
            yield from _files(inner, gone)


def _entries(path: Path) -> Iterator[tuple[Trusted, bool]]:
    """Yield each key of a file with what is said of it, and whether the line revokes it."""
    data = key_files.read(path)
    if b"PRIVATE KEY-----" in data:
        raise UsageError(f"{path}: is a private key", hint="give the public one; nobody else needs this file")
    if b"-----BEGIN" in data:
        yield from ((Trusted(key, path.stem, str(path)), False) for key in key_files.public_keys(data, str(path)))
        return
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no file of public keys", hint="give PEM, or a line of OpenSSH's") from error
    for number, line in enumerate(lines, start=1):
        words = line.strip()
        if words and not words.startswith("#") and (one := _of_line(words, path, f"{path}:{number}")) is not None:
            yield one


def _of_line(line: str, path: Path, where: str) -> tuple[Trusted, bool] | None:
    """Return the key of a line: ``ssh-ed25519 AAAA... name``, or ``name [options] ssh-ed25519 AAAA...``.

    None for one that cannot sign checkpoints: of another kind, or for other things only.
    """
    revoked = line.startswith(f"{_MARK} ")
    rest = line.removeprefix(_MARK).lstrip()
    first, _, after = rest.partition(" ")
    name, options = path.stem, ""
    if not _TYPES.fullmatch(first):
        name, rest = first.partition(",")[0], after.lstrip()
        options, rest = _options(rest)
    words = rest.split()
    if len(words) < 2 or not _TYPES.fullmatch(words[0]):
        raise UsageError(f"{where}: is no public key", hint="ssh-ed25519 AAAA... NAME, as ssh-keygen writes it")
    if words[0] not in _KINDS:
        return None
    one = Trusted(key_files.public_key_of_line(" ".join(words[:2]), where), name, where)
    limited = _limited(one, options)
    return (one, True) if revoked else None if limited is None else (limited, False)


def _options(rest: str) -> tuple[str, str]:
    """Return the options of a line, and what follows them: they end at the first space outside quotes."""
    if _TYPES.fullmatch(rest.partition(" ")[0]):
        return "", rest
    quoted = False
    for place, letter in enumerate(rest):
        quoted ^= letter == '"'
        if letter == " " and not quoted:
            return rest[:place], rest[place:].lstrip()
    return rest, ""


def _limited(one: Trusted, options: str) -> Trusted | None:
    """Return a key with what its options say, None if it is for other things; raises UsageError for an unknown one."""
    place, after, before = 0, one.after, one.before
    while place < len(options):
        found = _OPTION.match(options, place)
        if found is None or found.end() == place:
            raise UsageError(f"{one.where}: {options!r} cannot be read", hint='valid-before="20270101Z",...')
        name, value, place = found[1].lower(), found[2] if found[2] is not None else found[3] or "", found.end()
        if name == "valid-after":
            after = _moment(value, one.where)
        elif name == "valid-before":
            before = _moment(value, one.where)
        elif name == "cert-authority" or (name == "namespaces" and NAMESPACE not in value.split(",")):
            return None
        elif name != "namespaces":  # it may forbid what would be allowed
            raise UsageError(f"{one.where}: the option {name!r} is not known here", hint="remove it, or the line")
    return Trusted(one.key, one.name, one.where, after, before)


def _moment(text: str, where: str) -> datetime:
    """Return a moment as OpenSSH writes it, ``20270131`` or ``202701311200``: in local time unless a ``Z`` follows."""
    found = _MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        plain = datetime.strptime(f"{found[1]}{found[2] or '0000'}{found[3] or '00'}+0000", "%Y%m%d%H%M%S%z")
    except ValueError as error:
        raise UsageError(f"{where}: {text!r} is no moment", hint="20270131, 202701311200Z") from error
    return plain if found[4] else plain.replace(tzinfo=None).astimezone()


def _said(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()
