"""The JSON Schema of the configuration, for editors and other programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from zot.config.model import Config
from zot.config.values import LEVELS, write_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TRUTHS = ["true", "false", "yes", "no", "on", "off", "1", "0"]
_DURATION = r"^[+-]?(\d+|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$"


def json_schema() -> dict[str, Any]:
    """Return the schema; it has keys in the spelling of the reference, and values as weak as they are read."""
    schema = Config.model_json_schema(by_alias=True, schema_generator=_Weak)
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        del section["title"]
        for name, value in list(section["properties"].items()):
            _settle(name, value, section["properties"])
    schema["$defs"]["Log"]["properties"]["level"]["enum"] = list(LEVELS)
    return {"$schema": DIALECT, "title": "The configuration of zot", **schema}


def _settle(name: str, value: dict[str, Any], properties: dict[str, Any]) -> None:
    """Turn what `setting` noted into words of JSON Schema."""
    value.pop("title", None)
    facts = value.pop("zot")
    if facts["secret"]:
        value["writeOnly"] = True
    if facts["acted_on"] is False or facts["needless"]:
        value["$comment"] = facts["needless"] or "not acted on yet"
    for other in facts["also"]:
        properties[other] = {**value, "description": f"The same as {name}."}


class _Weak(GenerateJsonSchema):
    """Lets values be written as weakly as they are read: numbers and truths in quotes, one value for a list of one."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return {"anyOf": [super().int_schema(schema), {"type": "string", "pattern": r"^[+-]?\d+$"}]}

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return {"anyOf": [super().bool_schema(schema), {"enum": _TRUTHS}]}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        return {**super().str_schema(schema), "type": ["string", "number"]}

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "pattern": _DURATION}, {"type": "integer"}]}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        many = super().tuple_schema(schema)
        return {"anyOf": [many, many["items"]]} if "items" in many else many

    def encode_default(self, dft: Any) -> Any:
        return write_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)
