"""Verification reports as Markdown, for the page that a CI server shows of a job: what is damaged, what to type."""

import re
import shlex
from collections.abc import Iterator

from ckptkit.cli import output
from ckptkit.cli.reports import lines, meanings, verdicts
from ckptkit.cli.reports.findings import Finding, problems, worst_first
from ckptkit.verification import Report

_MOST = 50  # findings; GitHub refuses a summary of more than 1 MiB
_LONGEST = 1000  # characters of a message
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def render(report: Report) -> str:
    """Return the document: the verdict, what was found, what can still be resumed, and what to type."""
    verdict, sentence = verdicts.of(report)
    covered = lines.coverage(report)
    counts = ", ".join(f"{number} {word}" for word, number in lines.counts(report).items() if number)
    read = f"{output.count(covered['files'], 'file')}, {output.size(covered['bytes'])} read, level {report.level}"
    text = [f"## Checkpoints: {verdict}", "", f"{sentence}.", ""]
    text += [f"{output.count(covered['checkpoints'], 'checkpoint')}: {counts} ({read}).", ""] if counts else []
    return "\n".join([*text, *_found(report), *_rules(report), *_resumable(report)]) + "\n"


def failed(message: str, hint: str) -> str:
    """Return the document of a verification that could not be done."""
    return f"## Checkpoints: not verified\n\n{_prose(message)}\n\n{_prose(hint)}\n"


def _found(report: Report) -> Iterator[str]:
    found = [one for one in worst_first(problems(report)) if one.problem.code != "rule-not-met"]
    if found:
        yield from ("### What was found", "", *map(_bullet, found[:_MOST]))
        if len(found) > _MOST:
            yield f"- and {len(found) - _MOST} more: they are in the report"
        yield ""


def _bullet(one: Finding) -> str:
    p, where = one.problem, one.problem.file or one.problem.item
    address = meanings.url(p.code)
    code = f"[{p.code}]({address})" if address else _code(p.code)
    place = f", {_code(where)}" if where else ""
    return f"- {one.severity}: {_code(one.subject)}{place}: {_prose(one.message)} ({code})"


def _rules(report: Report) -> Iterator[str]:
    if report.rules:
        yield from ("### Rules", "")
        for one in report.rules:
            met = "met" if one.problem is None else "**not met**"
            yield f"- {met}: {_code(one.run)} {_code(one.rule)}: {_prose(one.message)}"
        yield ""
    if report.fixed:
        yield f"Of the baseline no longer found: {', '.join(_code(lines.named(one)) for one in report.fixed[:_MOST])}."


def _resumable(report: Report) -> Iterator[str]:
    """Yield what is left of each run in which something is not good, and the lines that say more."""
    bad = {c.at.run: c for c in report.checkpoints if not c.good}
    if not bad:
        return
    yield from ("### What can still be resumed", "")
    for run in sorted(bad)[:_MOST]:
        good = [c.at.step for c in report.checkpoints if c.at.run == run and c.good]
        left = f"step {good[-1]}" if good else "none of those that were looked at"
        yield f"- {_code(run)}: {left}"
    yield from ("", "### What to type", "")
    for run, c in sorted(bad.items())[:_MOST]:
        store = c.at.storage.url
        yield f"- {_typed(store, 'resume-cmd', run)} prints the command that goes on from the newest that verifies"
        yield f"- {_typed(store, 'verify', c.at.ref, '--verbose')} looks at the newest of those that are not good again"
    yield ""


def _typed(store: str, *words: str) -> str:
    return _code(f"ckptkit --store {shlex.quote(store)} {shlex.join(words)}")


def _code(text: str) -> str:
    """Return a code span: between more backticks than the text has in a row, nothing in it means anything."""
    shown = output.safe(_cut(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _prose(text: str) -> str:
    """Return text in which nothing is markup: a backslash before each mark that could be."""
    return _PUNCTUATION.sub(r"\\\1", output.safe(_cut(text)).strip())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
