"""A site's time zone: dates without an offset are meant there, in rules, filters, mappings and templates alike."""

import json

import pytest

from turnout.control.configfile import load
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError
from turnout.trial import attempt

NOW_MS = 1_795_000_000_000
CONFIG = """
sites:
  "29":
    # ZONE
    sources: {shop: {type: server, key: k1}}
    destinations:
      hook:
        type: webhook
        sources: [shop]
        filter: HOUR(DATEADD(at, 0, "hours")) = 9 AND DATEDIFF(at, "2026-07-01T07:00:00Z", "minutes") = LAG
        mapping: {custom: {offset: TIMEZONE(at)}}
        settings:
          url: "https://partner.example/?at={{DATEFORMAT(at, 'ZZ')}}"
    cleansing:
      - label: Day
        operation: modify_properties
        properties: [{action: set, property: iso, expression: 'DATEADD(at, 0, "days")'}]
      - label: Copy
        operation: derive_event
        name: copy
        properties: [{action: set, property: derived_iso, expression: 'DATEADD(at, 1, "days")'}]
  "30":
    sources: {shop: {type: server, key: k2}}
"""


def configured(zone: str, lag: int) -> Snapshot:
    return load(CONFIG.replace("# ZONE", zone).replace("LAG", str(lag)), {})


@pytest.mark.parametrize(
    ("zone", "lag", "offset", "written"),
    [
        ("", -120, "UTC", "Z"),
        ("time_zone: UTC", -120, "UTC", "Z"),
        ("time_zone: Europe/Paris", 0, "UTC+2", "+02:00"),
        ("time_zone: Asia/Kolkata", 210, "UTC+5:30", "+05:30"),
    ],
)
def test_a_date_without_an_offset_is_meant_in_the_sites_zone(zone: str, lag: int, offset: str, written: str) -> None:
    snapshot = configured(zone, lag)
    body = json.dumps({"event_name": "x", "at": "2026-07-01T09:00", "user": {"consent_categories": []}}).encode()
    _, (own, child) = attempt(snapshot, snapshot.sources["29/shop"], body, NOW_MS)
    assert own.event is not None
    assert child.event is not None
    assert own.event["iso"] == f"2026-07-01T09:00:00.000{written}"
    assert child.event["derived_iso"] == f"2026-07-02T09:00:00.000{written}"
    (verdict,) = own.destinations
    assert (verdict.outcome, verdict.detail) == ("send", "")
    assert isinstance(verdict.event, dict)
    assert verdict.event["offset"] == offset
    assert verdict.request is not None
    assert verdict.request.url.endswith(
        ("+00%3A00" if written == "Z" else written).replace("+", "%2B").replace(":", "%3A")
    )


def test_other_sites_stay_where_they_are() -> None:
    snapshot = configured("time_zone: Europe/Paris", 0)
    assert snapshot.time_zones == {"29": "Europe/Paris"}
    assert {one.site: str(snapshot.time_zone(one.site)) for one in snapshot.sources.values()} == {
        "29": "Europe/Paris",
        "30": "UTC",
    }


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("Europe/Pari", "did you mean Europe/Paris?"),
        ("europe/paris", "did you mean Europe/Paris?"),
        ("../../etc/passwd", "a name of the time-zone database, such as Europe/Paris"),
        ("localtime", ""),
    ],
)
def test_a_zone_that_is_not_known_is_refused_with_a_way_out(written: str, fix: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(f"time_zone: {written}", 0)
    (problem,) = refused.value.problems
    assert problem.path == 'sites."29".time_zone'
    assert problem.fix == fix or not fix
