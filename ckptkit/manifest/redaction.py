"""Keep secrets out of manifests: userinfo and token-like values in URLs, argument lists and configurations."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
_SECRET_WORD = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase)?|secrets?|tokens?|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|"
    r"credentials?|auth|bearer|sig|signature)(?:$|[_.-])",
    re.IGNORECASE,
)
# Counts and names of tokens are everyday words of training ("max_tokens", "token_dropout"): numbers are never masked.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]*@")
_QUERY = re.compile(
    r"(?P<key>[?&;](?:[\w.-]*(?:token|secret|password|signature|credential|api_?key)[\w.-]*|sig|key|X-Amz-[\w-]+))=[^&;#\s]+",
    re.IGNORECASE,
)
# Prefixes by which well-known services mark their tokens.
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|"
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{30,}|xox[abprs]-[\w-]{10,}|"
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})\b"
)
_OPTION = re.compile(r"(?P<option>-{0,2}[\w.-]+)=(?P<value>.*)", re.DOTALL)


def _is_secret(name: str) -> bool:
    # camelCase apart, so that apiKey and authToken count too
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return bool(_SECRET_WORD.search(spaced.lstrip("-")))


def redact_text(text: str) -> str:
    """Return the text with userinfo of URLs, secret query values and well-known token shapes masked."""
    text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    text = _QUERY.sub(rf"\g<key>={MASK}", text)
    return _TOKEN.sub(MASK, text)


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return the argument list with ``--api-key VALUE``, ``--token=VALUE`` and the like masked."""
    result: list[str] = []
    mask_next = False
    for argument in argv:
        if mask_next and not argument.startswith("--"):
            result.append(argument if _plain(argument) else MASK)
            mask_next = False
            continue
        match = _OPTION.fullmatch(argument)
        if match and _is_secret(match["option"]) and not _plain(match["value"]):
            result.append(f"{match['option']}={MASK}")
        else:
            result.append(redact_text(argument))
        mask_next = argument.startswith("--") and match is None and _is_secret(argument)
    return result


def _plain(value: str) -> bool:
    """A number, a yes or no, or a template field is no secret."""
    return bool(re.fullmatch(r"[0-9.eE+-]*|true|false|none|null|\{[\w.!]+\}", value, re.IGNORECASE))


def redact_value(value: Any, key: str = "") -> Any:
    """Return a JSON value with the text under secret-looking keys, and token-like text anywhere, masked."""
    if isinstance(value, str):
        return MASK if key and _is_secret(key) and not _plain(value) else redact_text(value)
    if isinstance(value, Mapping):
        return {k: redact_value(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(v, key) for v in value]
    return value
