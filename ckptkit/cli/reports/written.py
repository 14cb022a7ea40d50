"""Where the report of a verification goes: printed in one format, written to files in any, also when it failed."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit.cli import failing, output
from ckptkit.cli.failing import Failure
from ckptkit.cli.reports import files, hosts, junit, lines, markdown, prometheus, sarif
from ckptkit.errors import UsageError
from ckptkit.verification import Report

_RENDERED: dict[str, tuple[Callable[[Report], str], Callable[[Failure], str]]] = {
    "json": (lines.document, lines.failed),
    "junit": (junit.render, lambda f: junit.failed(f.message, f.hint)),
    "sarif": (sarif.render, lambda f: sarif.failed(f.message, f.hint, f.exit_code)),
    "github": (hosts.github, lambda f: hosts.github_failed(f.message, f.hint)),
    "gitlab": (hosts.gitlab, lambda f: hosts.gitlab_failed(f.message, f.hint)),
    "prometheus": (prometheus.render, prometheus.failed),
    "markdown": (markdown.render, lambda f: markdown.failed(f.message, f.hint)),
}
_FOR_SERVERS = ("junit", "sarif", "github", "gitlab", "markdown")
"""Formats that a CI server reads: it is told of a failure where it looks, on stdout too."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What was asked for.

    Attributes:
        printed: the format on stdout.
        written: option, format and file of each that is written.
    """

    printed: str
    written: Sequence[tuple[str, str, Path]]

    @classmethod
    def asked(
        cls,
        format_: str | None,
        junit: Path | None,
        sarif: Path | None,
        others: Sequence[str],
        metrics: Path | None = None,
    ) -> "Reports":
        """Return what the options ask for; raises UsageError for a file that could not be written."""
        options = (("--junit", "junit", junit), ("--sarif", "sarif", sarif), ("--metrics", "prometheus", metrics))
        written = [(option, name, file) for option, name, file in options if file is not None]
        for word in others:
            name, _, file = word.partition("=")
            if name in _RENDERED and word == f"{name}=":
                raise UsageError(f"--report {word} is empty", hint="name the file, or leave the option out")
            if name not in _RENDERED or not file:
                names = ", ".join(_RENDERED)
                raise UsageError(f"--report {word!r} is not FORMAT=FILE", hint=f"FORMAT is one of {names}")
            written.append(("--report", name, Path(file)))
        for option, _, path in written:
            files.require_writable(option, path)
        return cls(output.chosen(format_), written)

    def require(self, check: Callable[[Path], None]) -> None:
        """Call the check with each file."""
        for _, _, path in self.written:
            check(path)

    def write(self, report: Report, *, verbose: bool, quiet: bool) -> None:
        """Print and write the report."""
        if self.printed in _FOR_SERVERS:
            sys.stdout.write(_RENDERED[self.printed][0](report))
        else:
            lines.write(report, self.printed, verbose=verbose, quiet=quiet)
        for _, name, path in self.written:
            files.write(path, _RENDERED[name][0](report), whole=name == "prometheus")

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Say of an error in the block where a report was asked for what it is, and let it go on."""
        try:
            yield
        except Exception as error:
            failure = failing.failure_of(error, "ckptkit verify")
            if self.printed in _FOR_SERVERS:
                sys.stdout.write(_RENDERED[self.printed][1](failure))
            for _, name, path in self.written:
                with contextlib.suppress(OSError):  # the error itself is what a person must see
                    files.write(path, _RENDERED[name][1](failure), whole=name == "prometheus")
            raise
