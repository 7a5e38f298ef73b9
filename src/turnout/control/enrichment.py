"""`sites.SITE.stores` and `sites.SITE.enrichments` of `turnout.yaml`, or everything that is wrong with them.

See `processing.md` §6. Consent is named for every store that events fill: to keep what somebody did needs it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.changes import Findings, belonging
from turnout.control.routing import filter_of
from turnout.control.yamlfile import join
from turnout.destinations.headers import Headers
from turnout.destinations.templates import template_problems_in
from turnout.destinations.url import UrlTemplate
from turnout.formula import compile_formula
from turnout.formula.errors import did_you_mean
from turnout.model.config import Environment, Source
from turnout.model.enrichment import Api, DataStore, Enrichment, Placement, Row
from turnout.model.errors import Problem

_DAY_MS = 86_400_000
_SEGMENTS = 32
_CONSENT = "user.consent_categories"
_KINDS: dict[str, tuple[str, ...]] = {
    "api": ("api", "properties"),
    "geo": ("geo",),
    "user_agent": ("user_agent",),
    "store": ("store", "key", "properties"),
}
"""What each kind of enrichment has, itself first."""
_Text = Annotated[str, Meta(min_length=1, max_length=500)]


class StoreFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A store as it is written."""

    key: _Text
    event_name: str = ""
    consent: str = ""
    properties: list[_Text] = []
    filter: object = None
    retention_days: Annotated[int, Meta(ge=1, le=730)] = 1
    environment: Environment = "production"
    sources: list[str] = []
    status: Literal["active", "inactive"] = "active"
    description: str = ""


class RowFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A row as it is written."""

    property: _Text
    stored: Annotated[str, Meta(min_length=1, max_length=500)] = msgspec.field(name="from", default="")
    override: bool = False
    confirm: bool = False


class ApiFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An API as it is written."""

    url: _Text
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: dict[str, object] | None = None
    timeout_ms: Annotated[int, Meta(ge=1, le=5_000)] = 1_000
    cache_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300


class GeoFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A geo database as it is written."""

    file: Annotated[str, Meta(min_length=1, pattern="^/", examples=["/var/lib/GeoIP/GeoLite2-City.mmdb"])]


class EnrichmentFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An enrichment as it is written: from a `store` by a `key`, an `api`, a `geo` database, or the `user_agent`."""

    label: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A[^\n]*\S[^\n]*\Z")]
    store: str | UnsetType = UNSET
    key: _Text | UnsetType = UNSET
    api: dict[str, object] | UnsetType = UNSET
    geo: dict[str, object] | UnsetType = UNSET
    user_agent: Literal[True] | UnsetType = UNSET
    properties: list[object] | UnsetType = UNSET
    event_names: list[_Text] = []
    when: object = None
    placement: Placement = "root"
    path: str = ""
    environment: Environment = "production"
    sources: list[str] = []
    status: Literal["active", "inactive"] = "active"
    description: str = ""


def read_stores(
    site: str, members: Iterable[tuple[str, object]], path: str, sources: Mapping[str, Source], found: Findings
) -> Iterator[DataStore]:
    """The stores of a site, given as (name, value); wrong ones are left out, with every problem noted."""
    for name, value in members:
        where = join(f"{path}.stores", name)
        if not found.of_type(where, value, StoreFields):
            continue
        fields = msgspec.convert(value, StoreFields)
        for at, one in ((f"{where}.key", fields.key), *_at(f"{where}.properties", fields.properties)):
            _is_path(one, at, found)
        if fields.event_name and not fields.consent:
            fix = 'the category that users grant for it, for example "3"'
            found.wrong(f"{where}.consent", "is missing: to keep what events say needs the user's consent", fix)
        for field in ("consent", "filter"):
            if not fields.event_name and getattr(fields, field):
                found.wrong(f"{where}.{field}", "has no effect without event_name", "leave it out")
        yield DataStore(
            site=site,
            name=name,
            key=fields.key,
            event_name=fields.event_name,
            sources=_scope(site, fields.sources, fields.environment, where, sources, found),
            consent=fields.consent,
            properties=tuple(fields.properties),
            filter=_formula(fields.filter, f"{where}.filter", found),
            keep_ms=fields.retention_days * _DAY_MS,
            description=fields.description,
            status=fields.status,
        )


def read_enrichments(
    site: str,
    listed: Sequence[object],
    path: str,
    sources: Mapping[str, Source],
    stores: Mapping[str, DataStore],
    found: Findings,
) -> Iterator[Enrichment]:
    """The enrichments of a site in their order; `stores` are all there are, by reference. As `read_stores`."""
    labels: set[str] = set()
    for index, value in enumerate(listed):
        where = f"{path}.enrichments[{index}]"
        if not found.of_type(where, value, EnrichmentFields):
            continue
        fields = msgspec.convert(value, EnrichmentFields)
        if fields.label in labels:
            found.wrong(f"{where}.label", f"{fields.label!r} is another enrichment's label too", "each has its own")
        labels.add(fields.label)
        _look_up(site, fields, where, stores, found)
        if (fields.placement == "custom") != bool(fields.path):
            found.wrong(f"{where}.path", "goes with placement: custom, and only with it")
        if fields.path:
            _is_path(fields.path, f"{where}.path", found)
        yield Enrichment(
            site=site,
            label=fields.label,
            store=f"{site}/{fields.store}" if fields.store else "",
            key=fields.key or "",
            api=_api(fields.api, f"{where}.api", found) if fields.api is not UNSET else None,
            geo=_geo(fields.geo, f"{where}.geo", found) if fields.geo is not UNSET else "",
            user_agent=fields.user_agent is True,
            rows=tuple(_rows(fields.properties or (), f"{where}.properties", found)),
            sources=_scope(site, fields.sources, fields.environment, where, sources, found),
            event_names=frozenset(fields.event_names),
            when=_formula(fields.when, f"{where}.when", found),
            placement=fields.placement,
            path=fields.path,
            description=fields.description,
            status=fields.status,
        )


def _look_up(site: str, fields: EnrichmentFields, path: str, stores: Mapping[str, DataStore], found: Findings) -> None:
    """Check what an enrichment looks into, and that it has what goes with it and nothing else."""
    kind = next((kind for kind in _KINDS if getattr(fields, kind) is not UNSET), "store")
    needed = _KINDS[kind]
    given = {name: getattr(fields, name) for name in ("store", "key", "api", "geo", "user_agent", "properties")}
    complete = belonging(given, needed, f"an enrichment with {kind}", path, found)
    if complete and kind == "store":
        names = [store.name for store in stores.values() if store.site == site]
        if fields.store not in names:
            fix = did_you_mean(str(fields.store), names) or f"known: {', '.join(names) or 'none'}"
            found.wrong(f"{path}.store", f"there is no store {fields.store!r}", fix)
        _is_path(str(fields.key), f"{path}.key", found)
    placements = {"store": ("root", "same_level", "custom"), "api": ("root", "custom")}.get(kind, ("root",))
    if fields.placement not in placements:
        found.wrong(f"{path}.placement", f"{fields.placement} has no meaning with {kind}", "leave it out")
    if fields.properties == []:
        found.wrong(f"{path}.properties", "is empty", "a list of rows {property: …}")


def _geo(value: object, path: str, found: Findings) -> str:
    return msgspec.convert(value, GeoFields).file if found.of_type(path, value, GeoFields) else ""


def _api(value: object, path: str, found: Findings) -> Api | None:
    if not found.of_type(path, value, ApiFields):
        return None
    fields = msgspec.convert(value, ApiFields)
    for problem in _api_problems(fields):
        found.wrong(f"{path}.{problem.path}", problem.message, problem.fix)
    if fields.method == "GET" and fields.body is not None:
        found.wrong(f"{path}.body", "has no effect with method: GET", "leave it out, or set method: POST")
    return Api(
        url=fields.url,
        method=fields.method,
        headers=fields.headers,
        body=fields.body,
        timeout_ms=fields.timeout_ms,
        cache_ms=fields.cache_seconds * 1000,
    )


def _api_problems(fields: ApiFields) -> Iterator[Problem]:
    texts: dict[str, object] = {"url": fields.url, "headers": fields.headers, "body": fields.body}
    wrong = [problem for name, value in texts.items() for problem in template_problems_in(name, value)]
    yield from wrong
    if not wrong:
        yield from (Problem("url", problem.message, problem.fix) for problem in UrlTemplate(fields.url).problems())
        yield from Headers(fields.headers, signed=False).problems()


def _rows(listed: Sequence[object], path: str, found: Findings) -> Iterator[Row]:
    rows: list[Row] = []
    for index, value in enumerate(listed):
        where = f"{path}[{index}]"
        if not found.of_type(where, value, RowFields):
            continue
        fields = msgspec.convert(value, RowFields)
        row = Row(fields.property, fields.stored or fields.property, fields.override)
        if not _is_path(row.property, f"{where}.property", found) or not _is_path(row.stored, f"{where}.from", found):
            continue
        if (_within(row.property, _CONSENT) or _within(_CONSENT, row.property)) and not fields.confirm:
            fix = "if you may do that, say so with confirm: true in this row"
            found.wrong(f"{where}.property", f"changes {_CONSENT}, the user's own choice", fix)
        for other in rows:
            inner, outer = sorted((row, other), key=lambda one: -len(one.property))
            if _within(inner.property, outer.property) and outer.override and not inner.override:
                message = f"overlaps with {outer.property}, which replaces all of it"
                found.doubtful(f"{where}.property", message, "keep one of them")
        rows.append(row)
    return iter(rows)


def _scope(
    site: str, names: Sequence[str], environment: Environment, path: str, sources: Mapping[str, Source], found: Findings
) -> frozenset[str]:
    """References of the sources that are named, or of all of the environment."""
    known = {source.name: source for source in sources.values() if source.site == site}
    for at, name in _at(f"{path}.sources", names):
        if name not in known:
            fix = did_you_mean(name, known) or f"this site has {', '.join(known) or 'none'}"
            found.wrong(at, f"there is no source {name!r}", fix)
    chosen = names or [name for name, one in known.items() if one.environment == environment]
    return frozenset(f"{site}/{name}" for name in chosen)


def _formula(value: object, path: str, found: Findings) -> str:
    before = len(found.problems)
    text = filter_of(value, path, found.problems)
    if text and len(found.problems) == before:
        found.noted(path, compile_formula(text))
    return text


def _is_path(path: str, where: str, found: Findings) -> bool:
    segments = path.split(".")
    if all(segment.strip() for segment in segments) and len(segments) <= _SEGMENTS:
        return True
    found.wrong(where, f"{path!r} is no path", "names with dots between, such as user.id")
    return False


def _within(inner: str, outer: str) -> bool:
    return f"{inner}.".startswith(f"{outer}.")


def _at(path: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        yield f"{path}[{index}]", value
