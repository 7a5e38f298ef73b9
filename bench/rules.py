"""Rules at work: what cleansing, filters and mappings cost, beside the same pipeline without any."""

import time
from pathlib import Path

from bench.pipeline import append, done, payload
from bench.rig import EVENT, Row, config, processes, wait, workplace
from turnout.app import open_log
from turnout.control.configuration.secrets import Secrets
from turnout.process.enrichment.shelf import Shelf
from turnout.settings import Settings

DESTINATIONS = 5
EVENTS = 50
"""Events that the specification declares, the one that comes among them."""
USERS = 5_000
"""Entries of the store: each event looks up one of them."""
NOW_MS = 1_700_000_000_000
_FILTERS = (
    'event_name = "search" && user.id != "0"',
    'user.consent_categories IN("1", "2") && context.device.lang STARTSWITH "f"',
    'EXISTS(search_term) && NOT(context.page.url CONTAINS "admin")',
    'context.page.viewport.width BETWEEN(200, 2000) || search_term ~ "^t-"',
    'context.device.timezone = "Europe/Paris" && LENGTH(search_term) > 2',
)
_MAPPING = """{
  properties: [
    {action: rename, property: search_term, to: query},
    {action: set, property: page, expression: 'context.page.title + " | " + context.page.lang'},
    {action: delete, property: context.device.cookie}],
  events: {search: Search, purchase: Purchase},
  custom: {customer: user.id, device: UPPER(context.device.lang)}}"""
_CHANGES = {
    "term": "LOWER(TRIM(search_term))",
    "site": 'EXTRACT(context.page.url, "/", 2)',
    "area": "context.page.viewport.width * context.page.viewport.height",
    "language": "UPPER(LEFT(context.page.lang, 2))",
    "email_sha256": "SHA256(LOWER(user.email))",
    "campaign": 'COALESCE(utm_campaign, "none")',
    "day": 'DATEFORMAT(context.event_timestamp, "yyyy-MM-dd")',
    "browser": 'SELECT(context.device.user_agent, "(Chrome|Firefox)/([0-9]+)", 1)',
    "label": 'event_name + ": " + search_term',
    "marketing": 'user.consent_categories = "3"',
}
"""What ten rules set, each behind a condition of its own: twenty formulas."""
_SPECIFIED = """
  search_term: {type: string, required: true}, term: {type: string}, site: {type: string}, area: {type: integer},
  language: {type: string, enum: [EN, FR]}, email_sha256: {type: string, pattern: "^[0-9a-f]{64}$"},
  campaign: {type: string}, day: {type: string}, browser: {type: string}, label: {type: string},
  marketing: {type: boolean}"""
_ENRICHMENT = """{
  label: Customer, store: customers, key: user.id, event_names: [search],
  properties: [{property: user.segment, from: segment}, {property: user.orders, from: orders}]}"""


def with_rules(samples: int, events: int) -> list[Row]:
    """The worker alone on core 0: all of a site's rules at work, and five files with filters and mappings."""
    name = f"10 rules, 20 formulas, {EVENTS} events specified, a store, 5 filters and mappings, one core"
    row = Row(name, "events/s", "5 files without any", 0.5, 0.7)
    for _ in range(samples):
        row.reference.append(_rate(events, config(_files(full=False))))
        row.measured.append(_rate(events, full()))
    return [row]


def full() -> str:
    """The configuration that is measured."""
    return config(_files(full=True), _cleansing() + _specification() + _enrichment())


def event(number: int) -> bytes:
    """The sample event, from one of `USERS` users."""
    return payload(number).replace(_USER, b'"id":"u-%d"' % (number % USERS))


_USER = b'"id":"%b"' % str(EVENT["user"]["id"]).encode()  # type: ignore[index]


def fill(data: Path) -> None:
    """Put what is known of each user into the store."""
    settings = Settings(data=str(data))
    shelf = Shelf(settings.stores_path, Secrets(settings.secret_key_path))
    for number in range(USERS):
        shelf.put("29/customers", f"u-{number}", b'{"segment":"regular","orders":%d}' % number, NOW_MS, 1 << 50)
    shelf.flush(NOW_MS)
    shelf.close()


def _rate(events: int, text: str) -> float:
    """Events per second from the append to the last outcome of the last destination."""
    with workplace() as place:
        data = place / "data"
        (data / "log").mkdir(parents=True)
        fill(data)
        log = open_log(Settings(data=str(data)))
        try:
            with processes(data, text, "worker"):
                start = time.monotonic()
                append(log, events, event)
                for number in range(DESTINATIONS):
                    wait(lambda ref=f"29/d{number}": done(data, ref) >= events, "all events to be delivered", 600)  # type: ignore[misc] # default
                return events / (time.monotonic() - start)
        finally:
            log.close()


def _files(full: bool) -> str:
    written = []
    for number, formula in enumerate(_FILTERS):
        rules = f", filter: {_quoted(formula)}, mapping: {_MAPPING}" if full else ""
        settings = f"settings: {{path: d{number}.ndjson}}"
        written.append(f"d{number}: {{type: file, sources: [backend], {settings}{rules}}}")
    return "{" + ", ".join(written) + "}"


def _cleansing() -> str:
    when = _quoted('event_name = "search"')
    rules = []
    for name, formula in _CHANGES.items():
        row = f"{{action: set, property: {name}, expression: {_quoted(formula)}}}"
        rules.append(f"{{label: {name}, operation: modify_properties, when: {when}, properties: [{row}]}}")
    return f", cleansing: [{', '.join(rules)}]"


def _specification() -> str:
    others = (f"event_{number}: {{properties: {{{_SPECIFIED}}}}}" for number in range(EVENTS - 1))
    return f", specification: {{events: {{search: {{properties: {{{_SPECIFIED}}}}}, {', '.join(others)}}}}}"


def _enrichment() -> str:
    return f", stores: {{customers: {{key: user.id, retention_days: 30}}}}, enrichments: [{_ENRICHMENT}]"


def _quoted(formula: str) -> str:
    return "'" + formula.replace("'", "''") + "'"
