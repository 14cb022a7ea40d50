"""The one redaction: no secret enters a manifest, and none in an older one is shown.

Secrets are recognised by shape: a value under a secret-looking name (``TOKEN=...``, ``--api-key ...``, a key of the
settings), userinfo and secret parameters of URLs, authorization headers, and the tokens of well-known services. A plain
word that happens to be a secret (``hunter2``) cannot be told from any other word.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ckptkit.errors import UsageError

MASK = "***"
_SECRET_WORD = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase)?|pw|secrets?|tok(?:ens?)?|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|wandb[._-]?keys?|"
    r"credentials?|auth|bearer|sig|signature)(?:$|[_.-])",
    re.IGNORECASE,
)
# Counts and names of tokens are everyday words of training ("max_tokens", "token_dropout"): numbers are never masked.
# One slash: as a path it lost the other. CONTAINER and USER stand in hints for what is to be written there.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:/{1,3})(?!(?:CONTAINER|USER)@)[^/\s@]*@")
_QUERY = re.compile(
    r"(?P<key>[?&;](?:[\w.-]*(?:token|secret|password|signature|credential|api_?key)[\w.-]*|sig|key|X-Amz-[\w-]+))=[^&;#\s]+",
    re.IGNORECASE,
)
# Prefixes by which well-known services mark their tokens.
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|"
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{30,}|xox[abeprs]-[\w-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{16,}|"
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
_NAMES = r"(?:proxy-)?authorization|x-[\w-]*(?:key|token|secret|auth)[\w-]*|(?:set-)?cookie"
_HEADER = re.compile(rf"\b(?P<name>{_NAMES})(?P<colon>\s*:\s*)[^\s'\"][^'\"\n]*", re.IGNORECASE)
_HEADER_ALONE = re.compile(rf"(?:{_NAMES}):", re.IGNORECASE)
_SCHEME = re.compile(r"bearer|basic", re.IGNORECASE)
_BEARER = re.compile(r"\b(?P<word>bearer\s+)(?=[A-Za-z0-9._~+/-]*[0-9])[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE)
_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\",;&()]+)"
_PAIR = re.compile(rf"(?P<name>(?<![\w.])-{{0,2}}[A-Za-z_][\w.-]*)(?P<between>=|:(?!//)){_VALUE}")
_SPACED = re.compile(rf"(?P<name>(?<![\w-])--[A-Za-z][\w-]*)(?P<between>\s+)(?!-){_VALUE}")
_OPTION = re.compile(r"(?P<option>-{0,2}[\w.-]+)=(?P<value>.*)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A quick look: most text holds nothing that any of the patterns could begin with.
_SUSPECT = re.compile(
    r"=|--|:/|(?:pass\w*|pw|secrets?|tok(?:ens?)?|keys?|credentials?|auth|sig|signature):|hf_|sk-|gh[pousr]_|github_pat_|glpat-|A[KS]IA|AIza|xox|npm_|pypi-|eyJ|bearer|authorization|cookie|x-",
    re.IGNORECASE,
)


def _is_secret(name: str) -> bool:
    # camelCase apart, so that apiKey and authToken count too
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lstrip("-")
    # --no-auth has no value, and that of --require-signature is a file of public keys
    return bool(_SECRET_WORD.search(spaced)) and not spaced.lower().startswith(("no-", "no_", "require-signature"))


def redact_text(text: str) -> str:
    """Return the text with everything masked that has the shape of a secret."""
    if not _SUSPECT.search(text):
        return text
    text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    text = _QUERY.sub(rf"\g<key>={MASK}", text)
    text = _HEADER.sub(rf"\g<name>\g<colon>{MASK}", text)
    text = _BEARER.sub(rf"\g<word>{MASK}", text)
    return _TOKEN.sub(MASK, _masked_pairs(text))


def _masked_pairs(text: str) -> str:
    return _SPACED.sub(_masked_pair, _PAIR.sub(_masked_pair, text))


def _masked_pair(match: re.Match[str]) -> str:
    value = match["value"]
    if not _is_secret(match["name"]):
        value = _masked_pairs(value)  # quotes may hold pairs of their own
    elif not _plain(value.strip("'\"")):
        value = MASK
    return f"{match['name']}{match['between']}{value}"


def require_open(what: str, words: Iterable[str]) -> None:
    """Raise UsageError if a name that is stored as is has the shape of a secret, without repeating it."""
    if any(redact_text(word) != word for word in words):
        raise UsageError(
            f"{what} looks like a secret (it is not repeated here); nothing was stored",
            hint="names and tags are stored, and shown, as they are: give one that everybody may read",
        )


def require_variables(names: Iterable[str]) -> None:
    """Raise UsageError for what is not the name of an environment variable, without repeating a value."""
    for given in names:
        name, equals, _ = given.partition("=")
        require_open("the name of a variable", [name])
        if not is_variable(given):
            said = f"variable {name} is given with a value" if equals and is_variable(name) else "not a variable's name"
            raise UsageError(
                f"env: {said} (it is not repeated here); nothing was stored",
                hint="give names only, as in --env WANDB_API_KEY; values are never stored",
            )


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return the argument list with ``--api-key VALUE``, ``--token=VALUE`` and the like masked."""
    result: list[str] = []
    mask_next = False
    for argument in argv:
        if mask_next and not argument.startswith("--"):
            result.append(argument if _plain(argument) or _SCHEME.fullmatch(argument) else MASK)
            mask_next = bool(_SCHEME.fullmatch(argument))
            continue
        match = _OPTION.fullmatch(argument)
        if match and _is_secret(match["option"]) and not _plain(match["value"]):
            result.append(f"{match['option']}={MASK}")
        else:
            result.append(redact_text(argument))
        mask_next = match is None and bool(
            (argument.startswith("--") and _is_secret(argument))
            or _HEADER_ALONE.fullmatch(argument)
            or _SCHEME.fullmatch(argument)
        )
    return result


def _plain(value: str) -> bool:
    """A number, a yes or no, a template field, or what is already masked is not a secret."""
    return bool(re.fullmatch(r"[0-9.eE+-]*|true|false|none|null|\{[\w.!]+\}|\*{3}", value, re.IGNORECASE))


def redact_value(value: Any, key: str = "") -> Any:
    """Return a JSON value with the text under secret-looking keys, and token-like text anywhere, masked."""
    if isinstance(value, str):
        return MASK if key and _is_secret(key) and not _plain(value) else redact_text(value)
    if isinstance(value, Mapping):
        return {redact_text(k) if isinstance(k, str) else k: redact_value(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        words = [redact_value(v, key) for v in value]
        return redact_argv(words) if words and all(isinstance(word, str) for word in words) else words
    return value


def is_variable(name: str) -> bool:
    """Return whether an environment variable can have this name; a name followed by a value cannot be one."""
    return bool(_VARIABLE.fullmatch(name))


def redact_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a manifest with every free text masked; whatever has another form is left as it is.

    Writers and readers both come through here: what was written before must not be shown either. The run stays
    resumable, since the name of a variable with a value stays.
    """
    masked = dict(fields)
    _change(masked, "config", dict, redact_value)
    for name in ("metrics", "counters"):
        _change(masked, name, dict, _named)
    _change(masked, "resume", dict, _resume)
    _change(masked, "items", dict, lambda items: {name: _item(item) for name, item in items.items()})
    return masked


def _change(fields: dict[str, Any], name: str, kind: type, change: Callable[[Any], Any]) -> None:
    if isinstance(fields.get(name), kind):
        fields[name] = change(fields[name])


def _texts(values: list[Any]) -> list[Any]:
    return [redact_text(value) if isinstance(value, str) else value for value in values]


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {redact_text(name): value for name, value in values.items()}


def _resume(said: dict[str, Any]) -> dict[str, Any]:
    said = dict(said)
    _change(said, "argv", list, lambda argv: redact_argv(argv) if all(isinstance(a, str) for a in argv) else argv)
    _change(said, "cwd", str, redact_text)
    _change(said, "env", list, _variables)
    return said


def _variables(names: list[Any]) -> list[Any]:
    kept = [name.partition("=")[0] if isinstance(name, str) else name for name in names]
    return [name for name in kept if not isinstance(name, str) or (is_variable(name) and redact_text(name) == name)]


def _item(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    item = dict(item)
    _change(item, "hazards", list, _texts)
    _change(item, "counters", dict, _named)
    if isinstance(item.get("captured"), dict):
        item["captured"] = dict(item["captured"])
        _change(item["captured"], "reasons", list, _texts)
    return item
