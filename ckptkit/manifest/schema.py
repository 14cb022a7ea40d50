"""The JSON Schema of manifest v1, generated from the models; `python -m ckptkit.manifest.schema` prints it."""

import json

from ckptkit.manifest.models import Manifest

SCHEMA_ID = "urn:ckptkit:manifest:1.0"


def json_schema() -> str:
    """Return the schema as text; docs/reference/manifest.schema.json is this text, and a test keeps it up to date."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(schema | Manifest.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
