"""Credentials mean what the protocol's precedence says (`collect.md` §2)."""

from typing import NamedTuple

import pytest

from turnout.collect import directory, ga4
from turnout.collect.directory import NEVER, Directory, parameters
from turnout.model.config import Key, Snapshot, Source

B64 = "ab+c/d=="


def source(site: str, name: str, key: str, **more: object) -> Source:
    return Source(site=site, name=name, type="server", environment="production", key=key, **more)  # type: ignore[arg-type]


SOURCES = (
    source("29", "one", "k1", revoked_keys=("old1", "k2")),
    source("29", "two", "k2", ga4_bridge=False),
    source("29", "base64", B64),
    source("29", "idle", "ki", status="inactive", revoked_keys=("oldi",)),
    source("29", "gone", "kg", status="deleted", revoked_keys=("oldg",)),
    source("30", "other", "k3"),
)
DIRECTORY = Directory(
    Snapshot(version="1", sites=frozenset({"29", "30"}), sources={found.ref: found for found in SOURCES}), 0
)


class Row(NamedTuple):
    name: str
    query: str
    ref: str
    refusal: str = ""
    header: bytes | None = None
    warning: str = ""


K1, K2 = b"Bearer k1", b"Bearer k2"
ROWS = [
    Row("token", "tc_s=29&token=k1", "29/one"),
    Row("header", "tc_s=29", "29/one", header=K1),
    Row("alias", "tc_s=29&tc_skey=k1", "29/one"),
    Row("token before header", "tc_s=29&token=k1", "29/one", header=K2, warning="auth_conflict"),
    Row("header before alias", "tc_s=29&tc_skey=k2", "29/one", header=K1, warning="auth_conflict"),
    Row("token before alias", "tc_skey=k2&tc_s=29&token=k1", "29/one", warning="auth_conflict"),
    Row("all the same", "tc_s=29&token=k1&tc_skey=k1", "29/one", header=K1),
    Row("no second try with the other", "tc_s=29&token=no", "29/", "unknown_source_key", K1, "auth_conflict"),
    Row("empty token is none", "tc_s=29&token=", "29/one", header=K1),
    Row("blank token is none", "tc_s=29&token=%20", "29/one", header=K1),
    Row("scheme in any case", "tc_s=29", "29/one", header=b"  bEARER   k1  "),
    Row("another scheme is none", "tc_s=29", "29/", "missing_source_key", header=b"Basic k1"),
    Row("empty bearer is none", "tc_s=29", "29/", "missing_source_key", header=b"Bearer "),
    Row("no scheme is none", "tc_s=29", "29/", "missing_source_key", header=b"k1"),
    Row("bearer that is not ASCII", "tc_s=29", "29/", "unknown_source_key", header=b"Bearer \xff\xfe"),
    Row("site trimmed", "tc_s=%2029+&token=k1", "29/one"),
    Row("site twice alike", "tc_s=29&token=k1&tc_s=29", "29/one"),
    Row("site twice", "tc_s=29&token=k1&tc_s=30", "", "ambiguous_credentials"),
    Row("token twice alike", "tc_s=29&token=k1&token=k1", "29/one"),
    Row("token twice", "tc_s=29&token=k1&token=k2", "", "ambiguous_credentials"),
    Row("token and an empty one", "tc_s=29&token=k1&token=", "29/one"),
    Row("plus as it is", f"tc_s=29&token={B64}", "29/base64"),
    Row("plus encoded", "tc_s=29&token=ab%2Bc%2Fd%3D%3D", "29/base64"),
    Row("plus as an encoded space", "tc_s=29&token=ab%20c/d==", "29/base64"),
    Row("plus in the alias", f"tc_s=29&tc_skey={B64}", "29/base64"),
    Row("names encoded", "%74c_s=29&%74%6F%6b%65%6e=k1", "29/one"),
    Row("names are case-sensitive", "TC_S=29&token=k1", "29/one", "missing_site_id"),
    Row("other parameters", "x=1&tc_do_not_track=1&&=&tc_s=29&a=%&token=k1&tokens=k2&xtoken=k2", "29/one"),
    Row("no site", "token=k1", "29/one", "missing_site_id"),
    Row("empty site", "tc_s=&token=k1", "29/one", "missing_site_id"),
    Row("unknown site", "tc_s=31&token=k1", "29/one", "unknown_site"),
    Row("nothing", "", "", "missing_site_id"),
    Row("unknown site, unknown key", "tc_s=31&token=x", "", "unknown_site"),
    Row("no key", "tc_s=29", "29/", "missing_source_key"),
    Row("unknown key", "tc_s=29&token=x", "29/", "unknown_source_key"),
    Row("a key of another site", "tc_s=29&token=k3", "30/other", "site_mismatch"),
    Row("inactive", "tc_s=29&token=ki", "29/idle", "source_inactive"),
    Row("deleted", "tc_s=29&token=kg", "29/gone", "source_deleted"),
    Row("revoked", "tc_s=29&token=old1", "29/one", "key_revoked"),
    Row("revoked and inactive", "tc_s=29&token=oldi", "29/idle", "key_revoked"),
    Row("revoked and deleted", "tc_s=29&token=oldg", "29/gone", "source_deleted"),
    Row("revoked there, live here", "tc_s=29&token=k2", "29/two"),
    Row("GA4", "tc_s=29&token=k1&&ga_url_param=/g/collect?v=2&token=k2", "29/one"),
    Row("GA4 without a value", "tc_s=29&token=k1&ga_url_param", "29/one"),
    Row("GA4 where it is off", "tc_s=29&token=k2&ga_url_param=/g/collect", "29/two", "ga4_bridge_disabled"),
    Row("GA4 with a wrong key", "tc_s=29&token=x&ga_url_param=", "29/", "unknown_source_key"),
    Row("not GA4", "tc_s=29&token=k1&xga_url_param=1", "29/one"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_credentials(row: Row) -> None:
    hit = ga4.split(row.query)
    access = DIRECTORY.resolve(parameters(hit.ours if hit else row.query), row.header, hit is not None)
    assert access.ref == row.ref
    assert (access.refusal.code if access.refusal else "") == row.refusal
    assert access.warnings == ((row.warning,) if row.warning else ())
    assert (hit is not None) == row.name.startswith("GA4")
    if not row.refusal:
        assert access.source is not None
        assert access.source.ref == row.ref


def test_who_visits_is_of_interest_where_a_device_talks_to_us() -> None:
    shop = Source(site="29", name="shop", type="web", environment="production", key="ks")
    app = Source(site="29", name="app", type="mobile", environment="production", key="ka")
    known = Directory(
        Snapshot(
            version="1",
            sites=frozenset({"29"}),
            first_party={"29": ("shop.example",)},
            sources={found.ref: found for found in (shop, app, SOURCES[0])},
        ),
        0,
    )
    for query, identifies in (
        ("tc_s=29&token=ks", True),
        ("tc_s=29&token=ka", True),
        ("tc_s=29&token=k1", False),
        ("tc_s=29&token=ks&tc_do_not_track=1", False),
        ("tc_s=29&token=ks&tc_do_not_track=0", True),
        ("tc_s=30&token=ks", False),
    ):
        access = known.resolve(parameters(query))
        assert access.identifies == identifies, query
        assert access.domains == ("shop.example",)


def test_short_credentials_are_remembered_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "KNOWN", 3)
    fresh = Directory(Snapshot(version="1", sites=frozenset({"29"}), sources={SOURCES[0].ref: SOURCES[0]}), 0)
    mine, long = parameters("tc_s=29&token=k1"), parameters("tc_s=29&token=" + "k" * 2_000)
    assert fresh.resolve(mine) is fresh.resolve(mine)
    assert fresh.resolve(mine) is not fresh.resolve(mine, b"Bearer k1")
    assert fresh.resolve(long) is not fresh.resolve(long)
    first = fresh.resolve(mine)
    for number in range(3):
        fresh.resolve(parameters(f"tc_s=29&token=other{number}"))
    assert fresh.resolve(mine) is not first
    assert fresh.resolve(mine) == first


ROTATED = source(
    "29", "one", "new", keys=(Key(key="old", until_ms=2_000), Key(key="older", until_ms=1_000), Key(key="twin"))
)


@pytest.mark.parametrize(
    ("now_ms", "refused", "until_ms"),
    [(0, "", 1_000), (999, "", 1_000), (1_000, "older", 2_000), (1_999, "older", 2_000), (2_000, "old older", NEVER)],
)
def test_a_key_that_was_replaced_works_until_its_time_is_over(now_ms: int, refused: str, until_ms: int) -> None:
    known = Directory(Snapshot(version="1", sites=frozenset({"29"}), sources={ROTATED.ref: ROTATED}), now_ms)
    for key in ("new", "old", "older", "twin"):
        access = known.resolve(parameters(f"tc_s=29&token={key}"))
        assert access.ref == "29/one"
        assert (access.refusal.code if access.refusal else "") == ("key_revoked" if key in refused.split() else "")
    assert known.until_ms == until_ms


def test_a_key_that_ended_here_may_be_live_in_another_source() -> None:
    ended = source("29", "two", "k2", keys=(Key(key="moved", until_ms=1),))
    here = source("29", "one", "moved")
    for order in ((ended, here), (here, ended)):
        known = Directory(Snapshot(version="1", sites=frozenset({"29"}), sources={one.ref: one for one in order}), 5)
        access = known.resolve(parameters("tc_s=29&token=moved"))
        assert (access.ref, access.refusal) == ("29/one", None)
