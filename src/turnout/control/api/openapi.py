"""The OpenAPI 3.1 document of the table of operations. Pure."""

from collections.abc import Mapping, Sequence
from importlib import metadata

import msgspec

from turnout.control.access.scopes import SCOPES
from turnout.control.api.documents import Nothing
from turnout.control.api.operation import Operation
from turnout.control.api.problems import KINDS, Problem

_REF = "#/components/schemas/{name}"
_PARAMETERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "site": ("Name of the site.", {"type": "string", "examples": ["29"]}),
    "id": ("Number of the source or destination.", {"type": "integer"}),
    "event_id": ("The event's `context.event_id`.", {"type": "string"}),
}
_ABOUT = """\
Everything a running turnout can be asked and told. Bodies and answers are JSON:API; errors are RFC 9457 problems
that name everything that is wrong. Send `Authorization: Bearer <token>`; `turnout token create` makes tokens."""


def render(operations: Sequence[Operation]) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(operations))


def document(operations: Sequence[Operation]) -> dict[str, object]:
    """The document as a tree of dicts."""
    kinds: list[object] = [Problem]
    for one in operations:
        kinds += [one.answer, *([one.body] if one.takes_body else [])]
    references, components = msgspec.json.schema_components(kinds, schema_hook=_anything, ref_template=_REF)
    schemas = iter(references)
    problem = next(schemas)
    paths: dict[str, dict[str, object]] = {}
    for one in operations:
        answer = next(schemas)
        body = next(schemas) if one.takes_body else None
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, answer, body, problem)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "turnout",
            "version": metadata.version("turnout"),
            "description": " ".join(_ABOUT.split()),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "trn_…",
                    "description": "Scopes: " + "; ".join(f"{name}: {what}" for name, what in SCOPES.items()),
                }
            },
            "schemas": components,
        },
    }


def _operation(
    one: Operation, answer: Mapping[str, object], body: Mapping[str, object] | None, problem: Mapping[str, object]
) -> dict[str, object]:
    required = f"Scope: `{one.scope}`." if one.scope is not None else "Any token."
    described: dict[str, object] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": f"{one.description} {required}".strip(),
        "x-scope": one.scope,
        "parameters": [*_path_parameters(one), *_query_parameters(one.query)],
        "responses": {
            str(one.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": answer}, "application/vnd.api+json": {"schema": answer}},
            },
            **({"304": {"description": "Not changed."}} if one.etag else {}),
            **{
                str(status): {
                    "description": KINDS[status].title,
                    "content": {"application/problem+json": {"schema": problem}},
                }
                for status in _failures(one)
            },
        },
    }
    if body is not None:
        kinds = ("application/json", "application/vnd.api+json")
        described["requestBody"] = {"required": True, "content": {kind: {"schema": body} for kind in kinds}}
    return described


def _anything(kind: type) -> dict[str, object]:
    """The schema of `object`; msgspec does not take an empty one."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError


def _failures(one: Operation) -> list[int]:
    statuses = {400, 401, 403, 429, 500, 503}
    if "{" in one.path:
        statuses.add(404)
    if one.takes_body:
        statuses |= {413, 415, 422}
    return sorted(statuses)


def _path_parameters(one: Operation) -> list[dict[str, object]]:
    names = [part.strip("{}") for part in one.path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name][0],
            "schema": dict(_PARAMETERS[name][1]),
        }
        for name in names
    ]


def _query_parameters(query: type[msgspec.Struct]) -> list[dict[str, object]]:
    if query is Nothing:
        return []
    found = []
    for field in msgspec.structs.fields(query):
        # None is how a parameter is left out, nothing that could be sent.
        schema = _without_null(msgspec.json.schema(field.type))
        if not field.required and field.default not in (None, (), msgspec.NODEFAULT):
            schema["default"] = msgspec.to_builtins(field.default)
        found.append(
            {
                "name": field.encode_name,
                "in": "query",
                "required": field.required,
                "description": schema.pop("description", ""),
                "schema": schema,
                **({"explode": False} if schema.get("type") == "array" else {}),
            }
        )
    return found


def _without_null(schema: Mapping[str, object]) -> dict[str, object]:
    members = schema.get("anyOf")
    if isinstance(members, list):
        kept = [member for member in members if member != {"type": "null"}]
        if len(kept) == 1:
            outer = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**kept[0], **outer}
    enum = schema.get("enum")
    return {**schema, "enum": [word for word in enum if word is not None]} if isinstance(enum, list) else dict(schema)
