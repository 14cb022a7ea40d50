"""How help reads: usage in this tool's own words, whole sentences, examples as they are typed, commands in groups.

A command's docstring says all of it. Paragraphs are wrapped; the first sentence is the summary that ``ckptkit --help``
shows. Indented lines below ``Examples:`` stay as they are (``ckptkit verify ppo/run1``), those below ``Exit codes:``
are set in two columns (``0: all of them verified``).
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.cli.anywhere import AnywhereCommand

OTHERS = "More"
"""The heading of commands that name no group (``rich_help_panel``), such as those that other packages bring."""

_EXTRAS = re.compile(r"\s*\[([^\[\]]*)\]$")
_WORDS = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""")
_TOGETHER = re.compile(rf"--?\w\S* (?!-)(?:{_WORDS.pattern})|{_WORDS.pattern}")  # an option and its value
_NARROW = 78  # below it, what explains an option needs the room more than its name does


class Command(AnywhereCommand):
    """A command whose help is laid out here."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return arguments before options, as people type them, and after all what stands behind ``--``."""
        arguments = [usage(p) for p in self.get_params(ctx) if p.param_type_name == "argument" and not _hidden(p)]
        options = [self.options_metavar] if self.options_metavar else []
        return sorted([*arguments, *options], key=lambda piece: (piece.startswith("[--"), piece in options))

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write paragraphs, examples and exit codes."""
        write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        write_parameters(self, ctx, formatter)


def summary(command: Any) -> str:
    """Return the first sentence of a command's help, whole."""
    text = command.short_help or next(iter(blocks(command.help or "")), "")
    first = re.match(r".*?[.!?](?=\s|$)", " ".join(text.split()))
    return first.group() if first and not command.short_help else " ".join(text.split())


def examples(command: Any) -> list[str]:
    """Return the lines that a command's help shows as examples, without their comments."""
    sections = dict(_sections(command.help or ""))
    lines = sections.get("Examples", "").splitlines()
    return [" ".join(_WORDS.findall(line)) for line in lines if not line.startswith("#")]


def write_text(text: str, formatter: Any) -> None:
    """Write a docstring: paragraphs wrapped, the lines of a section as they are, or in two columns (``0: text``)."""
    for block in blocks(text):
        heading, _, lines = block.partition("\n")
        if not is_section(block):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(" ".join(block.split()))
            continue
        with formatter.section(heading.removesuffix(":")):
            body = inspect.cleandoc(lines)
            if all(re.match(r"\d+: ", line) for line in body.splitlines()):
                rows = [line.split(": ", 1) for line in body.splitlines()]
                formatter.write_dl([(code, told) for code, told in rows])
            else:
                fitting = (part for line in body.splitlines() for part in _broken(line, formatter.width - 2))
                formatter.write("".join(f"  {part}\n" for part in fitting))


def write_commands(commands: Mapping[str, Any], formatter: Any) -> None:
    """Write all commands with their summaries, in groups as they come; those without a group are last."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, command in commands.items():
        heading = getattr(command, "rich_help_panel", None)
        groups.setdefault(heading if isinstance(heading, str) else OTHERS, []).append((name, summary(command)))
    last = groups.pop(OTHERS, [])
    widest = max(map(len, commands), default=0)
    for heading, rows in [*groups.items(), *([(OTHERS, last)] if last else [])]:
        with formatter.section(heading):
            formatter.write_dl([(f"{name:<{widest}}", told) for name, told in rows])


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write what may be given to a command: arguments, then options."""
    for kind, heading in (("argument", "Arguments"), ("option", "Options")):
        rows = [
            (label(p, ctx), explained(p, ctx))
            for p in command.get_params(ctx)
            if p.param_type_name == kind and not _hidden(p)
        ]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=30 if formatter.width >= _NARROW else 16)


def usage(argument: Any) -> str:
    """Return an argument as a usage line names it: ``RUN``, ``[RUN]``, ``NAME=PATH...``, ``[-- OVERRIDES...]``."""
    word = _word(argument) + ("..." if argument.nargs != 1 else "")
    return word if argument.required else f"[{word}]"


def label(parameter: Any, ctx: Any) -> str:
    """Return an argument's word, or an option's names with the word for its value."""
    if parameter.param_type_name == "argument":
        return _word(parameter)
    names = ", ".join(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
        return names
    return f"{names} {parameter.metavar or _value(parameter, ctx)}"


def _word(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper().replace("_", "-"))


def _value(option: Any, ctx: Any) -> str:
    """Return a word for an option's value: the choices, ``N`` for a number, else what the option is called."""
    told = option.get_help_record(ctx)[0].rpartition(" ")[2] if option.get_help_record(ctx) else ""
    kind = told.strip("<>[].")
    if "|" in kind:
        return kind
    return (
        "N" if re.search(r"\b(int|integer|float|range)\b", told.lower()) else option.opts[-1].rpartition("-")[2].upper()
    )


def explained(parameter: Any, ctx: Any) -> str:
    """Return what explains a parameter, with its default; typer's notes about ranges are no words for people."""
    text = (parameter.get_help_record(ctx) or ("", ""))[1]
    found = _EXTRAS.search(text)
    notes = found.group(1).split("; ") if found else []
    kept = [note for note in notes if note.startswith(("default: ", "env var: "))]
    if parameter.param_type_name == "option" and parameter.required:
        kept.append("required")
    if parameter.param_type_name == "option" and parameter.multiple and "may be repeated" not in text:
        kept.append("may be repeated")
    text = (text[: found.start()] if found else text).strip()
    return " ".join([*([text] if text else []), *([f"[{'; '.join(kept)}]"] if kept else [])])


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def blocks(text: str) -> list[str]:
    """Return a docstring's blocks: paragraphs, and sections with all their lines."""
    return [block for block in re.split(r"\n\s*\n", inspect.cleandoc(text).partition("\f")[0]) if block.strip()]


def _broken(line: str, width: int) -> Iterator[str]:
    """Yield a line that is typed as lines that fit and can be typed, too."""
    part = ""
    for word in _TOGETHER.findall(" ".join(_WORDS.findall(line))):
        if part.strip() and len(part) + len(word) + 3 > width:  # a space, and " \\"
            yield f"{part} \\"
            part = f"    {word}"
        else:
            part = f"{part} {word}" if part else word
    yield part


def is_section(block: str) -> bool:
    """Return whether a block is a heading with indented lines, rather than a paragraph."""
    """Whether a block is a heading with indented lines below it."""
    heading, *lines = block.splitlines()
    return heading.endswith(":") and bool(lines) and all(line.startswith("  ") for line in lines)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for block in filter(is_section, blocks(text)):
        heading, _, lines = block.partition("\n")
        yield heading.removesuffix(":"), inspect.cleandoc(lines)
