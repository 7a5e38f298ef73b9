"""The page at `/docs`: the OpenAPI document for people. One page of HTML that loads nothing and runs nothing."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple, cast

from turnout.control.access.scopes import ROLES, SCOPES
from turnout.control.api.problems import KINDS

Tree = Mapping[str, object]

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
h3 { margin-top: 2rem; overflow-wrap: anywhere }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere }
h3 b { font: 0.8em ui-monospace, monospace; border: 1px solid; border-radius: 4px; padding: 0 0.4em }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid var(--line) }
nav ul { columns: 2; list-style: none; padding: 0 }
"""


class Page(NamedTuple):
    """The page, and the headers that keep it harmless."""

    body: bytes
    headers: dict[str, str]


def render(document: Tree) -> Page:
    """The page of an OpenAPI document that `openapi.document` made."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    body = "".join(_page(document))
    title = escape(str(_tree(document["info"])["title"]))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}: API</title>'
    html = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'
    return Page(html.encode(), headers)


def _page(document: Tree) -> Iterator[str]:
    info = _tree(document["info"])
    yield f"<h1>{escape(str(info['title']))} {escape(str(info['version']))}: API</h1>"
    yield f"<p>{_prose(info['description'])} For programs: <a href='/openapi.json'>openapi.json</a>.</p>"
    operations = [
        (method, path, _tree(one))
        for path, item in _tree(document["paths"]).items()
        for method, one in _tree(item).items()
    ]
    yield "<nav><ul>"
    for method, path, one in operations:
        yield f"<li><a href='#{one['operationId']}'>{method.upper()} {escape(path)}</a></li>"
    yield "</ul></nav>"
    schemas = _tree(_tree(document["components"])["schemas"])
    tag = ""
    for method, path, one in operations:
        first = str(cast("list[object]", one["tags"])[0])
        if first != tag:
            tag = first
            yield f"<h2>{escape(tag)}</h2>"
        yield from _operation(method, path, one, schemas)
    yield from _scopes()
    yield from _problems()


def _operation(method: str, path: str, one: Tree, schemas: Tree) -> Iterator[str]:
    yield f"<h3 id='{one['operationId']}'><b>{method.upper()}</b> <code>{escape(path)}</code></h3>"
    yield f"<p><strong>{_prose(one['summary'])}</strong> {_prose(one['description'])}</p>"
    parameters = [_tree(one) for one in cast("list[object]", one["parameters"])]
    rows = [
        (f"<code>{escape(str(each['name']))}</code>", _kind(_tree(each["schema"])), _prose(each["description"]))
        for each in parameters
    ]
    yield from _table(("parameter", "value", "what it is"), rows)
    if "requestBody" in one:
        yield from _members("body", _content(_tree(one["requestBody"])), schemas)
    for status, response in _tree(one["responses"]).items():
        if status.startswith("2") and "content" in _tree(response):
            yield from _members(f"answer {status}", _content(_tree(response)), schemas)


def _members(title: str, schema: Tree, schemas: Tree) -> Iterator[str]:
    rows = list(_walk("", schema, schemas, frozenset()))
    yield from _table((title, "value", "what it is"), rows)


def _walk(path: str, schema: Tree, schemas: Tree, above: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """The members of a schema, and of those in it, each with its path."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name in above:
        return
    if name:
        yield from _walk(path, _tree(schemas[name]), schemas, above | {name})
        return
    for key, value in _tree(schema.get("properties", {})).items():
        where = f"{path}.{key}" if path else key
        inner = _tree(value)
        inside = list(_walk(where, inner, schemas, above))
        if not inside:
            yield f"<code>{escape(where)}</code>", _kind(inner), _prose(inner.get("description", ""))
        yield from inside
    for word in ("anyOf", "allOf"):
        for member in cast("list[object]", schema.get(word, [])):
            yield from _walk(path, _tree(member), schemas, above)
    if "items" in schema:
        yield from _walk(f"{path}[]", _tree(schema["items"]), schemas, above)


def _kind(schema: Tree) -> str:
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(word))}</code>" for word in cast("list[object]", schema["enum"]))
    members = [_kind(_tree(one)) for one in cast("list[object]", schema.get("anyOf", []))]
    if members:
        return " or ".join(dict.fromkeys(members))
    if "items" in schema:
        return f"list of {_kind(_tree(schema['items']))}"
    word = escape(str(schema.get("format") or schema.get("type") or "anything"))
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{word} {low}–{high}" if low is not None and high is not None else word


def _scopes() -> Iterator[str]:
    yield "<h2 id='scopes'>Scopes</h2>"
    yield from _table(
        ("scope", "allows to", "roles"),
        [
            (f"<code>{scope}</code>", escape(what), ", ".join(role for role, has in ROLES.items() if scope in has))
            for scope, what in SCOPES.items()
        ],
    )


def _problems() -> Iterator[str]:
    yield "<h2 id='problems'>Problems</h2>"
    for status, kind in KINDS.items():
        yield f"<h3 id='problems/{kind.slug}'><b>{status}</b> {escape(kind.title)}</h3>"
        yield f"<p>Codes: {', '.join(f'<code>{code}</code>' for code in kind.codes)}</p>"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield "<table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"
        for row in rows:
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        yield "</table>"


def _content(holder: Tree) -> Tree:
    """The schema of a body; all of its media types have the same."""
    first = next(iter(_tree(holder["content"]).values()))
    return _tree(_tree(first)["schema"])


def _prose(text: object) -> str:
    """Text with `code` in it."""
    parts = escape(str(text)).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _tree(value: object) -> Tree:
    assert isinstance(value, Mapping)
    return value
