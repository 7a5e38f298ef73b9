"""The OpenAPI 3.1 document of the table of operations. Pure."""

import re
import typing
from collections.abc import Container, Mapping, Sequence
from importlib import metadata

import msgspec

from turnout.control.access.scopes import SCOPES
from turnout.control.access.sessions import COOKIE
from turnout.control.api.documents import LARGEST_ID, Listing, Nothing, Single
from turnout.control.api.operation import Feed, Operation, twins
from turnout.control.api.problems import KINDS, Problem
from turnout.control.api.schemas import anything

_ID = "^[^/]{1,128}$"
_REF = "#/components/schemas/{name}"
_PARAMETERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "site": ("Name of the site.", {"type": "string", "examples": ["29"]}),
    "id": ("Its number.", {"type": "integer", "minimum": 0, "maximum": LARGEST_ID}),
    "version": ("Its number.", {"type": "integer", "minimum": 0, "maximum": LARGEST_ID}),
    "event_id": ("The event's `context.event_id`.", {"type": "string", "minLength": 1}),
    "token_id": ("Id of the token.", {"type": "string", "pattern": _ID, "examples": ["tok_01m87xvaps7vaed2zm"]}),
    "account_id": ("Id of the account.", {"type": "string", "pattern": _ID, "examples": ["usr_01m87xvaps7vaed2zm"]}),
    "key_id": ("Id of the key.", {"type": "string", "pattern": _ID, "examples": ["key_01m87xvaps7vaed2zm"]}),
    "hit_id": ("Id of the record.", {"type": "string", "pattern": _ID, "examples": ["in_01m87xvaps7vaed2zm"]}),
    "issue_id": ("Id of the issue.", {"type": "string", "pattern": _ID, "examples": ["iss_31_e_502_bad_gateway"]}),
    "replay_id": ("Id of the replay.", {"type": "string", "pattern": _ID, "examples": ["rpl_01m87xvaps7vaed2zm"]}),
    "erasure_id": ("Id of the erasure.", {"type": "string", "pattern": _ID, "examples": ["ers_01m87xvaps7vaed2zm"]}),
}
_IF_MATCH: dict[str, object] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that GET gave without parameters: do it only if nobody has changed it since.",
    "schema": {"type": "string", "pattern": '^(W/)?"[0-9a-f]{32}"$'},
}
_IDEMPOTENCY_KEY: dict[str, object] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of your choice, for this request alone. Sent again within a day, it is answered as the first time.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_MEDIA = ("application/json", "application/vnd.api+json")
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
        kinds += [*([one.document] if one.document is not None else []), *([one.body] if one.takes_body else [])]
    references, components = msgspec.json.schema_components(kinds, schema_hook=anything, ref_template=_REF)
    schemas = iter(references)
    refused: dict[str, object] = {"content": {"application/problem+json": {"schema": next(schemas)}}}
    guarded = twins(operations)
    paths: dict[str, dict[str, object]] = {}
    for one in operations:
        answer = next(schemas) if one.document is not None else None
        body = next(schemas) if one.takes_body else None
        described = _operation(one, body, guarded)
        described["responses"] = {
            **_successes(one, answer, operations),
            **{str(status): refused | {"description": KINDS[status].title} for status in _failures(one, guarded)},
        }
        paths.setdefault(one.path, {})[one.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "turnout",
            "version": metadata.version("turnout"),
            "description": " ".join(_ABOUT.split()),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "trn_…",
                    "description": "Scopes: " + "; ".join(f"{name}: {what}" for name, what in SCOPES.items()),
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "Of somebody who has logged in to the interface; it counts where there is no "
                    "`Authorization`. What changes something needs the session's `X-CSRF-Token` too.",
                },
            },
            "schemas": components,
        },
    }


def _operation(one: Operation, body: Mapping[str, object] | None, guarded: Container[str]) -> dict[str, object]:
    required = f"Scope: `{one.scope}`." if one.scope is not None else "Any token."
    described: dict[str, object] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": f"{one.description} {required}".strip(),
        "x-scope": one.scope,
        "parameters": [*_path_parameters(one), *_query_parameters(one.query), *_header_parameters(one, guarded)],
    }
    if body is not None:
        described["requestBody"] = {"required": one.needs_body, "content": {kind: {"schema": body} for kind in _MEDIA}}
    return described


def _successes(
    one: Operation, answer: Mapping[str, object] | None, operations: Sequence[Operation]
) -> dict[str, object]:
    done: dict[str, object] = {"description": "Done."}
    if one.answer is Feed:
        done["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif answer is not None:
        done["content"] = {kind: {"schema": answer} for kind in _MEDIA}
    found: dict[str, object] = {}
    if one.takes_dry_run and one.status != 200:
        found["200"] = {**done, "description": "A dry run: nothing was done."}
    if one.status in (201, 202):
        done["headers"] = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
    if links := _links(one, operations):
        done["links"] = links
    found[str(one.status)] = done
    if one.may_be_empty:
        found["204"] = {"description": "Done, and there is nothing to say."}
    if one.etag:
        found["304"] = {"description": "Not changed."}
    return found


def _links(one: Operation, operations: Sequence[Operation]) -> dict[str, object]:
    """What can be done with the resources of an answer: operations on the path below, by their id."""
    if (
        one.method not in ("GET", "POST")
        or one.answer is None
        or typing.get_origin(one.answer) not in (Single, Listing)
    ):
        return {}
    place = "id" if typing.get_origin(one.answer) is Single else "0/id"
    found: dict[str, object] = {}
    for other in operations:
        below = other.path.removeprefix(f"{one.path}/")
        if below == other.path or not below.startswith("{") or below.count("{") > 1:
            continue
        names = re.findall(r"\{(\w+)\}", one.path)
        parameters = {name: f"$request.path.{name}" for name in names}
        parameters[below.partition("}")[0][1:]] = f"$response.body#/data/{place}"
        found[other.name] = {"operationId": other.name, "parameters": parameters}
    return found


def _failures(one: Operation, guarded: Container[str]) -> list[int]:
    statuses = {400, 401, 403, 429, 500, 503}
    if "{" in one.path:
        statuses.add(404)
    if one.takes_body:
        statuses |= {413, 415, 422}
    if one.method != "GET":
        statuses.add(409)
    if _header_parameters(one, guarded) == [_IF_MATCH]:
        statuses.add(412)
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


def _header_parameters(one: Operation, guarded: Container[str]) -> list[dict[str, object]]:
    if one.method == "POST":
        return [_IDEMPOTENCY_KEY]
    return [_IF_MATCH] if one.method in ("PATCH", "DELETE") and one.path in guarded else []


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
                **({"style": "deepObject", "explode": True} if schema.get("type") == "object" else {}),
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
