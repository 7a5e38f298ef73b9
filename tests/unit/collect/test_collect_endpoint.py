"""A request becomes records and an answer, in the order of evaluation of the protocol (`collect.md` §3, §4, §10)."""

import gzip
import json
import re
import uuid
from collections import Counter

import msgspec
import pytest

from turnout.collect.answers import Answer, render
from turnout.collect.directory import Access, Directory, parameters
from turnout.collect.endpoint import Decision, Endpoint, Request, new_caid, new_id
from turnout.model.config import Snapshot, Source

NOW = 1_700_000_000_000
SHOP = Source(
    site="29", name="shop", type="web", environment="production", key="ks", allowed_origins=("https://a.example",)
)
BACKEND = Source(site="29", name="backend", type="server", environment="production", key="kb")
CAPPED = Source(site="29", name="capped", type="server", environment="production", key="kc", max_events_per_second=3)
DIRECTORY = Directory(
    Snapshot(version="1", sites=frozenset({"29"}), sources={found.ref: found for found in (SHOP, BACKEND, CAPPED)}), 0
)
GOOD = {"event_name": "a", "user": {"consent_categories": []}, "context": {"event_id": "e", "event_timestamp": NOW}}
DEEP = json.loads("[" * 32 + "]" * 32)


def access(key: str = "kb") -> Access:
    return DIRECTORY.resolve(parameters(f"tc_s=29&token={key}"))


def request(body: object, endpoint: str = "events", **more: object) -> Request:
    given: dict[str, object] = {
        "endpoint": endpoint,
        "access": access(),
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
        "content_type": b"application/json",
        "content_encoding": None,
        "origin": None,
        "user_agent": None,
        "client_ip": "192.0.2.1",
        "received_ms": NOW,
        **more,
    }
    return Request(**given)  # type: ignore[arg-type]


def handle(body: object, endpoint: str = "events", **more: object) -> Decision:
    return Endpoint().handle(request(body, endpoint, **more))


def codes(decision: Decision) -> list[str]:
    """What each record says: the reason of a refusal, else its status."""
    return [record.reasons[0].code if record.status == "rejected" else record.status for record in decision.records]


@pytest.mark.parametrize(
    ("content_type", "outcome"),
    [
        (b"application/json", ""),
        (b"application/json; charset=utf-8", ""),
        (b"Application/JSON;charset=x", ""),
        (b"application/cloudevents+json", ""),
        (b"application/vnd.api+json ; v=1", ""),
        (b"text/plain", "content_type_text_plain"),
        (b"TEXT/PLAIN;charset=UTF-8", "content_type_text_plain"),
        (None, "unsupported_content_type"),
        (b"", "unsupported_content_type"),
        (b"application/x-www-form-urlencoded", "unsupported_content_type"),
        (b"text/json", "unsupported_content_type"),
        (b"application/jsonx", "unsupported_content_type"),
        (b"text/x+json", "unsupported_content_type"),
        (b"\xff\xfe", "unsupported_content_type"),
    ],
)
def test_content_type(content_type: bytes | None, outcome: str) -> None:
    (record,) = handle(GOOD, content_type=content_type).records
    if outcome.startswith("unsupported"):
        assert (record.status, record.reasons[0].code) == ("rejected", outcome)
    else:
        assert (record.status, record.warnings) == ("valid", (outcome,) if outcome else ())


def test_order_of_evaluation_first_hit_wins() -> None:
    stranger = DIRECTORY.resolve(parameters("tc_s=29&token=no"))
    everything: dict[str, object] = {"access": stranger, "content_type": None}
    assert codes(handle(b"{" * 40_000, endpoint="events", **everything)) == ["payload_too_large"]
    assert codes(handle(b"{", endpoint="events", **everything)) == ["invalid_json"]
    assert codes(handle(b'{"a":1e400}', endpoint="events", **everything)) == ["unknown_source_key"]
    assert codes(handle(b'{"a":1e400}', content_type=None)) == ["unsupported_content_type"]
    assert codes(handle(b'{"event_name":1e400}')) == ["number_out_of_range"]
    assert codes(handle({"event_name": DEEP, "context": 3})) == ["too_deep"]
    assert codes(handle({"event_name": " ", "context": {"event_timestamp": 5}})) == ["invalid_event_name"]


@pytest.mark.parametrize(("endpoint", "limit"), [("events", 32_768), ("events/batch", 512_000)])
@pytest.mark.parametrize("encoding", [None, b"identity", b"gzip"])
def test_limit_is_inclusive_and_on_decoded_bytes(endpoint: str, limit: int, encoding: bytes | None) -> None:
    one = json.dumps(GOOD if endpoint == "events" else {"batch": [GOOD]}).encode()
    for size, answer in ((limit, Answer.OK), (limit + 1, Answer.TOO_LARGE)):
        body = one.ljust(size)
        sent = gzip.compress(body) if encoding == b"gzip" else body
        decision = handle(sent, endpoint, content_encoding=encoding)
        assert decision.answer is answer
        assert codes(decision) == ["valid" if answer is Answer.OK else "payload_too_large"]


def test_a_refused_body_is_recorded_without_payload_and_broken_json_with_its_beginning() -> None:
    (large,) = handle(b"", too_large=True, size=99_999).records
    assert (large.reasons[0].code, large.payload) == ("payload_too_large", b"")
    assert "99999 bytes" in large.reasons[0].message
    (broken,) = handle(b'{"a":' + b"x" * 9_000).records
    assert (broken.reasons[0].code, len(broken.payload)) == ("invalid_json", 2_048)
    assert "byte 5" in broken.reasons[0].message


def test_a_byte_order_mark_is_not_stored() -> None:
    (record,) = handle(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).records
    assert json.loads(record.payload) == GOOD


def test_repaired_text_is_stored_repaired() -> None:
    (record,) = handle(json.dumps(GOOD).encode().replace(b'"a"', rb'"a\ud800\u0000"')).records
    assert (record.name, record.warnings) == ("a\ufffd\ufffd", ("text_repaired",))
    assert json.loads(record.payload) == {**GOOD, "event_name": "a\ufffd\ufffd"}


# Batches


def batch(*elements: object, **more: object) -> dict[str, object]:
    return {"batch": list(elements), **more}


def test_each_element_is_decided_alone_and_in_order() -> None:
    elements = [
        GOOD,
        None,
        "x",
        3,
        [GOOD],
        {},
        {**GOOD, "x": "y" * 32_768},
        {**GOOD, "deep": DEEP},
        {**GOOD, "context": {"event_timestamp": 5}},
        {"event_name": "b", "properties": {}},
        GOOD,
    ]
    decision = handle(batch(*elements), "events/batch")
    assert decision.answer is Answer.OK
    assert codes(decision) == [
        "valid",
        *["event_not_object"] * 4,
        "missing_event_name",
        "batch_item_too_large",
        "too_deep",
        "timestamp_not_ms",
        "valid",
        "valid",
    ]
    assert [record.batch_index for record in decision.records] == list(range(11))
    assert "deprecated_payload_v1" in decision.records[9].warnings
    assert decision.records[10].warnings == ("duplicate_event_id",)


def test_a_number_out_of_range_refuses_its_element_only() -> None:
    good = json.dumps(GOOD).encode()
    decision = handle(b'{"batch":[' + good + b',{"event_name":"x","value":[1e400]},' + good + b"]}", "events/batch")
    assert codes(decision) == ["valid", "number_out_of_range", "valid"]


@pytest.mark.parametrize("levels", [940, 960, 970, 975, 980, 985, 990, 995])
def test_deep_nesting_at_the_parsers_own_limit_is_an_answer(levels: int) -> None:
    for endpoint in ("events", "events/batch"):
        deep = b'{"a":' * levels + b"1" + b"}" * levels
        decision = handle(deep if endpoint == "events" else b'{"batch":[' + deep + b"]}", endpoint)
        assert codes(decision) in (["too_deep"], ["invalid_json"])


@pytest.mark.parametrize("over", [0, 1])
def test_an_element_is_measured_without_spaces(over: int) -> None:
    element = {**GOOD, "x": ""}
    element["x"] = "é" * ((32_768 + over - len(json.dumps(element, separators=(",", ":")))) // 2)
    exact = len(json.dumps(element, separators=(",", ":"), ensure_ascii=False).encode())
    element["x"] = str(element["x"]) + "y" * (32_768 + over - exact)
    text = json.dumps(batch(element), indent=4).encode()
    assert len(text) > 32_768 + 100
    assert codes(handle(text, "events/batch")) == ["batch_item_too_large" if over else "valid"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (GOOD, "batch_missing"),
        ({}, "batch_missing"),
        ([GOOD], "payload_not_object"),
        ("x", "payload_not_object"),
        (batch() | {"batch": None}, "batch_not_array"),
        (batch() | {"batch": {"a": GOOD}}, "batch_not_array"),
    ],
)
def test_what_is_no_batch_leaves_one_record(body: object, code: str) -> None:
    assert codes(handle(body, "events/batch")) == [code]


def test_an_empty_batch_is_counted_and_no_event() -> None:
    endpoint = Endpoint()
    decision = endpoint.handle(request(batch(), "events/batch"))
    assert (decision.records, decision.answer, dict(endpoint.empty_batches)) == ([], Answer.OK, {access().ref: 1})


def test_other_root_keys_of_a_batch_are_ignored_with_a_warning() -> None:
    (record,) = handle(batch(GOOD, sentAt="x"), "events/batch").records
    assert (record.status, record.warnings) == ("valid", ("batch_extra_keys",))
    assert "sentAt" not in json.loads(record.payload)


# The owner's own limits


@pytest.mark.parametrize(
    ("origin", "code"), [(None, "valid"), (b"https://a.example", "valid"), (b"https://b.example", "origin_forbidden")]
)
def test_origin(origin: bytes | None, code: str) -> None:
    assert codes(handle(GOOD, access=access("ks"), origin=origin)) == [code]


def test_the_event_cap_counts_events_not_requests() -> None:
    endpoint = Endpoint()
    elements = batch(*({**GOOD, "context": {"event_id": str(n)}} for n in range(5)))
    decision = endpoint.handle(request(elements, "events/batch", access=access("kc")))
    assert codes(decision) == ["valid"] * 3 + ["rate_limited"] * 2
    assert codes(endpoint.handle(request(GOOD, access=access("kc")))) == ["rate_limited"]
    assert codes(endpoint.handle(request(GOOD, access=access("kc"), received_ms=NOW + 1000))) == ["valid"]


# Figures, ids and answers


def test_refusals_over_the_cap_are_counted_and_not_recorded() -> None:
    endpoint = Endpoint()
    nowhere = DIRECTORY.resolve(())
    decisions = [endpoint.handle(request(GOOD, access=nowhere)) for _ in range(300)]
    assert {decision.answer for decision in decisions} == {Answer.OK}
    assert sum(len(decision.records) for decision in decisions) == 200
    assert endpoint.refusals == {"missing_site_id": 300}
    assert endpoint.cap.suppressed == {"missing_site_id": 100}


def test_only_what_was_stored_counts_as_an_event() -> None:
    endpoint = Endpoint()
    decision = endpoint.handle(request(GOOD))
    endpoint.settle(decision, stored=False)
    assert (endpoint.requests, endpoint.events) == ({("events", 503): 1}, Counter())
    again = endpoint.handle(request(GOOD))
    assert again.records[0].warnings == (), "what was not stored is no repeat"
    endpoint.settle(again, stored=True)
    assert endpoint.requests["events", 200] == 1
    assert endpoint.events == {("29/backend", "valid"): 1}


def test_new_ids_are_random_uuids() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_the_peer_is_the_client_of_a_client_side_source() -> None:
    (record,) = handle(GOOD, access=access("ks"), client_ip="2001:db8::1", user_agent=b"UA \xe9").records
    assert json.loads(record.payload)["context"]["device"] == {"ip": "2001:db8::1", "user_agent": "UA \ufffd"}


@pytest.mark.parametrize("answer", Answer, ids=lambda answer: answer.name)
def test_an_answer_is_one_well_formed_response(answer: Answer) -> None:
    for origin in (None, b"https://shop.example", b"bad\torigin", b"x" * 600):
        head, _, body = render(answer, origin, keep_alive=False).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        assert lines[0].startswith(f"HTTP/1.1 {answer.status} ")
        assert len(headers) == len(lines) - 1
        assert headers["Cache-Control"] == "no-store"
        assert headers["Connection"] == "close"
        assert len(body) == int(headers.get("Content-Length", "0"))
        assert headers.get("Access-Control-Allow-Origin") == (
            "https://shop.example" if origin == b"https://shop.example" else None
        )
    if answer.status in (400, 503) and answer.content_type == "application/json":
        assert set(json.loads(body)["error"]) == {"code", "message"}


def test_a_lenient_source_takes_json_under_any_content_type_and_nothing_that_is_no_json() -> None:
    source = msgspec.structs.replace(BACKEND, lenient_content_type=True)
    lenient = Access(source, source.ref)
    for content_type in (None, b"application/x-www-form-urlencoded"):
        (record,) = handle(GOOD, access=lenient, content_type=content_type).records
        assert (record.status, record.warnings) == ("valid", ("content_type_not_json",))
    (record,) = handle(GOOD, access=lenient).records
    assert record.warnings == ()
    assert handle(b"a=b", access=lenient, content_type=None).answer is Answer.INVALID_JSON


def test_new_caids_are_the_year_and_twenty_digits() -> None:
    made = {new_caid() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"20\d{22}", caid) for caid in made)
