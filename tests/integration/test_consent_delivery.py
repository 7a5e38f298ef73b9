"""Consent and filters on a real server: every form of event, a change while events wait, dead letters, figures."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.partners import OK, Partner, Town, answer
from tests.support.server import BACKEND, KEY, Server, until
from turnout.app import open_log
from turnout.receipts.store import Store
from turnout.receipts.trace import Fate, Shortfall, trace
from turnout.settings import Settings

CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      all: {{type: file, sources: [shop, backend], settings: {{path: out/all.ndjson}}}}
      three: {{type: file, sources: [shop, backend], consent: "3", settings: {{path: out/three.ndjson}}}}
      both: {{type: file, sources: [shop, backend], consent: ["3", C4], settings: {{path: out/both.ndjson}}}}
      either:
        type: file
        sources: [shop, backend]
        consent: {{categories: ["3", C4], mode: any}}
        settings: {{path: out/either.ndjson}}
      big:
        type: file
        sources: [shop, backend]
        consent: "3"
        filter:
          - {{property: value, operator: exists}}
          - {{property: currency, operator: is, values: [EUR, CHF]}}
        settings: {{path: out/big.ndjson}}
      rich: {{type: file, sources: [shop, backend], filter: value > 100, settings: {{path: out/rich.ndjson}}}}
      long: {{type: file, sources: [backend], event_names: [long], filter: 'CONCAT(a, a) != "x"',
              settings: {{path: out/long.ndjson}}}}
      hook: {{type: webhook, sources: [backend], event_names: [owed], settings: {{url: "HOOK"}},
              delivery: {{backoff_s: 0.05}}}}
"""
NAMES = ("all", "big", "both", "either", "rich", "three")


@pytest.fixture(scope="module")
def partner() -> Iterator[Partner]:
    one = Partner(answer("503 Busy"))
    with Town(one):
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, partner: Partner) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("consent") / "data", CONFIG.replace("HOOK", partner.url)) as one:
        yield one


def context(event_id: str) -> dict[str, object]:
    return {"event_id": event_id, "event_timestamp": 1_764_000_000_000}


def fates(server: Server, event_id: str) -> dict[str, Fate]:
    """By destination, once all are settled. Read beside the server, as `turnout trace` does."""
    settings = Settings(data=str(server.data))
    log, store = open_log(settings), Store(settings.state_path)
    try:
        until(lambda: any(one.settled for one in trace(log, store, event_id)), f"the outcomes of {event_id}")
        (found,) = trace(log, store, event_id)
    finally:
        store.close()
        log.close()
    return {one.destination.removeprefix("29/"): one for one in found.destinations}


def words(server: Server, event_id: str) -> dict[str, str]:
    """Outcome, or the reason of what was filtered, by destination."""
    found = fates(server, event_id)
    return {name: found[name].reason or found[name].outcome for name in NAMES}


def arrived(server: Server, name: str) -> set[str]:
    path = server.data / "out" / f"{name}.ndjson"
    lines = path.read_text().splitlines() if path.exists() else []
    return {json.loads(line)["context"]["event_id"] for line in lines}


def expected(three: str, both: str, either: str, big: str, rich: str) -> dict[str, str]:
    return {"all": "delivered", "three": three, "both": both, "either": either, "big": big, "rich": rich}


D, C, F = "delivered", "consent", "condition"
ORDER = {"value": 50, "currency": "EUR"}
ROWS: list[tuple[str, dict[str, object], dict[str, str]]] = [
    ("list", {"user": {"consent_categories": [3]}, **ORDER}, expected(D, C, D, D, F)),
    ("all", {"user": {"consent_categories": ["3", "C4"]}, "value": 101}, expected(D, D, D, F, D)),
    ("other", {"user": {"consent_categories": ["1"]}, **ORDER}, expected(C, C, C, C, F)),
    ("scalar", {"user": {"consent_categories": "3"}, "value": 1, "currency": "USD"}, expected(D, C, D, F, F)),
    ("mixed", {"user": {"consent_categories": ["3", None]}, **ORDER}, expected(C, C, C, C, F)),
    ("nothing", {"value": 1000}, expected(C, C, C, C, D)),
    ("half", {"properties": {"user": {"consent_categories": ["C4"]}, **ORDER}}, expected(C, C, D, C, F)),
    (
        "root wins",
        {"user": {"consent_categories": []}, "properties": {"user": {"consent_categories": ["3", "C4"]}}},
        expected(C, C, C, C, F),
    ),
]


def test_every_form_of_event_goes_where_its_consent_and_content_allow(server: Server) -> None:
    bodies = {
        name.replace(" ", "-"): {"event_name": "custom", **more, "context": context(name.replace(" ", "-"))}
        for name, more, _ in ROWS
    }
    singles = dict(list(bodies.items())[::2])
    for body in singles.values():
        assert server.post(body)[0] == 200
    batch = [body for name, body in bodies.items() if name not in singles]
    assert server.post({"batch": batch}, "/events/batch")[0] == 200
    old = {"event_name": "custom", "properties": {"user": {"consent_categories": [3, "C4"]}, **ORDER}}
    assert server.post({**old, **context("v1")})[0] == 200
    query = "event_name=custom&user[consent_categories][]=3&value=7&currency=CHF&context[event_id]=pixel"
    url = f"http://127.0.0.1:{server.port}/events?tc_s=29&token={KEY}&{query}&context[event_timestamp]=1764000000000"
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.status == 200
    table = {name.replace(" ", "-"): row for name, _, row in ROWS}
    table |= {"v1": expected(D, D, D, D, F), "pixel": expected(D, C, D, D, F)}
    assert {name: words(server, name) for name in table} == table
    for name in NAMES:
        assert arrived(server, name) == {one for one, row in table.items() if row[name] == D}, name


def test_a_trace_tells_what_was_required_and_what_was_given(server: Server) -> None:
    assert server.post({"event_name": "told", "user": {"consent_categories": [1, "3"]}, "context": context("told")})
    assert fates(server, "told")["big"].detail == 'EXISTS(value) && currency IN("EUR", "CHF")'
    listed = server.trace("told")[0]["destinations"]
    assert isinstance(listed, list)
    found = {one["destination"]: one["consent"] for one in listed}
    assert found["29/both"] == {"required": ["3", "C4"], "mode": "all", "given": ["1", "3"]}
    assert found["29/all"] is None
    shown = server.run("trace", "told").stdout.decode()
    assert "29/both              filtered: consent requires 3 and C4, given 1, 3\n" in shown
    assert "29/rich              filtered: condition value > 100\n" in shown


def test_a_filter_that_fails_stops_its_event_and_warns(server: Server) -> None:
    assert server.post({"event_name": "long", "a": "x" * 20_000, "context": context("long")})[0] == 200
    assert fates(server, "long")["long"].reason == "condition"

    def status() -> dict[str, list[str]]:
        found: dict[str, list[str]] = json.loads(server.run("status", "--json").stdout)
        return found

    warning = "destination 29/long: the filter failed for 1 events, not sent: a text longer than"
    until(lambda: any(line.startswith(warning) for line in status()["warnings"]), "the warning")
    assert server.get("/ready")[0] == 200
    assert server.errors.count("filter failed, event not sent") == 1
    until(lambda: b'turnout_filter_failures_total{destination="29/long"} 1.0' in server.get("/metrics")[1], "figures")


def test_what_waits_or_is_dead_is_decided_again_before_it_is_sent(server: Server, partner: Partner) -> None:
    categories = {"waits-3": [3], "waits-1": [1], "dead-3": [3], "dead-1": [1]}

    def send(*names: str) -> None:
        for name in names:
            body = {"event_name": "owed", "user": {"consent_categories": categories[name]}, "context": context(name)}
            assert server.post(body)[0] == 200

    def apply(old: str, new: str) -> None:
        text = server.configured.read_text()
        assert old in text
        server.configured.write_text(text.replace(old, new))
        done = server.run("apply", "-f", str(server.configured))
        assert done.returncode == 0, done.stderr

    partner.replies = (answer("404 Not Found"),)
    send("dead-3", "dead-1")
    assert [fates(server, one)["hook"].outcome for one in ("dead-3", "dead-1")] == ["error", "error"]
    partner.replies = (answer("503 Busy"),)
    apply("backoff_s: 0.05", "backoff_s: 1.5")
    send("waits-3", "waits-1")
    until(lambda: {"waits-3", "waits-1"} <= set(partner.ids()), "the first attempts")
    before = partner.ids().count("waits-1"), partner.ids().count("dead-1")
    apply('settings: {url: "http', 'consent: "3", settings: {url: "http')
    # An attempt that was under way while the configuration changed may still have been made.
    before = partner.ids().count("waits-1"), before[1]
    partner.replies = (OK,)
    assert server.run("dead", "replay", "--destination", "hook").returncode == 0
    assert fates(server, "waits-3")["hook"].outcome == "delivered"
    assert fates(server, "dead-3")["hook"].outcome == "delivered"
    for name in ("waits-1", "dead-1"):
        fate = fates(server, name)["hook"]
        assert (fate.outcome, fate.reason) == ("filtered", "consent")
        assert fate.consent == Shortfall(required=("3",), mode="all", given=("1",))
    assert (partner.ids().count("waits-1"), partner.ids().count("dead-1")) == before


def test_sums_close_and_tell_why_events_were_filtered(server: Server) -> None:
    audit = server.audit()
    assert audit["closes"]
    assert isinstance(audit["destinations"], list)
    by_name = {one["destination"].removeprefix("29/"): one for one in audit["destinations"]}
    for one in by_name.values():
        assert sum(one["filtered"].values()) == one["outcomes"].get("filtered", 0)
    big = by_name["big"]["filtered"]
    assert set(big) == {"consent", "condition"}
    shown = server.run("audit").stdout.decode()
    assert f"(condition {big['condition']}, consent {big['consent']})" in shown
    sample = f'turnout_filtered_events{{destination="29/big",reason="consent"}} {float(big["consent"])}'
    until(lambda: sample.encode() in server.get("/metrics")[1], sample)


def test_a_wrong_consent_or_filter_is_refused_with_its_place_and_changes_nothing(server: Server) -> None:
    wrong = server.configured.read_text().replace("filter: value > 100", "filter: valu e > 100").replace('"3"', "3", 1)
    file = server.data.parent / "wrong.yaml"
    file.write_text(wrong)
    for command in ("check",), ("apply", "-f"):
        done = server.run(*command, str(file))
        assert done.returncode != 0
        said = (done.stdout + done.stderr).decode()
        assert 'sites."29".destinations.three.consent: must be text' in said
        assert 'sites."29".destinations.rich.filter: line 1, column 6:' in said
    assert server.post({"event_name": "after", "user": {"consent_categories": [1]}, "context": context("after")})
    assert words(server, "after")["three"] == "consent"
