"""The check of standard events: `processing.md` §5, `collect.md` §12 "Standard event content"."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from turnout.process.steps.check import check
from turnout.specification.catalogue import CATALOGUE, STANDARD

USER: dict[str, object] = {"id": "c-1", "consistent_anonymous_id": "67892", "consent_categories": ["1"]}
CONTEXT: dict[str, object] = {"event_id": "e-1", "event_timestamp": 1639044446636}
ITEM: dict[str, object] = {
    "id": "SKU-9",
    "quantity": 1,
    "product": {"id": "P-9", "name": "Rain coat", "price": 49.92},
}
PURCHASE: dict[str, object] = {
    "event_name": "purchase",
    "id": "T-1",
    "type": "online",
    "value": 59.9,
    "revenue": 49.92,
    "payment_method": "card",
    "currency": "EUR",
    "status": "in_progress",
    "items": [ITEM],
}
VIDEO: dict[str, object] = {
    "event_name": "video_start",
    "video_session_id": "v-1",
    "content_asset_id": ["a-1"],
    "cursor_position": 0,
    "total_length": 120,
}


def event(**properties: object) -> dict[str, Any]:
    """A complete event with these properties, as the collector hands it on."""
    return copy.deepcopy({"user": USER, "context": CONTEXT, **properties})


def purchase(**changed: object) -> dict[str, Any]:
    return event(**{**PURCHASE, **changed})


def without(whole: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name not in names}


def found(whole: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong, as (path, rule), sorted."""
    return sorted((violation.path, violation.rule) for violation in check(whole))


COMPLETE = [
    purchase(),
    event(event_name="search", search_term="t-shirts"),
    event(event_name="page_view", page_type="home", url="https://shop.example/"),
    event(event_name="select_item", items=[ITEM]),
    without(event(event_name="video_start", **without(VIDEO, "event_name")), "user"),
    event(event_name="ad_click", medium="cpc", source="google"),
]


@pytest.mark.parametrize("whole", COMPLETE, ids=lambda whole: whole["event_name"])
def test_complete_event_is_valid_and_unchanged(whole: dict[str, Any]) -> None:
    before = copy.deepcopy(whole)
    assert check(whole) == []
    assert whole == before


MISSING = [
    (without(purchase(), "id"), ["id"]),
    (without(purchase(), "user"), ["user"]),
    (purchase(user=None), ["user"]),
    (purchase(user={"id": "c-1"}), ["user.consistent_anonymous_id"]),
    (purchase(id=None, currency=None), ["currency", "id"]),
    (purchase(items=[{**ITEM, "product": {"id": "P", "name": "n"}}]), ["items.0.product.price"]),
    (purchase(items=[ITEM, {"id": "S"}]), ["items.1.product", "items.1.quantity"]),
    (event(event_name="search"), ["search_term"]),
    (event(event_name="view_item", items=[], currency="EUR"), ["value"]),
    (event(event_name="view_cart", items=[], value=3), ["currency"]),
    (event(event_name="view_cart", items=[], revenue=3), ["currency"]),
    (event(event_name="view_cart", items=[]), []),
    (event(event_name="view_cart", items=[], value=None), []),
    (event(event_name="view_item", items=[], currency="EUR", revenue=1), []),
    (event(**{**VIDEO, "total_length": None, "content_asset_id": None}), []),
    (event(**without(VIDEO, "total_length")), ["total_length"]),
    (event(**{**VIDEO, "cursor_position": None}), ["cursor_position"]),
    (event(event_name="video_volume", **without(VIDEO, "event_name"), bitrate=1), ["sound"]),
    (event(event_name="login", user={"consistent_anonymous_id": "1", "email": None}), []),
    (event(event_name="login", user={"consistent_anonymous_id": "1"}), []),
    (without(event(event_name="my_own"), "user", "context"), []),
    (event(event_name="my_own", user={}, context={}), []),
    (event(event_name="Purchase"), []),
]


@pytest.mark.parametrize(("whole", "paths"), MISSING)
def test_missing_properties(whole: dict[str, Any], paths: list[str]) -> None:
    assert found(whole) == [(path, "missing_required") for path in paths]


ILL_FORMED = [
    (purchase(value="abc"), "value"),
    (purchase(value="12,30"), "value"),
    (purchase(value=True), "value"),
    (purchase(value={}), "value"),
    (purchase(id=["T-1"]), "id"),
    (purchase(currency="eur"), "currency"),
    (purchase(currency="EURO"), "currency"),
    (purchase(currency=""), "currency"),
    (purchase(payment_method="paypal"), "payment_method"),
    (purchase(status="done"), "status"),
    (purchase(url="/relative"), "url"),
    (purchase(items="SKU-9"), "items"),
    (purchase(items=ITEM), "items"),
    (purchase(items=[None]), "items.0"),
    (purchase(items=[ITEM, 7]), "items.1"),
    (purchase(items=[{**ITEM, "quantity": "two"}]), "items.0.quantity"),
    (purchase(items=[ITEM, {**ITEM, "product": "P-9"}]), "items.1.product"),
    (
        purchase(items=[{**ITEM, "product": {"id": "P", "name": "n", "price": 1, "colors": ["red", {}]}}]),
        "items.0.product.colors.1",
    ),
    (event(event_name="select_item", items=[ITEM, ITEM]), "items"),
    (event(**{**VIDEO, "cursor_position": -1}), "cursor_position"),
    (event(**{**VIDEO, "cursor_position": 1.5}), "cursor_position"),
    (event(**VIDEO, sound=101), "sound"),
    (event(**VIDEO, sound="101"), "sound"),
    (event(**{**VIDEO, "content_asset_id": {}}), "content_asset_id"),
    (event(**VIDEO, ad_type="between"), "ad_type"),
    (
        event(**{**VIDEO, "event_name": "video_content_start", "content_asset_id": "a"}, airdate="tomorrow"),
        "airdate",
    ),
    (event(event_name="login", user={**USER, "email": "nobody"}), "user.email"),
    (event(event_name="login", user={**USER, "email_sha256": "ABC"}), "user.email_sha256"),
    (event(event_name="login", user={**USER, "phone": "0612345678"}), "user.phone"),
    (event(event_name="login", user={**USER, "birthdate": "1980-02-30"}), "user.birthdate"),
    (event(event_name="login", user={**USER, "birthdate": "19800228"}), "user.birthdate"),
    (event(event_name="login", user={**USER, "country": "France"}), "user.country"),
    (event(event_name="login", user={**USER, "gender": "x"}), "user.gender"),
    (event(event_name="login", user="c-1"), "user"),
    (event(event_name="my_own", user={**USER, "email": "nobody"}), "user.email"),
    (event(event_name="my_own", context={**CONTEXT, "page": "home"}), "context.page"),
    (
        event(event_name="my_own", context={**CONTEXT, "page": {"viewport": {"width": "wide"}}}),
        "context.page.viewport.width",
    ),
    (
        event(event_name="my_own", context={**CONTEXT, "device": {"lifecycle": {"first_visit": 1639044446}}}),
        "context.device.lifecycle.first_visit",
    ),
]


@pytest.mark.parametrize(("whole", "path"), ILL_FORMED)
def test_unexpected_format(whole: dict[str, Any], path: str) -> None:
    before = copy.deepcopy(whole)
    rules = found(whole)
    assert rules == [(path, "format")]
    assert whole == before, "a wrong value is kept as it came"


CONVERTED = [
    (purchase(value="16.00"), purchase(value=16)),
    (purchase(id=7), purchase(id="7")),
    (purchase(items=[{**ITEM, "quantity": "2"}]), purchase(items=[{**ITEM, "quantity": 2}])),
    (event(**VIDEO, full_screen="1"), event(**VIDEO, full_screen=True)),
    (event(**VIDEO, sound="80"), event(**VIDEO, sound=80)),
    (event(**{**VIDEO, "content_asset_id": 5}), event(**{**VIDEO, "content_asset_id": "5"})),
    (event(**{**VIDEO, "content_asset_id": [5]}), event(**{**VIDEO, "content_asset_id": ["5"]})),
    (
        event(event_name="x", user={**USER, "consent_categories": [1, "3"]}),
        event(event_name="x", user={**USER, "consent_categories": ["1", "3"]}),
    ),
    (
        event(event_name="x", user={**USER, "consent_categories": "1,3"}),
        event(event_name="x", user={**USER, "consent_categories": ["1,3"]}),
    ),
    (
        event(event_name="x", user={**USER, "consistent_anonymous_id": 67892}),
        event(event_name="x", user={**USER, "consistent_anonymous_id": "67892"}),
    ),
    (
        event(event_name="x", context={**CONTEXT, "page": {"viewport": {"width": "320"}}}),
        event(event_name="x", context={**CONTEXT, "page": {"viewport": {"width": 320}}}),
    ),
]


@pytest.mark.parametrize(("whole", "expected"), CONVERTED)
def test_lossless_conversion_is_silent(whole: dict[str, Any], expected: dict[str, Any]) -> None:
    assert check(whole) == []
    assert msgspec.json.encode(whole) == msgspec.json.encode(expected)


LEFT_ALONE = [
    event(event_name="my_own", value="12", currency="?", items="none", url="/x", page_type=3),
    event(event_name="login", anything={"deep": [1, None]}, cart_id=7),
    event(event_name="login", context={**CONTEXT, "event_timestamp": "1639044446636"}),
    event(event_name="login", user={**USER, "consent_categories": {"a": 1}}),
    event(event_name="login", user={**USER, "consent_categories": [3.5, "1"]}),
    event(event_name="login", user={**USER, "consent_categories": [True, None, ["1"], "1"]}),
    event(event_name="login", user={"consistent_anonymous_id": "1"}),
    event(event_name="login", user={**USER, "refused_vendors": "ALL"}),
    event(event_name="login", user={**USER, "refused_vendors": ["a1"]}),
    event(event_name="login", user={**USER, "email": "", "phone": "", "gender": ""}),
    event(event_name="login", context={**CONTEXT, "page": {"referrer": "", "lang": "", "location": "x"}}),
    event(event_name="page_view", page_type="blog"),
    purchase(type="in the shop"),
    purchase(coupon=None, url=None),
]


@pytest.mark.parametrize("whole", LEFT_ALONE)
def test_nothing_to_say(whole: dict[str, Any]) -> None:
    before = copy.deepcopy(whole)
    assert check(whole) == []
    assert whole == before


def test_several_currencies_in_items() -> None:
    euro, dollar, none = (
        {**ITEM, "product": {"id": "P", "name": "n", "price": 1, "currency": currency}}
        for currency in ("EUR", "USD", ["EUR"])
    )
    assert found(purchase(items=[euro, none])) == [("items.1.product.currency", "format")]
    assert found(purchase(items=[euro, dollar])) == [("items", "mixed_currencies")]
    assert found(purchase(items=[euro, euro, ITEM])) == []


MESSAGES = [
    (without(purchase(), "id"), "purchase event requires .id property"),
    (
        without(purchase(transaction_id="T"), "id"),
        "purchase event requires .id property, not .transaction_id",
    ),
    (
        purchase(items=[{**ITEM, "product": {"id": "P", "name": "n"}}]),
        "purchase event requires .items.0.product.price property",
    ),
    (
        event(event_name="view_item", items=[], currency="EUR"),
        "view_item event requires .value or .revenue property",
    ),
    (
        event(event_name="view_cart", items=[], value=3),
        "view_cart event requires .currency property with .value or .revenue",
    ),
    (purchase(currency="euro"), "should match the standard currency pattern (3 characters max, Uppercase)"),
    (purchase(value="x"), "should match the type number"),
    (event(event_name="login", user={**USER, "gender": "x"}), "should match one of f, m"),
    (event(**{**VIDEO, "content_asset_id": {}}), "should match the type string or array<string>"),
    (event(event_name="{0}{x}", user={**USER, "gender": "{y}"}), "should match one of f, m"),
]


@pytest.mark.parametrize(("whole", "message"), MESSAGES)
def test_message(whole: dict[str, Any], message: str) -> None:
    assert [violation.message for violation in check(whole)] == [message]


def test_a_small_hostile_event_gives_a_bounded_record() -> None:
    whole = purchase(items=[{} for _ in range(10_000)] + [{"quantity": "2"}])
    violations = check(whole)
    assert len(violations) == 50
    assert whole["items"][-1] == {"quantity": "2"}, "checking ended before"
    assert all(violation.path.startswith("items.") for violation in violations)


WEB_PAGE_VIEW: dict[str, Any] = {
    "event_name": "page_view",
    "page_type": "product",
    "page_name": "Rain coat",
    "env_language": "fr",
    "url": "https://shop.example/p/9?utm_source=x%20y",
    "title": "Rain coat",
    "path": "/p/9",
    "referrer": "",
    "amount": "",
    "user": {
        "consistent_anonymous_id": "2023011512345678901234567",
        "consent_categories": [1, 2, 10019],
        "refused_vendors": "ALL",
        "id": "",
        "email": "",
    },
    "integrations": {"facebook": {"fbc": "", "fbp": "fb.1.1", "event_id": "1"}},
    "context": {
        "page": {
            "title": "Rain coat",
            "url": "https://shop.example/p/9",
            "lang": "fr",
            "referrer": "",
            "viewport": {"width": 1280, "height": 720},
        },
        "device": {
            "cookie": "_ga=GA1.1.5; _fbp=fb.1.1",
            "lang": "fr-FR",
            "screen": {"width": 1920, "height": 1080},
            "timezone": "Europe/Paris",
            "user_agent": "Mozilla/5.0",
            "ip": "192.0.2.10",
        },
        "version": 2,
        "created": "2023-01-15T11:22:33.444Z",
        "generatorVersion": "98.4",
        "containerVersion": 3.12,
        "event_id": "202301151234567890123456",
        "event_timestamp": 1673781753444,
    },
}


def test_web_container_event_is_valid() -> None:
    """`collect.md` §16 shape 2 after conversion: an anonymous visitor's page view has nothing to flag."""
    assert check(copy.deepcopy(WEB_PAGE_VIEW)) == []


def test_catalogue_is_complete() -> None:
    assert len(CATALOGUE.events) == 51
    assert set(STANDARD) == {*CATALOGUE.events, "video_full_screen_off"}
    whole = event(event_name="video_full_screen_off", **without(VIDEO, "event_name"), bitrate=1)
    assert found(whole) == [("full_screen", "missing_required")]


def test_every_standard_event_asks_for_its_required_properties() -> None:
    for name, standard in CATALOGUE.events.items():
        required = {path for path, listed in standard.properties.items() if listed.required}
        missing = {path for path, rule in found({"event_name": name, "context": dict(CONTEXT)})}
        assert required <= missing, name
        assert missing - required <= {"value"}, name


def test_the_mission_sample() -> None:
    """The published sample with its comma: a name, a user, and an e-mail that the page has masked."""
    sample = Path(__file__).with_name("sample_event.json").read_bytes()
    assert found(msgspec.json.decode(sample)) == [("user.email", "format")]
