"""From text to a snapshot, or to every problem with its path and what to do."""

import pytest

from turnout.control.configfile import load, version
from turnout.destinations.webhook import Config as Webhook
from turnout.model.config import Delivery
from turnout.model.errors import ConfigError

EXAMPLE = """
sites:
  "29":
    sources:
      shop:     {type: web,    environment: production, key: 7183b9d4-1031-11ee-be56-0242ac120002}
      backend:  {type: server, environment: prod, key: 0c6f1a52-6a0d-4b0a-9d2e-2f6c6a4b9b11}
    destinations:
      archive:  {type: file,    sources: [shop, backend], settings: {path: out/events.ndjson}}
      orders:   {type: webhook, sources: [backend], event_names: [purchase],
                 settings: {url: "http://127.0.0.1:9000/in", headers: {X-Api-Key: "${ORDERS_KEY}"}}}
"""


def test_the_example_of_the_documentation_is_read_whole() -> None:
    found = load(EXAMPLE, {"ORDERS_KEY": "k-1"})
    assert found.sites == {"29"}
    assert {(source.ref, source.type, source.environment) for source in found.sources.values()} == {
        ("29/shop", "web", "production"),
        ("29/backend", "server", "production"),
    }
    archive, orders = found.destinations["29/archive"], found.destinations["29/orders"]
    assert archive.sources == {"29/shop", "29/backend"}
    assert archive.event_names == frozenset()
    assert orders.event_names == {"purchase"}
    assert isinstance(orders.settings, Webhook)
    assert orders.settings.headers == {"X-Api-Key": "k-1"}
    assert orders.delivery == Delivery()


def test_the_version_names_exactly_this_text() -> None:
    assert load(EXAMPLE, {"ORDERS_KEY": "a"}).version == load(EXAMPLE, {"ORDERS_KEY": "b"}).version == version(EXAMPLE)
    assert version(EXAMPLE) != version(EXAMPLE + "\n")


def test_what_browsers_need_is_read() -> None:
    found = load(
        """
        sites:
          s:
            first_party: [.Shop.example, "shop.co.uk."]
            sources:
              a: {type: web, key: k, trust_client_ip: false, ip: truncate, ga4_bridge: "${BRIDGE}",
                  cookie_requires_consent: true, lenient_content_type: true, allowed_origins: [https://a.example:8443]}
          t: {}
        """,
        {"BRIDGE": "false"},
    )
    assert found.first_party == {"s": ("shop.example", "shop.co.uk")}
    one = found.sources["s/a"]
    assert (one.trust_client_ip, one.ip, one.ga4_bridge) == (False, "truncate", False)
    assert (one.cookie_requires_consent, one.lenient_content_type) == (True, True)
    assert one.allowed_origins == ("https://a.example:8443",)


def test_how_the_records_of_a_site_are_sampled_is_read() -> None:
    text = "sites: {a: {}, b: {inspector: {sampling: auto}}, c: {inspector: {sampling: all}}}"
    assert load(text, {}).sampling == {"c": "all"}


KEYS = """
sites:
  s:
    sources:
      a:
        type: web
        key: new
        label: Our shop
        description: since 2026
        keys:
          - {key: day, until: 2026-12-01}
          - {key: moment, until: 2026-12-01T01:00:00+01:00}
          - {key: text, until: "2026-12-01T00:00:00.500Z"}
          - {key: no zone, until: 2026-12-01 00:00:00}
          - {key: parallel}
    destinations:
      d: {type: file, sources: [a], label: Files, settings: {path: f}}
      e: {type: file, sources: [a], settings: {path: g}}
"""
DECEMBER_MS = 1_796_083_200_000


def test_keys_have_ends_and_things_have_names_for_people() -> None:
    found = load(KEYS, {})
    one = found.sources["s/a"]
    assert [(key.key, key.until_ms) for key in one.keys] == [
        ("day", DECEMBER_MS),
        ("moment", DECEMBER_MS),
        ("text", DECEMBER_MS + 500),
        ("no zone", DECEMBER_MS),
        ("parallel", None),
    ]
    assert (one.key, one.label, one.description) == ("new", "Our shop", "since 2026")
    assert [found.destinations[ref].label for ref in ("s/d", "s/e")] == ["Files", "e"]


def site(text: str) -> str:
    return f"sites: {{s: {{{text}}}}}"


def source(text: str) -> str:
    return site(f"sources: {{a: {{{text}}}}}")


def destination(text: str) -> str:
    return site(f"sources: {{a: {{type: web, key: k}}}}, destinations: {{d: {{{text}}}}}")


FILE = "type: file, settings: {path: x}, sources: [a]"


@pytest.mark.parametrize(
    ("text", "path", "message", "fix"),
    [
        ("", "sites", "there is no site", "start with sites:"),
        ("[]", "", "must be a mapping", "{name: value}"),
        ("sites: []", "sites", "must be a mapping", "{name: value}"),
        ("site: {}", "site", "is not known", "did you mean 'sites'?"),
        ("sites: {a b: {}}", 'sites."a b"', "is no usable name", "letters, digits"),
        (site("sourcs: {}"), "sites.s.sourcs", "is not known", "did you mean 'sources'?"),
        (site("sources: [a]"), "sites.s.sources", "must be a mapping", "{name: value}"),
        (source("type: web"), "sites.s.sources.a.key", "is missing", "uuidgen"),
        (source("key: k"), "sites.s.sources.a.type", "is missing", "one of web, mobile, server"),
        (source("type: wbe, key: k"), "sites.s.sources.a.type", "'wbe' is not one of", "did you mean 'web'?"),
        (source("type: web, key: 0123"), "sites.s.sources.a.key", "must be text", "put it in quotes"),
        (source("type: web, key: k, kye: k"), "sites.s.sources.a.kye", "is not known", "did you mean 'key'?"),
        (
            source("type: web, key: k, environment: live"),
            "sites.s.sources.a.environment",
            "'live' is not one of production, staging, development",
            "known: development, production, staging",
        ),
        (
            source("type: web, key: k, status: on"),
            "sites.s.sources.a.status",
            "must be text",
            "put it in quotes",
        ),
        (
            source("type: web, key: k, max_events_per_second: many"),
            "sites.s.sources.a.max_events_per_second",
            "must be a whole number",
            "for example 100",
        ),
        (
            source("type: web, key: k, max_events_per_second: true"),
            "sites.s.sources.a.max_events_per_second",
            "must be a whole number",
            "for example 100",
        ),
        (
            source("type: web, key: k, max_events_per_second: 0"),
            "sites.s.sources.a.max_events_per_second",
            "must be at least 1",
            "leave it out",
        ),
        (
            source("type: web, key: k, revoked_keys: [a, 5]"),
            "sites.s.sources.a.revoked_keys[1]",
            "must be text",
            "put it in quotes",
        ),
        (source("type: web, key: k, allowed_origins: x"), "sites.s.sources.a.allowed_origins", "must be a list", "["),
        (
            source("type: web, key: k, allowed_origins: ['https://Shop.example', 'null']"),
            "sites.s.sources.a.allowed_origins[0]",
            "'https://Shop.example' is no origin",
            "in lower case and without a path",
        ),
        (
            source("type: web, key: k, allowed_origins: ['https://shop.example/']"),
            "sites.s.sources.a.allowed_origins[0]",
            "'https://shop.example/' is no origin",
            "without a path",
        ),
        (source("type: web, key: k, ip: cut"), "sites.s.sources.a.ip", "'cut' is not one of keep, truncate", "known"),
        (
            source("type: web, key: k, ga4_bridge: sometimes"),
            "sites.s.sources.a.ga4_bridge",
            "must be true or false",
            "without quotes",
        ),
        (
            source("type: server, key: k, trust_client_ip: true"),
            "sites.s.sources.a.trust_client_ip",
            "has no effect on a source of type server",
            "leave it out",
        ),
        (
            source("type: server, key: k, cookie_requires_consent: true"),
            "sites.s.sources.a.cookie_requires_consent",
            "has no effect on a source of type server",
            "leave it out",
        ),
        (site("first_party: shop.example"), "sites.s.first_party", "must be a list", "[one, two]"),
        (site("inspector: {sampling: some}"), "sites.s.inspector.sampling", "'some' is not one of", "known: all"),
        (site("inspector: {sampled: all}"), "sites.s.inspector.sampled", "is not known", "did you mean 'sampling'?"),
        (site("first_party: [com]"), "sites.s.first_party[0]", "'com' is no domain", "such as shop.example"),
        (site("first_party: [a.example, 192.0.2.1]"), "sites.s.first_party[1]", "'192.0.2.1' is no domain", "such as"),
        (site("first_party: ['a.example:8080']"), "sites.s.first_party[0]", "is no domain", "such as"),
        (site("first_party: ['https://a.example']"), "sites.s.first_party[0]", "is no domain", "such as"),
        (source("type: web, key: '${K}'"), "sites.s.sources.a.key", "the variable K is not set", "${K:-…}"),
        (destination("sources: [a]"), "sites.s.destinations.d.type", "is missing", "one of file, webhook"),
        (destination("type: fil, sources: [a]"), "sites.s.destinations.d.type", "unknown destination type", "known"),
        (destination("type: file, settings: {path: x}"), "sites.s.destinations.d.sources", "is missing", "sources: a"),
        (
            destination("type: file, settings: {path: x}, sources: [b, a]"),
            "sites.s.destinations.d.sources[0]",
            "there is no source 'b'",
            "known: a",
        ),
        (
            destination("type: file, settings: {paht: x, path: y}, sources: [a]"),
            "sites.s.destinations.d.settings.paht",
            "unknown setting",
            "did you mean 'path'?",
        ),
        (
            destination("type: file, sources: [a]"),
            "sites.s.destinations.d.settings.path",
            "is missing",
            "out/events.ndjson",
        ),
        (
            destination(f"{FILE}, dry_mode: maybe"),
            "sites.s.destinations.d.dry_mode",
            "must be true or false",
            "without quotes",
        ),
        (
            destination(f"{FILE}, delivery: {{max_atempts: 3}}"),
            "sites.s.destinations.d.delivery.max_atempts",
            "unknown setting",
            "did you mean 'max_attempts'?",
        ),
        (
            destination(f"{FILE}, delivery: {{max_attempts: 0}}"),
            "sites.s.destinations.d.delivery.max_attempts",
            "Expected `int` >= 1",
            "for example 8",
        ),
        (
            destination(f"{FILE}, delivery: [1]"),
            "sites.s.destinations.d.delivery",
            "must be a mapping",
            "{name: value}",
        ),
        (
            site("sources: {a: {type: web, key: k}, b: {type: web, key: k}}"),
            "sites.s.sources.b.key",
            "is also the key of s/a",
            "every source has its own",
        ),
        (
            site("sources: {a: {type: web, key: k}, b: {type: web, key: l, keys: [{key: m}, {key: k}]}}"),
            "sites.s.sources.b.keys[1].key",
            "is also the key of s/a",
            "every source has its own",
        ),
        (source("type: web, key: k, keys: [l]"), "sites.s.sources.a.keys[0]", "must be a mapping", "until: 2026-12-01"),
        (source("type: web, key: k, keys: [{}]"), "sites.s.sources.a.keys[0].key", "must be text", "{key: …"),
        (
            source("type: web, key: k, keys: [{key: l, til: 1}]"),
            "sites.s.sources.a.keys[0].til",
            "is not known",
            "known: key, until",
        ),
        (
            source("type: web, key: k, keys: [{key: l, until: tomorrow}]"),
            "sites.s.sources.a.keys[0].until",
            "'tomorrow' is no moment",
            "2026-12-01T00:00:00Z",
        ),
        (source('type: web, key: k, label: "a\\nb"'), "sites.s.sources.a.label", "is no label", "one line"),
        (
            source(f"type: web, key: k, description: {'x' * 4_001}"),
            "sites.s.sources.a.description",
            "is too long",
            "4000",
        ),
        (
            site(
                "sources: {a: {type: web, key: k}}, destinations: {"
                "d: {type: file, settings: {path: out/x}, sources: [a]},"
                "e: {type: file, settings: {path: out/../out/x}, sources: [a]}}"
            ),
            "sites.s.destinations.e.settings.path",
            "s/d writes this file too",
            "give it another",
        ),
    ],
)
def test_each_mistake_is_named_once_with_its_path_and_a_fix(text: str, path: str, message: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, {})
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert len(found) == 1, caught.value.problems
    assert message in found[0].message
    assert fix in found[0].fix


def test_all_mistakes_are_named_at_once() -> None:
    text = """
    sites:
      "29":
        sources: {shop: {type: wbe, key: 5}}
        destinations:
          orders: {type: webhook, sources: [shp], settings: {url: ftp://x, tmeout_ms: 1}}
          archive: {type: file, settings: {}}
    """
    with pytest.raises(ConfigError) as caught:
        load(text, {})
    assert [problem.path for problem in caught.value.problems] == [
        'sites."29".sources.shop.key',
        'sites."29".sources.shop.type',
        'sites."29".destinations.orders.sources[0]',
        'sites."29".destinations.orders.settings.tmeout_ms',
        'sites."29".destinations.archive.sources',
        'sites."29".destinations.archive.settings.path',
    ]
    assert all(problem.fix for problem in caught.value.problems)


def test_numbers_and_switches_may_come_from_variables() -> None:
    text = source("type: web, key: k, max_events_per_second: '${RATE}'")
    assert load(text, {"RATE": "100"}).sources["s/a"].max_events_per_second == 100
    text = destination(f"{FILE}, dry_mode: '${{DRY}}'")
    assert load(text, {"DRY": "true"}).destinations["s/d"].dry_mode is True


def test_the_same_key_in_two_sites_is_a_mistake_too() -> None:
    with pytest.raises(ConfigError, match="is also the key of s/a"):
        load("sites: {s: {sources: {a: {type: web, key: k}}}, t: {sources: {a: {type: web, key: k}}}}", {})
