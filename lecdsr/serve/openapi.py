"""The OpenAPI description of the service, with examples from the items that it serves."""

from __future__ import annotations

from typing import Any

import msgspec

import lecdsr
from lecdsr.serve import messages
from lecdsr.serve.load import LoadedExport

_REFUSALS = {
    "400": "The body is not JSON.",
    "401": "The token is missing or wrong.",
    "404": "There is no such user or item.",
    "408": "The request took too long to arrive.",
    "413": "The request is too large.",
    "415": "The body is not declared as application/json.",
    "422": "A value is wrong.",
    "503": "Too many requests are being answered.",
}
_SCHEMA = "#/components/schemas/{name}"


def openapi(export: LoadedExport, with_token: bool) -> dict[str, Any]:
    """Describe the service.

    Args:
        export: where the examples are from; they name items, not users.
        with_token: whether clients must send a token.
    """
    types = [messages.RecommendRequest, messages.ExplainRequest, messages.Recommendations, messages.Explanation,
             messages.Similar, messages.Items, messages.Health, messages.Error]  # fmt: skip
    _, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMA)
    domains = ["x", "y", "both", *dict.fromkeys(export.names.values())]
    schemas["RecommendRequest"]["properties"]["domain"]["enum"] = domains
    examples = export.catalogue.examples
    first, other = (export.catalogue.item(number).asin for number in (examples[0], examples[-1]))
    components: dict[str, Any] = {"schemas": schemas}
    if with_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lecdsr",
            "version": lecdsr.__version__,
            "description": f"Recommendations of {export.facts.get('model')} for the pair {export.facts.get('pair')}: "
            + " and ".join(f"{key} is {name}" for key, name in export.names.items())
            + ".",
        },
        "security": [{"token": []}] if with_token else [],
        "components": components,
        "paths": _paths(first, other, domains),
    }


def _paths(first: str, other: str, domains: list[str]) -> dict[str, Any]:
    history = {"history": [first, {"item": other, "day": "2018-05-01"}]}
    recommend = {
        "a history": {**history, "k": 5},
        "one domain": {"history": [first], "day": "2018-05-01", "domain": "y", "k": 3, "exclude_owned": False},
        "a user": {"user": "A1B2C3", "latest": 15},
    }
    explain = {"a history": {**history, "item": other}, "a user": {"user": "A1B2C3", "item": first}}
    return {
        "/recommend": {
            "post": _post("Recommend to a user or to a history.", "Recommend", "Recommendations", recommend)
        },
        "/explain": {"post": _post("Explain the score of an item.", "Explain", "Explanation", explain)},
        "/similar/{item}": {
            "get": _get(
                "List the items that are most similar to one.",
                "Similar",
                [
                    _parameter("item", "path", {"type": "string", "minLength": 1}, first, "ASIN or title."),
                    *_shared(messages.MOST_ITEMS, 10, domains),
                ],
            )
        },
        "/items": {
            "get": _get(
                "Search items by the words of their titles.",
                "Items",
                [
                    _parameter(
                        "query",
                        "query",
                        {"type": "string", "maxLength": 200, "pattern": "\\S"},
                        "green tea",
                        "Words.",
                        True,
                    ),
                    *_shared(messages.MOST_FOUND, 20, domains),
                ],
            )
        },
        "/health": {"get": _get("Say what is served; needs no token.", "Health", [])},
        "/metrics": {"get": _text("Counters in the text format of Prometheus.")},
    }


def _shared(most: int, default: int, domains: list[str]) -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return [
        _parameter("domain", "query", {"enum": domains, "default": "both"}, "both", "x, y, a name, or both."),
        _parameter("k", "query", number, 5, "Number of items."),
    ]


def _parameter(
    name: str, place: str, schema: dict[str, Any], example: object, text: str, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name, "in": place, "required": required or place == "path", "schema": schema, "example": example,
        "description": text,
    }  # fmt: skip


def _post(summary: str, request: str, answer: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = {
        "schema": {"$ref": _SCHEMA.format(name=f"{request}Request")},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    body = {"required": True, "content": {"application/json": content}}
    return {"summary": summary, "requestBody": body, "responses": _responses(answer, _REFUSALS)}


def _get(summary: str, answer: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    refusals = {status: text for status, text in _REFUSALS.items() if status not in ("400", "413", "415")}
    return {"summary": summary, "parameters": parameters, "responses": _responses(answer, refusals)}


def _text(summary: str) -> dict[str, Any]:
    answer = {"description": "Done.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"summary": summary, "responses": {"200": answer, **_errors({"401": _REFUSALS["401"]})}}


def _responses(answer: str, refusals: dict[str, str]) -> dict[str, Any]:
    return {"200": {"description": "Done.", "content": _json(answer)}, **_errors(refusals)}


def _errors(refusals: dict[str, str]) -> dict[str, Any]:
    return {status: {"description": text, "content": _json("Error")} for status, text in refusals.items()}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMA.format(name=name)}}}
