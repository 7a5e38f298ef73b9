"""What readers without the right see of personal data and secrets."""

import msgspec
import pytest

from turnout.control.api.masking import MASK, Hidden, masked_address, masked_event, masked_settings
from turnout.control.urls import masked_url
from turnout.destinations import registry
from turnout.model.specification import EventSpecification, Property, Specification

HIDDEN = Hidden()
TOLD = Property(type="string", pii=True)
FLAGGED = Hidden(
    Specification(
        properties={"plan": Property(type="string"), "card": TOLD, "user.id": TOLD},
        events={
            "order": EventSpecification(properties={"items.engraving": TOLD, "plan": Property(type="string")}),
            "visit": EventSpecification(properties={"card.number": TOLD, "context.page.title": TOLD}),
        },
    )
)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("not an address", MASK),
        (None, MASK),
        (["203.0.113.77"], MASK),
    ],
)
def test_addresses_are_shortened(address: object, shown: str) -> None:
    assert masked_address(address) == shown


def test_only_ids_and_consent_of_a_user_are_shown() -> None:
    user: dict[str, object] = {
        "id": "42",
        "consistent_anonymous_id": "a",
        "consent_categories": ["1"],
        "email": "ada@example.org",
        "address": {"city": "Paris"},
        "anything": None,
    }
    shown = masked_event({"event_name": "e", "user": user, "value": 5}, HIDDEN)
    masked = dict.fromkeys(("email", "address", "anything"), MASK)
    assert shown == {"event_name": "e", "user": user | masked, "value": 5}
    assert masked_event({"user": user}, None) == {"user": user}


@pytest.mark.parametrize("odd", [{"user": "ada@example.org"}, {"user": ["ada@example.org"]}])
def test_a_user_of_an_odd_shape_is_masked_whole(odd: dict[str, object]) -> None:
    assert masked_event(odd, HIDDEN) == {"user": MASK}


@pytest.mark.parametrize("odd", [{"context": "x"}, {"context": {"device": "x"}}, {}])
def test_odd_shapes_elsewhere_are_left_as_they_are(odd: dict[str, object]) -> None:
    assert masked_event(odd, HIDDEN) == odd


def test_what_a_specification_flags_is_masked_wherever_it_stands() -> None:
    event: dict[str, object] = {
        "event_name": "other",
        "plan": "pro",
        "card": {"number": "4111"},
        "items": [{"id": "A", "engraving": "for Ada"}, {"id": "B"}, "odd"],
        "context": {"page": {"title": "Ada's page", "url": "https://shop.example"}},
        "user": {"id": "42", "consistent_anonymous_id": "a"},
    }
    assert masked_event(event, FLAGGED) == {
        "event_name": "other",
        "plan": "pro",
        "card": MASK,
        "items": [{"id": "A", "engraving": MASK}, {"id": "B"}, "odd"],
        "context": {"page": {"title": MASK, "url": "https://shop.example"}},
        "user": {"id": MASK, "consistent_anonymous_id": "a"},
    }
    assert masked_event(event, None) == event


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("card", True),
        ("card.number", True),
        ("items.engraving", True),
        ("items.0.engraving", True),
        ("items.0.engraving.text", True),
        ("items", False),
        ("items.id", False),
        ("plan", False),
        ("engraving", False),
        ("user.id", True),
        ("user.email", True),
        ("user", True),
        ("user.consistent_anonymous_id", False),
        ("context.page.title", True),
        ("context.page", False),
    ],
)
def test_a_search_is_personal_if_it_is_for_something_hidden(path: str, covered: bool) -> None:
    assert FLAGGED.covers(path) is covered


def test_what_a_formula_complains_about_quotes_values_and_is_masked() -> None:
    detail = {"code": "not_a_number", "message": '"ada@example.org" is not a number', "rule": "r"}
    enriched: dict[str, object] = {"type": "enrichment", "path": "event", "detail": {"code": "no_data", "message": "m"}}
    event: dict[str, object] = {"context": {"warnings": [{"type": "formula", "detail": detail}, enriched, "odd"]}}
    masked = {"type": "formula", "detail": {**detail, "message": MASK}}
    assert masked_event(event, HIDDEN) == {"context": {"warnings": [masked, enriched, "odd"]}}
    assert masked_event(event, None) == event


def test_masking_does_not_change_what_it_is_given() -> None:
    event: dict[str, object] = {"user": {"email": "a"}, "context": {"device": {"ip": "203.0.113.77"}}}
    before = msgspec.json.encode(event)
    masked_event(event, FLAGGED)
    assert msgspec.json.encode(event) == before


@pytest.mark.parametrize("kind", registry.types().values(), ids=lambda kind: kind.name)
def test_no_destination_shows_a_secret_setting(kind: registry.DestinationType) -> None:
    secret = "not-to-be-seen"
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind.config):
        info = msgspec.inspect.type_info(field.type)
        if isinstance(info, msgspec.inspect.Metadata) and (info.extra or {}).get("secret"):
            values[field.name] = {"X-Key": secret} if isinstance(info.type, msgspec.inspect.DictType) else secret
        elif field.required:
            values[field.name] = f"http://user:{secret}@example.org/?key={secret}"
    settings = msgspec.convert(values, kind.config)
    shown = masked_settings(settings)
    assert secret not in str(shown)
    assert set(shown) == set(kind.config.__struct_fields__)
    for name in values:
        if not isinstance(getattr(settings, name), str) or "://" not in getattr(settings, name):
            assert shown[name] == {"set": True}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/in", "https://example.org/in"),
        ("https://u:p@example.org:8/in?a=1&b=2", "https://u:***@example.org:8/in?a=***&b=***"),
        ("out/events.ndjson", "out/events.ndjson"),
        ("http://[", MASK),
    ],
)
def test_credentials_in_urls_are_hidden(url: str, shown: str) -> None:
    assert masked_url(url) == shown
