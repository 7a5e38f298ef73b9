"""An event is taken, repaired, completed or refused as the tables say (`collect.md` §5.1, §6, §7, §8, §12)."""

import copy
import json
from typing import NamedTuple

import pytest

from turnout.collect.admit import Admission, Arrival
from turnout.model.event import Reason, Received

NOW = 1_700_000_000_000
DAY_MS = 86_400_000
SERVER = Arrival("29/backend", "events", NOW)
WEB = Arrival("29/shop", "events", NOW, True, "198.51.100.7", "UA/1")
USER = {"id": "1", "consent_categories": ["1"]}


def admit(event: dict[str, object], arrival: Arrival = SERVER) -> Received:
    record = Admission(lambda: "made", lambda *_: True).admit(copy.deepcopy(event), json.dumps(event).encode(), arrival)
    assert record is not None
    return record


def event(user: object = USER, **context: object) -> dict[str, object]:
    return {
        "event_name": "search",
        "user": dict(user) if isinstance(user, dict) else user,
        "context": {"event_id": "e", "event_timestamp": NOW, **context},
    }


def stored(record: Received) -> dict[str, object]:
    value = json.loads(record.payload)
    assert isinstance(value, dict)
    return value


def context(record: Received) -> dict[str, object]:
    found = stored(record)["context"]
    assert isinstance(found, dict)
    return found


def test_a_complete_event_is_stored_byte_by_byte() -> None:
    given = event()
    text = json.dumps(given, indent=2).encode()
    record = Admission(lambda: "made", lambda *_: True).admit(given, text, SERVER)
    assert record == Received("e", "29/backend", "search", "valid", NOW, text)


# Names


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("x", ""),
        ("My Event-1 é", ""),
        ("x" * 256, ""),
        (" x ", ""),
        (None, "missing_event_name"),
        ("", "invalid_event_name"),
        (" \t", "invalid_event_name"),
        ("x" * 257, "invalid_event_name"),
        (3, "invalid_event_name"),
        (True, "invalid_event_name"),
        (["x"], "invalid_event_name"),
        ({}, "invalid_event_name"),
    ],
)
def test_event_name(name: object, code: str) -> None:
    record = admit({**event(), "event_name": name})
    assert record.status == ("rejected" if code else "valid")
    assert [reason.code for reason in record.reasons] == ([code] if code else [])
    assert record.event_id == "e"


def test_a_batch_at_the_single_endpoint_is_named() -> None:
    assert admit({"batch": [event()]}).reasons[0].code == "batch_on_single_endpoint"
    assert admit({"batch": 3}).reasons[0].code == "missing_event_name"
    assert admit({**event(), "batch": []}).status == "valid"


# Time


@pytest.mark.parametrize(
    ("given", "gives"),
    [
        (NOW, NOW),
        (str(NOW), str(NOW)),
        (f" {NOW}\n", str(NOW)),
        (NOW + 0.9, NOW),
        (1.7e12, 1_700_000_000_000),
        (10**11, 10**11),
        (str(10**11), str(10**11)),
        (NOW - 20 * 365 * DAY_MS, NOW - 20 * 365 * DAY_MS),
        (NOW + DAY_MS, NOW + DAY_MS),
    ],
)
def test_timestamp_in_milliseconds_is_kept(given: object, gives: object) -> None:
    record = admit(event(event_timestamp=given))
    assert (record.status, record.warnings) == ("valid", ())
    assert context(record)["event_timestamp"] == gives
    assert type(context(record)["event_timestamp"]) is type(gives)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (1_700_000_000, "timestamp_not_ms"),
        ("1700000000", "timestamp_not_ms"),
        (1_700_000_000.5, "timestamp_not_ms"),
        (1_700_000_000_000_000, "timestamp_not_ms"),
        ("1700000000000000", "timestamp_not_ms"),
        (1e300, "timestamp_not_ms"),
        (10**11 - 1, "timestamp_not_ms"),
        (10**14, "timestamp_not_ms"),
        (1, "timestamp_not_ms"),
        (0, "invalid_timestamp"),
        ("0", "invalid_timestamp"),
        (0.5, "invalid_timestamp"),
        (-1, "invalid_timestamp"),
        ("-1700000000000", "invalid_timestamp"),
        (-0.5, "invalid_timestamp"),
        (True, "invalid_timestamp"),
        (False, "invalid_timestamp"),
        ("2023-11-14T22:13:20Z", "invalid_timestamp"),
        ("2023-11-14", "invalid_timestamp"),
        ("", "invalid_timestamp"),
        ("1700000000000.5", "invalid_timestamp"),
        ("1.7e12", "invalid_timestamp"),
        ("+1700000000000", "invalid_timestamp"),
        ("1_700_000_000_000", "invalid_timestamp"),
        ("１７０００００００００００", "invalid_timestamp"),
        ("now", "invalid_timestamp"),
        ({}, "invalid_timestamp"),
        ([NOW], "invalid_timestamp"),
    ],
)
def test_timestamp_that_is_not_milliseconds_is_refused(given: object, code: str) -> None:
    record = admit(event(event_timestamp=given))
    assert record.status == "rejected"
    (reason,) = record.reasons
    assert (reason.code, reason.path) == (code, "context.event_timestamp")
    assert "expected milliseconds" in reason.message
    assert json.loads(record.payload) == event(event_timestamp=given), "as it came"


def test_timestamp_more_than_a_day_ahead_is_flagged() -> None:
    record = admit(event(event_timestamp=NOW + DAY_MS + 1))
    assert (record.status, record.warnings) == ("valid", ("timestamp_in_future",))


@pytest.mark.parametrize("given", [{"event_timestamp": None}, {}])
def test_missing_timestamp_is_the_time_of_reception(given: dict[str, object]) -> None:
    record = admit({**event(), "context": {"event_id": "e", **given}})
    assert (record.status, record.warnings) == ("valid", ("filled_event_timestamp",))
    assert context(record)["event_timestamp"] == NOW


# Ids


class Id(NamedTuple):
    given: object
    gives: str
    status: str = "valid"
    warnings: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "row",
    [
        Id("e-1", "e-1"),
        Id(" ", " "),
        Id(202110130000000000, "202110130000000000"),
        Id(-5, "-5"),
        Id(10**30, "1" + "0" * 30),
        Id(None, "made", warnings=("filled_event_id",)),
        Id("", "made", warnings=("filled_event_id",)),
        Id(True, "made", "invalid_accepted"),
        Id([], "made", "invalid_accepted"),
        Id({"a": 1}, "made", "invalid_accepted"),
        Id(1.5, "made", "invalid_accepted"),
    ],
    ids=lambda row: str(row.given)[:8],
)
def test_event_id(row: Id) -> None:
    record = admit(event(event_id=row.given))
    assert (record.event_id, record.status, record.warnings) == (row.gives, row.status, row.warnings)
    assert context(record)["event_id"] == row.gives
    if row.status == "invalid_accepted":
        assert [(reason.code, reason.path) for reason in record.reasons] == [("invalid_type", "context.event_id")]


def test_a_repeated_id_is_taken_and_flagged() -> None:
    admission = Admission(lambda: "made", lambda *_: True)
    first, second = (admission.admit(event(), b"{}", SERVER) for _ in range(2))
    other = admission.admit(event(), b"{}", WEB)
    assert first is not None
    assert second is not None
    assert other is not None
    assert (first.warnings, second.warnings, other.warnings) == ((), ("duplicate_event_id",), ())
    admission.forget(second)
    again = admission.admit(event(), b"{}", SERVER)
    assert again is not None
    assert again.warnings == ()


@pytest.mark.parametrize(
    ("given", "event_id"),
    [
        ({"context": {"event_id": "a"}}, "a"),
        ({"context": {"event_id": 5}}, "5"),
        ({"event_id": "b", "properties": {}}, "b"),
        ({"context": {"eventId": "c"}}, "c"),
        ({"eventId": "d"}, "d"),
        ({"context": {"event_id": True}}, "made"),
        ({}, "made"),
    ],
)
def test_a_refused_event_keeps_the_clients_id(given: dict[str, object], event_id: str) -> None:
    record = admit(given)
    assert (record.status, record.event_id) == ("rejected", event_id)


# Shapes


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({**event(), "context": "x"}, "context"),
        ({**event(), "context": []}, "context"),
        ({**event(), "user": "x"}, "user"),
        ({**event(), "user": [1]}, "user"),
        ({"event_name": "a", "user": USER, "context": 5, "event_id": "e", "event_timestamp": NOW}, "context"),
    ],
)
def test_what_must_be_an_object_is_removed_and_named(given: dict[str, object], path: str) -> None:
    record = admit(given)
    assert record.status == "invalid_accepted"
    assert [(reason.code, reason.path) for reason in record.reasons] == [("invalid_type", path)]
    assert isinstance(stored(record)["context"], dict)
    assert "user" not in stored(record) or path == "context"
    assert json.loads(record.raw) == given, "as it came, too"


@pytest.mark.parametrize("missing", ["context", "user"])
@pytest.mark.parametrize("null", [True, False])
def test_context_and_user_may_be_missing_or_null(missing: str, null: bool) -> None:
    given = event()
    del given[missing]
    if null:
        given[missing] = None
    record = admit(given)
    assert record.status == "valid"
    assert record.reasons == ()


def test_what_only_the_server_writes_is_dropped() -> None:
    record = admit(event(dataquality={"violations": []}, warnings=["x"], enrichment={"status": 1}, page={"url": "u"}))
    assert context(record) == {"event_id": "e", "event_timestamp": NOW, "page": {"url": "u"}}
    assert record.status == "valid"
    assert b"dataquality" in record.raw


def test_unknown_keys_are_kept_at_any_depth() -> None:
    given = {**event(zone={"a": [{"b": None}]}), "integrations": {"x": 1}, "partners": {"y": [2]}, "amount": 3}
    given["user"] = {**USER, "rejected_vendors": "ALL", "tcId": "t", "deep": {"er": {}}}
    record = admit(given, WEB)
    found = stored(record)
    del found["context"]["device"]  # type: ignore[attr-defined]
    assert found == given


@pytest.mark.parametrize(("given", "gives"), [("TEST1", "TEST1"), (12, "12"), (True, "true"), ({"a": 1}, '{"a":1}')])
def test_test_code_is_text(given: object, gives: str) -> None:
    record = admit({**event(), "test_code": given})
    assert stored(record)["test_code"] == gives
    assert record.status == "valid"


# The address and the user agent


class Device(NamedTuple):
    name: str
    given: object
    web: object
    server: object
    flagged: bool = False


IP, UA = "198.51.100.7", "UA/1"
FILLED = {"ip": IP, "user_agent": UA}


@pytest.mark.parametrize(
    "row",
    [
        Device("absent", None, FILLED, None),
        Device("empty", {}, FILLED, {}),
        Device("null members", {"ip": None, "user_agent": None}, FILLED, {"ip": None, "user_agent": None}),
        Device("IPv4", {"ip": "192.0.2.1"}, {"ip": "192.0.2.1", "user_agent": UA}, {"ip": "192.0.2.1"}),
        Device("IPv6", {"ip": "2001:db8::1"}, {"ip": "2001:db8::1", "user_agent": UA}, {"ip": "2001:db8::1"}),
        Device("user agent", {"user_agent": "mine"}, {"user_agent": "mine", "ip": IP}, {"user_agent": "mine"}),
        Device("no address", {"ip": "unknown"}, FILLED, {}, flagged=True),
        Device("address with port", {"ip": "192.0.2.1:80"}, FILLED, {}, flagged=True),
        Device("number", {"ip": 3_221_225_985}, FILLED, {}, flagged=True),
        Device("empty text", {"ip": ""}, FILLED, {}, flagged=True),
        Device("very long text", {"ip": "1" * 20_000}, FILLED, {}, flagged=True),
        Device("no object", "phone", "phone", "phone"),
    ],
    ids=lambda row: row.name,
)
def test_address_and_user_agent_are_filled_for_client_side_sources_only(row: Device) -> None:
    for arrival, expected in ((WEB, row.web), (SERVER, row.server)):
        given = event() if row.given is None else event(device=json.loads(json.dumps(row.given)))
        record = admit(given, arrival)
        assert context(record).get("device") == expected
        codes = [(reason.code, reason.path) for reason in record.reasons]
        assert codes == ([("invalid_format", "context.device.ip")] if row.flagged else [])
        assert record.status == ("invalid_accepted" if row.flagged else "valid")


# Identity and consent


@pytest.mark.parametrize(
    ("user", "tells"),
    [
        ({"consent_categories": ["1", 3, "text", 10019]}, True),
        ({"consent_categories": []}, True),
        ({"consent_categories": "1,3"}, True),
        ({"consent_categories": 2}, True),
        ({"consent_categories": None}, False),
        ({"consent_categories": {}}, False),
        ({"consent_categories": [None]}, False),
        ({"consent_categories": [True]}, False),
        ({"consent_categories": True}, False),
        ({"consent_categories": [["1"]]}, False),
        ({"consent_categories": 1.5}, False),
        ({}, False),
    ],
)
def test_consent_is_taken_as_it_is_and_flagged_where_there_is_none(user: dict[str, object], tells: bool) -> None:
    record = admit(event(user=user))
    assert record.status == "valid"
    assert record.warnings == (() if tells else ("no_consent_information",))
    assert stored(record)["user"] == user


@pytest.mark.parametrize(("given", "gives"), [("67892", "67892"), (67892, "67892"), ("9" * 25, "9" * 25)])
def test_anonymous_id_is_text(given: object, gives: str) -> None:
    record = admit(event(user={**USER, "consistent_anonymous_id": given}))
    assert stored(record)["user"] == {**USER, "consistent_anonymous_id": gives}
    assert record.status == "valid"


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("email_md5", "0123456789abcdef" * 2, True),
        ("email_sha256", "0123456789abcdef" * 4, True),
        ("phone_sha256", "0123456789abcdef" * 4, True),
        ("email_md5", None, True),
        ("email_md5", "0123456789ABCDEF" * 2, False),
        ("email_md5", "0123456789abcdef" * 4, False),
        ("email_sha256", "0123456789abcdef" * 2, False),
        ("email_sha256", "g" * 64, False),
        ("email_sha256", "", False),
        ("email_md5", 5, False),
        ("email_md5", "0123456789abcdef" * 2 + "\n", False),
    ],
)
def test_hash(name: str, value: object, good: bool) -> None:
    record = admit(event(user={**USER, name: value}))
    assert record.status == ("valid" if good else "invalid_accepted")
    assert [f"{reason.code}:{reason.path}" for reason in record.reasons] == (
        [] if good else [f"invalid_format:user.{name}"]
    )
    assert stored(record)["user"] == {**USER, name: value}


# What clients in the field send (§16): one warning code per event at most


@pytest.mark.parametrize(
    ("given", "warnings", "event_id"),
    [
        (
            {
                "event": "page_view",
                "properties": {"user": USER, "created": "2023-11-14T22:13:20.000Z"},
                "page": {"title": "T"},
                "device": {"lang": "fr"},
                "eventId": "9" * 24,
                "version": 1,
            },
            ("web_container_v1",),
            "9" * 24,
        ),
        (
            {
                "event_name": "page_view",
                "user": USER,
                "context": {"eventId": "9" * 24, "version": 2, "created": "2023-11-14T22:13:20.000Z"},
            },
            (),
            "9" * 24,
        ),
        (event(device={"type": "phone"}, app={"name": "a"}), (), "e"),
    ],
)
def test_what_clients_send_today_works_without_a_storm_of_warnings(
    given: dict[str, object], warnings: tuple[str, ...], event_id: str
) -> None:
    record = admit(given, WEB)
    assert (record.status, record.event_id, record.warnings) == ("valid", event_id, warnings)
    assert context(record)["event_timestamp"] == NOW


def test_a_refusal_over_the_cap_gets_no_record() -> None:
    refusals: list[str] = []

    def may_record(_: Arrival, reason: Reason) -> bool:
        refusals.append(reason.code)
        return False

    assert Admission(lambda: "made", may_record).admit({}, b"{}", SERVER) is None
    assert refusals == ["missing_event_name"]
