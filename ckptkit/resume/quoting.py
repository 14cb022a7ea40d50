"""Quote arguments so that sh, bash, dash and zsh read back exactly the same ones, without running anything in them."""

import re
from collections.abc import Sequence

# Narrower than shlex.quote: "=" first is an expansion in zsh, and before the command it is an assignment everywhere.
_BARE = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*")
_RESERVED = frozenset(
    (
        *("if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in"),
        *("function", "time", "select", "coproc", "repeat", "foreach", "end"),
    )
)


def quote_command(argv: Sequence[str]) -> str:
    """Return the arguments as one shell command; only words that need it are quoted."""
    first, *rest = argv
    plain = first not in _RESERVED and "=" not in first and "%" not in first and _BARE.fullmatch(first)
    return " ".join([first if plain else _single(first), *(quote_word(word) for word in rest)])


def quote_word(word: str) -> str:
    """Return one argument, quoted if any shell would see something special in it."""
    return word if _BARE.fullmatch(word) else _single(word)


def _single(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"
