"""From the text of `turnout.yaml` to a `Snapshot`, or to every problem in it."""

import difflib
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import cast, get_args

import msgspec

from turnout.control import cleansing, enrichment, specification
from turnout.control.alerts.rules import read as read_alerts
from turnout.control.changes import Findings
from turnout.control.configuration.secrets import Secrets
from turnout.control.mapping import mapping_of
from turnout.control.routing import consent_of, filter_of
from turnout.control.sourcekeys import find_doubles, keys_of
from turnout.control.yamlfile import expand, join, parse
from turnout.destinations import registry
from turnout.formula.errors import did_you_mean
from turnout.model import timezone
from turnout.model.alerts import Alert
from turnout.model.cleansing import Rule
from turnout.model.config import Delivery, Destination, IpMode, Snapshot, Source
from turnout.model.enrichment import DataStore, Enrichment
from turnout.model.errors import ConfigError, Problem
from turnout.model.sampling import Mode
from turnout.model.specification import Specification

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#\sA-Z]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ENVIRONMENTS = ("production", "staging", "development")
_SOURCE_FIELDS = {
    "type": str,
    "environment": str,
    "key": str,
    "label": str,
    "description": str,
    "status": str,
    "keys": list,
    "revoked_keys": list,
    "allowed_origins": list,
    "max_events_per_second": int,
    "trust_client_ip": bool,
    "ip": str,
    "ga4_bridge": bool,
    "cookie_requires_consent": bool,
    "lenient_content_type": bool,
}
_CLIENT_SIDE_FIELDS = ("trust_client_ip", "cookie_requires_consent")
_SITE_FIELDS = {
    "sources": dict,
    "destinations": dict,
    "first_party": list,
    "time_zone": str,
    "cleansing": list,
    "alerts": dict,
    "stores": dict,
    "enrichments": list,
    "specification": dict,
    "inspector": dict,
}
_DESTINATION_FIELDS = {
    "type": str,
    "label": str,
    "description": str,
    "sources": list,
    "event_names": list,
    "consent": object,
    "filter": object,
    "mapping": object,
    "settings": dict,
    "environment": str,
    "status": str,
    "dry_mode": bool,
    "delivery": dict,
}
_SOURCE_TYPES = ("web", "mobile", "server")
_EXPECTED = {
    str: ("must be text", 'put it in quotes: "…"'),
    list: ("must be a list", "for example [one, two]"),
    dict: ("must be a mapping", "names and their values, indented below it or as {name: value}"),
    int: ("must be a whole number", "for example 100"),
    bool: ("must be true or false", "write true or false, without quotes"),
}
_LABEL_CHARACTERS, _DESCRIPTION_CHARACTERS = 255, 4_000
_SITES_FIX = 'start with sites: {"29": {sources: …}}'


def load(text: str, environment: Mapping[str, str], secrets: Secrets | None = None) -> Snapshot:
    """The configuration in `text`, with variables from `environment` and sealed secrets opened with `secrets`.

    Raises `ConfigError` with all problems.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    value = expand(parse(text), environment, "", problems, secrets)
    unresolved = len(problems)
    root = _mapping(value, "", {"sites": dict}, problems)
    sources: dict[str, Source] = {}
    destinations: dict[str, Destination] = {}
    first_party: dict[str, tuple[str, ...]] = {}
    time_zones: dict[str, str] = {}
    rules: list[Rule] = []
    alerts: dict[str, Alert] = {}
    stores: dict[str, DataStore] = {}
    enrichments: list[Enrichment] = []
    specifications: dict[str, Specification] = {}
    sampling: dict[str, Mode] = {}
    sites = root.get("sites") or {}
    if not isinstance(sites, dict) or not sites:
        if not any(problem.path == "sites" for problem in problems):
            problems.append(Problem("sites", "there is no site", _SITES_FIX))
        sites = {}
    for site_key, value in sites.items():
        site, path = str(site_key), join("sites", site_key)
        _name(site, path, problems)
        members = _mapping(value, path, _SITE_FIELDS, problems)
        first_party[site] = _domains(members, path, problems)
        time_zones[site] = _time_zone(members, path, problems)
        sampling[site] = _sampling(members, path, problems)
        for name, source in _members(members, "sources", path, problems):
            sources[f"{site}/{name}"] = _source(site, name, source, join(f"{path}.sources", name), problems)
        findings = Findings(problems, warnings)
        rules += cleansing.read(site, members, path, sources, findings)
        for store in enrichment.read_stores(site, _members(members, "stores", path, problems), path, sources, findings):
            stores[store.ref] = store
        listed = cast("list[object]", members.get("enrichments", []))
        enrichments += enrichment.read_enrichments(site, listed, path, sources, stores, findings)
        if (read_specification := specification.read(members, path, findings)) is not None:
            specifications[site] = read_specification
        for name, destination in _members(members, "destinations", path, problems):
            where = join(f"{path}.destinations", name)
            read = _destination(site, name, destination, where, sources, Findings(problems, warnings))
            if read is not None:
                destinations[read.ref] = msgspec.structs.replace(read, time_zone=time_zones[site])
        alerts |= read_alerts(site, members, path, sources, destinations, Findings(problems, warnings))
    problems += find_doubles(sources.values())
    _unique_files(destinations.values(), problems)
    if problems:
        # What stands in for a value that is not known here may be wrong too: that would only confuse.
        known = {problem.path for problem in problems[:unresolved]}
        rest = [problem for problem in problems[unresolved:] if problem.path not in known]
        raise ConfigError([*problems[:unresolved], *rest])
    return Snapshot(
        version=version(text),
        sites=frozenset(map(str, sites)),
        first_party={site: domains for site, domains in first_party.items() if domains},
        sources=sources,
        destinations=destinations,
        cleansing=tuple(rules),
        alerts=alerts,
        stores=stores,
        enrichments=tuple(enrichments),
        specifications=specifications,
        time_zones={site: zone for site, zone in time_zones.items() if zone != timezone.NAME},
        sampling={site: mode for site, mode in sampling.items() if mode != "auto"},
        warnings=tuple(warnings),
    )


def version(text: str) -> str:
    """A short name for exactly this text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _source(site: str, name: str, value: object, path: str, problems: list[Problem]) -> Source:
    fields = _mapping(value, path, _SOURCE_FIELDS, problems)
    _required(fields, "type", f"one of {', '.join(_SOURCE_TYPES)}", path, problems)
    _required(fields, "key", "a secret of your choice, for example what `uuidgen` prints", path, problems)
    _one_of(fields, "type", _SOURCE_TYPES, path, problems)
    if fields.get("environment") == "prod":
        fields["environment"] = "production"
    _one_of(fields, "environment", _ENVIRONMENTS, path, problems)
    _one_of(fields, "status", ("active", "inactive", "deleted"), path, problems)
    _one_of(fields, "ip", get_args(IpMode), path, problems)
    origins = fields["allowed_origins"] = _texts(fields, "allowed_origins", path, problems)
    fields["revoked_keys"] = _texts(fields, "revoked_keys", path, problems)
    fields["keys"] = keys_of(fields.get("keys"), f"{path}.keys", problems)
    _words(fields, name, path, problems)
    for index, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            fix = "as browsers send it, in lower case and without a path: https://www.shop.example"
            problems.append(Problem(f"{path}.allowed_origins[{index}]", f"{origin!r} is no origin", fix))
    for field in _CLIENT_SIDE_FIELDS:
        if field in fields and fields.get("type") == "server":
            message = "has no effect on a source of type server"
            problems.append(Problem(f"{path}.{field}", message, "leave it out, or is the type web or mobile?"))
    fields.setdefault("environment", "production")
    rate = fields.get("max_events_per_second")
    if isinstance(rate, int) and rate < 1:
        problems.append(Problem(f"{path}.max_events_per_second", "must be at least 1", "leave it out for no limit"))
    return _convert(Source, {"type": "web", "key": "", **fields, "site": site, "name": name})


def _destination(
    site: str, name: str, value: object, path: str, sources: Mapping[str, Source], found: Findings
) -> Destination | None:
    problems = found.problems
    fields = _mapping(value, path, _DESTINATION_FIELDS, problems)
    known = [ref.partition("/")[2] for ref in sources if ref.startswith(f"{site}/")]
    _required(fields, "type", f"one of {', '.join(sorted(registry.types()))}", path, problems)
    linkable = f"a list of this site's sources: {', '.join(known) or 'there is none'}"
    if fields.get("sources") != []:
        _required(fields, "sources", linkable, path, problems)
    if fields.get("environment") == "prod":
        fields["environment"] = "production"
    _one_of(fields, "environment", _ENVIRONMENTS, path, problems)
    _one_of(fields, "status", ("active", "inactive"), path, problems)
    _words(fields, name, path, problems)
    linked = _texts(fields, "sources", path, problems)
    for index, source in enumerate(linked):
        if source not in known:
            problems.append(Problem(f"{path}.sources[{index}]", f"there is no source {source!r}", _like(source, known)))
    raw = fields.get("delivery", {})
    wrong = list(registry.find_problems(f"{path}.delivery", raw, Delivery))
    problems += wrong
    fields["delivery"] = Delivery() if wrong else msgspec.convert(raw, Delivery)
    fields["consent"] = consent_of(fields.get("consent"), f"{path}.consent", problems)
    fields["filter"] = filter_of(fields.get("filter"), f"{path}.filter", problems)
    fields["mapping"] = mapping_of(fields.get("mapping"), f"{path}.mapping", found)
    if "type" not in fields:
        return None
    settings, wrong = registry.validate(str(fields["type"]), fields.get("settings", {}))
    for problem in wrong:
        inside = f"{path}.settings" if fields["type"] in registry.types() else f"{path}.type"
        where = f"{inside}.{problem.path}" if problem.path else inside
        problems.append(Problem(where, problem.message, problem.fix))
    fields["settings"] = settings
    fields["sources"] = frozenset(f"{site}/{source}" for source in linked)
    fields["event_names"] = frozenset(_texts(fields, "event_names", path, problems))
    return Destination(**cast("dict[str, object]", {**fields, "site": site, "name": name}))  # type: ignore[arg-type] # checked above, field by field


def _domains(members: Mapping[str, object], path: str, problems: list[Problem]) -> tuple[str, ...]:
    """A site's first-party domains, as the cookie needs them."""
    domains = []
    for index, text in enumerate(_texts(members, "first_party", path, problems)):
        domain = text.lower().lstrip(".").removesuffix(".")
        if not _DOMAIN.fullmatch(domain):
            fix = "a domain whose hosts are all yours, such as shop.example"
            problems.append(Problem(f"{path}.first_party[{index}]", f"{text!r} is no domain", fix))
        domains.append(domain)
    return tuple(domains)


def _time_zone(members: Mapping[str, object], path: str, problems: list[Problem]) -> str:
    """Where a site's dates without an offset are meant."""
    name = members.get("time_zone", timezone.NAME)
    if name not in timezone.known():
        fix = did_you_mean(str(name), timezone.known()) or "a name of the time-zone database, such as Europe/Paris"
        problems.append(Problem(f"{path}.time_zone", f"{name!r} is no time zone", fix))
        return timezone.NAME
    return str(name)


def _sampling(members: Mapping[str, object], path: str, problems: list[Problem]) -> Mode:
    """How a site's records for the inspector are sampled."""
    fields = _mapping(members.get("inspector"), f"{path}.inspector", {"sampling": str}, problems)
    _one_of(fields, "sampling", get_args(Mode), f"{path}.inspector", problems)
    return cast("Mode", fields.get("sampling", "auto"))


def _convert(kind: type[Source], fields: dict[str, object]) -> Source:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        # Already in `problems`, with a better text; this stands in so that the rest can be checked too.
        return kind(site=str(fields["site"]), name=str(fields["name"]), type="web", environment="production", key="")


def _mapping(value: object, path: str, known: Mapping[str, type], problems: list[Problem]) -> dict[str, object]:
    """The known fields of a mapping, each of its type; everything else is a problem."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(Problem(path, *_EXPECTED[dict]))
        return {}
    fields: dict[str, object] = {}
    for key, item in value.items():
        where = join(path, key)
        expected = known.get(str(key))
        if expected is None:
            problems.append(Problem(where, "is not known", _like(str(key), known)))
        elif item is not None:
            read = _from_variable(item, expected)
            if isinstance(read, expected) and not (expected is int and isinstance(read, bool)):
                fields[str(key)] = read
            else:
                problems.append(Problem(where, *_EXPECTED[expected]))
    return fields


def _from_variable(item: object, expected: type) -> object:
    """A number or switch that a `${VARIABLE}` gave as text; anything else as it is."""
    if expected is int and isinstance(item, str) and re.fullmatch(r"\d{1,18}", item, re.ASCII):
        return int(item)
    if expected is bool and item in ("true", "false"):
        return item == "true"
    return item


def _members(
    fields: Mapping[str, object], kind: str, path: str, problems: list[Problem]
) -> Iterable[tuple[str, object]]:
    members = fields.get(kind, {})
    assert isinstance(members, dict)
    for name, value in members.items():
        _name(str(name), join(f"{path}.{kind}", name), problems)
        yield str(name), value


def _name(name: str, path: str, problems: list[Problem]) -> None:
    if not _NAME.fullmatch(name):
        problems.append(Problem(path, "is no usable name", "letters, digits, _ . and -, 64 at most"))


def _words(fields: dict[str, object], name: str, path: str, problems: list[Problem]) -> None:
    """What people read: a label of one line, which is the name where there is none, and a description."""
    label = str(fields.get("label") or name)
    if len(label) > _LABEL_CHARACTERS or not label.isprintable() or not label.strip():
        problems.append(Problem(f"{path}.label", "is no label", f"one line, 1 to {_LABEL_CHARACTERS} characters"))
    if len(str(fields.get("description", ""))) > _DESCRIPTION_CHARACTERS:
        problems.append(Problem(f"{path}.description", "is too long", f"{_DESCRIPTION_CHARACTERS} characters at most"))
    fields["label"] = label


def _required(fields: Mapping[str, object], name: str, fix: str, path: str, problems: list[Problem]) -> None:
    where = f"{path}.{name}"
    if not fields.get(name) and not any(problem.path == where for problem in problems):
        problems.append(Problem(where, "is missing", fix))


def _one_of(
    fields: Mapping[str, object], name: str, words: tuple[str, ...], path: str, problems: list[Problem]
) -> None:
    value = fields.get(name)
    if value is not None and value not in words:
        problems.append(
            Problem(f"{path}.{name}", f"{value!r} is not one of {', '.join(words)}", _like(str(value), words))
        )


def _texts(fields: Mapping[str, object], name: str, path: str, problems: list[Problem]) -> tuple[str, ...]:
    values = fields.get(name, [])
    assert isinstance(values, list)
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            problems.append(Problem(f"{path}.{name}[{index}]", *_EXPECTED[str]))
    return tuple(value for value in values if isinstance(value, str) and value)


def _like(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}" if names else ""


def _unique_files(destinations: Iterable[Destination], problems: list[Problem]) -> None:
    seen: dict[str, Destination] = {}
    for destination in destinations:
        if destination.type != "file" or (target := getattr(destination.settings, "path", None)) is None:
            continue
        if (other := seen.setdefault(posixpath.normpath(str(target)), destination)) is not destination:
            path = join(join("sites", destination.site) + ".destinations", destination.name)
            problems.append(Problem(f"{path}.settings.path", f"{other.ref} writes this file too", "give it another"))
