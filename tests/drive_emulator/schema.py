"""The discovery document as a judge: which method a request calls, and whether what is sent fits its schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import unquote

Schema = dict[str, Any]

_INT64: Final = re.compile(r"-?[0-9]{1,19}")
_BOUNDS: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


class Mismatch(Exception):
    """Something that the discovery document does not allow; the message says where and why."""


@dataclass(frozen=True)
class Method:
    """One method of the service, as the document describes it."""

    id: str
    http: str
    path: str
    pattern: re.Pattern[str]
    parameters: dict[str, Schema]
    request: str | None
    response: str | None
    takes_media: bool

    def path_values(self, path: str) -> dict[str, str] | None:
        """The path parameters when `path` (below the service path, still percent-encoded) is this method's."""
        found = self.pattern.fullmatch(path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


@cache
def _published() -> dict[str, Any]:
    source = files("googleapiclient.discovery_cache") / "documents" / "drive.v3.json"
    document: dict[str, Any] = json.loads(source.read_text("utf-8"))
    return document


def document_for(root_url: str) -> dict[str, Any]:
    """The published document, rewritten so that a client built from it talks to `root_url` (which ends in "/")."""
    document = deepcopy(_published())
    document["rootUrl"] = root_url
    document["baseUrl"] = root_url + document["servicePath"]
    return document


class Discovery:
    """The published document, ready for questions."""

    def __init__(self) -> None:
        document = _published()
        self.service_path: str = document["servicePath"]
        self.batch_path: str = document["batchPath"]
        self._schemas: dict[str, Schema] = document["schemas"]
        self._common: dict[str, Schema] = document["parameters"]
        # Paths without parameters come first, so that files/generateIds is never taken for files/{fileId}.
        self.methods = sorted(_methods(document), key=lambda method: method.path.count("{"))

    def find(self, http: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """The method that `http` on `path` (below the service path) calls, with its path parameters."""
        for method in self.methods:
            if method.http == http and (values := method.path_values(path)) is not None:
                return method, values
        return None

    def knows_path(self, path: str) -> bool:
        """Whether any method, with whatever verb, has this path."""
        return any(method.path_values(path) is not None for method in self.methods)

    def parsed(self, method: Method, path_values: dict[str, str], query: dict[str, list[str]]) -> dict[str, Any]:
        """The parameters of a call, converted. Raises Mismatch for one that is unknown, missing, repeated or mistyped."""
        values: dict[str, Any] = {}
        given = query | {name: [value] for name, value in path_values.items()}
        for name, texts in given.items():
            schema = method.parameters.get(name) or self._common.get(name)
            if schema is None and name == "upload_id":
                schema = {"type": "string"}
            if schema is None:
                raise Mismatch(f"{method.id} has no parameter {name!r}")
            if len(texts) > 1 and not schema.get("repeated"):
                raise Mismatch(f"parameter {name} of {method.id} was given {len(texts)} times")
            converted = [_converted(name, schema, text) for text in texts]
            values[name] = converted if schema.get("repeated") else converted[0]
        for name, schema in method.parameters.items():
            if schema.get("required") and name not in values:
                raise Mismatch(f"{method.id} requires the parameter {name}")
            if name not in values and "default" in schema:
                values[name] = _converted(name, schema, schema["default"])
        return values

    def check(self, schema: str, value: object) -> None:
        """Raises Mismatch when `value` (parsed JSON) does not fit the schema of this name."""
        self._check({"$ref": schema}, value, schema)

    def fields(self, schema: Schema) -> Schema | None:
        """The fields of an object schema, None for a map with free keys. Follows references and array items."""
        schema = self.resolved(schema)
        if schema.get("type") == "array":
            return self.fields(schema["items"])
        if "additionalProperties" in schema:
            return None
        properties: Schema = schema.get("properties", {})
        return properties

    def resolved(self, schema: Schema) -> Schema:
        """The schema itself, or the one that it refers to."""
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"]]
        return schema

    def _check(self, schema: Schema, value: object, where: str) -> None:
        schema = self.resolved(schema)
        kind = schema.get("type", "any")
        if kind == "object":
            self._check_object(schema, value, where)
        elif kind == "array":
            if not isinstance(value, list):
                raise Mismatch(f"{where} must be a list, not {_kind(value)}")
            for index, element in enumerate(value):
                self._check(schema["items"], element, f"{where}[{index}]")
        elif kind == "string":
            _check_string(schema, value, where)
        elif kind == "boolean":
            if not isinstance(value, bool):
                raise Mismatch(f"{where} must be true or false, not {_kind(value)}")
        elif kind == "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                raise Mismatch(f"{where} must be a whole number, not {_kind(value)}")
            low, high = _BOUNDS[schema.get("format", "int32")]
            if not low <= value <= high:
                raise Mismatch(f"{where} is out of range")
        elif kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Mismatch(f"{where} must be a number, not {_kind(value)}")

    def _check_object(self, schema: Schema, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Mismatch(f"{where} must be an object, not {_kind(value)}")
        properties: Schema = schema.get("properties", {})
        free: Schema | None = schema.get("additionalProperties")
        for name, element in value.items():
            inner = properties.get(name, free)
            if inner is None:
                raise Mismatch(f"{where} has no field {name!r}")
            # A null clears a field in a patch, and stands for "absent" elsewhere.
            if element is not None:
                self._check(inner, element, f"{where}.{name}")


def _methods(document: dict[str, Any]) -> Iterator[Method]:
    resources = list(document["resources"].values())
    while resources:
        resource = resources.pop()
        resources.extend(resource.get("resources", {}).values())
        for raw in resource.get("methods", {}).values():
            path = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(raw["path"]))
            yield Method(
                id=raw["id"],
                http=raw["httpMethod"],
                path=raw["path"],
                pattern=re.compile(path),
                parameters=raw.get("parameters", {}),
                request=raw.get("request", {}).get("$ref"),
                response=raw.get("response", {}).get("$ref"),
                takes_media=raw.get("supportsMediaUpload", False),
            )


def _converted(name: str, schema: Schema, text: str) -> Any:
    kind = schema.get("type")
    if "enum" in schema and text not in schema["enum"]:
        raise Mismatch(f"parameter {name} must be one of {', '.join(schema['enum'])}, not {text!r}")
    if kind == "boolean":
        if text not in ("true", "false"):
            raise Mismatch(f"parameter {name} must be true or false, not {text!r}")
        return text == "true"
    if kind == "integer":
        if not _INT64.fullmatch(text):
            raise Mismatch(f"parameter {name} must be a whole number, not {text!r}")
        number = int(text)
        low, high = _BOUNDS[schema.get("format", "int32")]
        low, high = int(schema.get("minimum", low)), int(schema.get("maximum", high))
        if not low <= number <= high:
            raise Mismatch(f"parameter {name} must be between {low} and {high}, not {number}")
        return number
    return text


def _check_string(schema: Schema, value: object, where: str) -> None:
    if not isinstance(value, str):
        raise Mismatch(f"{where} must be a string, not {_kind(value)}")
    layout = schema.get("format")
    if layout in ("int64", "uint64"):
        low, high = _BOUNDS[layout]
        if not _INT64.fullmatch(value) or not low <= int(value) <= high:
            raise Mismatch(f"{where} must be a whole number written as a string, not {value!r}")
    elif layout == "date-time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise Mismatch(f"{where} must be an RFC 3339 time, not {value!r}") from None
        if "T" not in value or not re.search(r"(Z|[+-]\d\d:\d\d)$", value):
            raise Mismatch(f"{where} must be an RFC 3339 time with its offset, not {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise Mismatch(f"{where} must be one of {', '.join(schema['enum'])}, not {value!r}")


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return "null" if value is None else names[type(value)]
