"""The JSON Schema of manifest v1, generated from its parts; `python -m ckptkit.manifest.schema` prints it."""

import json
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from ckptkit.manifest.models import Manifest, Part
from ckptkit.manifest.parts import Limits, annotated

SCHEMA_ID = "urn:ckptkit:manifest:1.0"


def json_schema() -> str:
    """Return the schema as text; docs/reference/manifest.schema.json is this text, and a test keeps it up to date."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(schema | model_of(Manifest).model_json_schema(), indent=2, sort_keys=True) + "\n"


def model_of(part: type[Part]) -> type[BaseModel]:
    """Return pydantic's model of a part: it accepts and refuses the same."""
    fields: dict[str, Any] = {
        name: (_hint(hint), ... if make is None else make()) for name, hint, make in annotated(part)
    }
    config = ConfigDict(strict=True, frozen=True, extra="allow")
    return create_model(part.__name__, __config__=config, __doc__=part.__doc__, **fields)


def _hint(hint: Any) -> Any:
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return Annotated[(_hint(inner[0]), *(said for one in inner[1:] for said in _said(inner[0], one)))]
    if kind in (Union, UnionType):
        return Union[tuple(map(_hint, inner))]  # noqa: UP007 - of as many as there are
    if kind in (list, dict):
        return kind[tuple(map(_hint, inner))]
    return model_of(hint) if kind is not Literal and isinstance(hint, type) and issubclass(hint, Part) else hint


def _said(base: Any, limits: Limits) -> list[Any]:
    """Return limits in pydantic's words."""
    number = base is int
    low, high = ("ge", "le") if number else ("min_length", "max_length")
    words: dict[str, Any] = {low: limits.least, high: limits.most, "pattern": limits.pattern}
    found: list[Any] = [Field(**{name: value for name, value in words.items() if value is not None})]
    if (also := limits.also) is not None:
        found.append(AfterValidator(lambda value: (also(value), value)[1]))
    return found


if __name__ == "__main__":
    print(json_schema(), end="")
