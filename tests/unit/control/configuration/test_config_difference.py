"""What lies between two configurations, without secrets and keys."""

from turnout.control.configuration import difference
from turnout.control.configuration.difference import Change

OLD = """\
sites:
  "29":
    sources: {shop: {type: web, key: k1, keys: [{key: k0}]}, old: {type: web, key: gone}}
    destinations:
      d: {type: webhook, sources: [shop], settings: {url: u, secret: "${secret:v1:00000000:AAAA}"}}
  other: {}
"""
NEW = """\
# new
sites:
  "29":
    sources: {shop: {type: mobile, key: k2, keys: [{key: k1}], revoked_keys: [k0]}}
    destinations:
      d: {type: webhook, sources: [shop], settings: {url: u, secret: "${secret:v1:00000000:BBBB}"}, status: inactive}
  other: {}
"""
SHOP, D = 'sites."29".sources.shop', 'sites."29".destinations.d'
CHANGES = [
    Change(f"{SHOP}.type", "web", "mobile"),
    Change(f"{SHOP}.key", "***", "***"),
    Change(f"{SHOP}.keys[0].key", "***", "***"),
    Change(f"{SHOP}.revoked_keys", after=["***"]),
    Change('sites."29".sources.old', before={"type": "web", "key": "***"}),
    Change(f"{D}.settings.secret", "${secret:***}", "${secret:***}"),
    Change(f"{D}.status", after="inactive"),
]


def test_every_changed_place_is_told_with_before_and_after() -> None:
    assert difference.changes(OLD, NEW) == CHANGES
    assert difference.by_site(OLD, NEW) == {"29": CHANGES}
    assert difference.changes(OLD, OLD + "# only a comment\n") == []
    assert [one.path for one in difference.changes("", OLD)] == ["sites"]
    assert list(difference.by_site("", OLD)) == ["29", "other"]


def test_the_lines_show_that_a_secret_changed_and_not_what_it_is() -> None:
    shown = difference.lines(OLD, NEW, ("applied", "turnout.yaml"))
    assert shown.startswith("--- applied\n+++ turnout.yaml\n@@")
    assert "+# new\n" in shown
    assert shown.count('secret: "${secret:***}"') == 2
    assert "AAAA" not in shown + difference.lines(NEW, OLD)
    assert difference.lines(OLD, OLD) == ""


def test_a_last_line_without_an_end_does_not_run_into_the_next() -> None:
    assert difference.lines("a: 1", "a: 2").splitlines()[-2:] == ["-a: 1", "+a: 2"]
