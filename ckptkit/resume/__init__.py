"""Resume commands: an argument list with fields, expanded for one checkpoint and written for a shell or a scheduler."""

from ckptkit.resume.command import Command, redacted_arguments
from ckptkit.resume.template import FIELDS, Value, expand, parse_template, pieces_of
from ckptkit.resume.writing import FORMATS, Format, format_command

__all__ = [
    "FIELDS",
    "FORMATS",
    "Command",
    "Format",
    "Value",
    "expand",
    "format_command",
    "parse_template",
    "pieces_of",
    "redacted_arguments",
]
