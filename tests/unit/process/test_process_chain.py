"""One `Received`, one `Processed`: statuses, failing steps, payloads (`processing.md` §1, §5.3)."""

import itertools
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.log.interface import Batch
from turnout.model.event import ROUTED, Processed, Reason, Received, Status, decode_processed, encode
from turnout.process.build import STANDARD_CHAIN
from turnout.process.chain import Chain, Draft, Step, process, process_batch
from turnout.specification.catalogue import CATALOGUE

SAMPLE = Path(__file__).with_name("sample_event.json").read_bytes()
STATUSES: tuple[Status, ...] = get_args(Status)
SEVERITY: list[Status] = ["valid", "invalid_accepted", "invalid_rejected", "filtered", "failed", "rejected"]


def received(payload: bytes = SAMPLE, status: Status = "valid", name: str = "search") -> Received:
    return Received("e-1", "29/shop", name, status, 1700000000000, payload)


def one(received: Received, offset: int, chain: Chain) -> Processed:
    """The only record that an event gives."""
    (record,) = process(received, offset, chain)
    return record


def settling(*statuses: Status) -> Chain:
    """Steps that each settle one status and leave a warning that they ran."""

    def step(status: Status) -> Step:
        def run(draft: Draft) -> None:
            draft.settle(status)
            draft.warnings += (status,)

        return Step(f"to_{status}", run)

    return tuple(step(status) for status in statuses)


def broken(draft: Draft) -> None:
    draft.event.clear()
    raise KeyError("discount")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(STATUSES, STATUSES)))
def test_worst_status_wins(first: Status, second: Status) -> None:
    draft = Draft({}, "29/shop", first, (), ())
    draft.settle(second)
    assert draft.status == max(first, second, key=SEVERITY.index)


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_decides_what_is_kept_and_whether_later_steps_run(status: Status) -> None:
    done = one(received(b'{"event_name": "x"}'), 7, settling(status, "valid"))
    assert done.status == status
    if status in ROUTED:
        assert done.payload == b'{"event_name":"x"}'
        assert done.warnings == (status, "valid")
    else:
        assert done.payload == (b'{"event_name": "x"}' if status == "failed" else b"")
        assert done.warnings == (status,)


@pytest.mark.parametrize(
    ("payload", "tested"),
    [
        (b'{"test_code":"T1"}', True),
        (b'{"test_code":1}', False),
        (b'{"user":{"test_code":"T1"}}', False),
        (b"{}", False),
    ],
)
def test_an_event_with_a_test_code_is_marked(payload: bytes, tested: bool) -> None:
    assert one(received(payload), 7, settling("valid")).tested is tested


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in ROUTED])
def test_what_the_collector_refused_passes_through(status: Status) -> None:
    refused = Received("e-1", "29/", "search", status, 5, b"[1", (Reason("invalid_json", "", "at 2"),), ("w",), b"raw")
    done = one(refused, 7, ((Step("broken", broken)),))
    kept = b"[1" if status == "failed" else b""
    assert done == Processed("e-1", "29/", "search", status, 5, 7, kept, "", refused.reasons, ("w",))


def test_the_mission_sample() -> None:
    done = one(received(), 7, STANDARD_CHAIN)
    message = "should match the e-mail address pattern"
    assert (done.event_id, done.source, done.name) == ("e-1", "29/shop", "search")
    assert (done.received_ms, done.offset, done.user_key) == (1700000000000, 7, "67892")
    assert done.status == "invalid_accepted"
    assert done.reasons == (Reason("format", "user.email", message),)
    sent = msgspec.json.decode(SAMPLE)
    sent["context"]["dataquality"] = {
        "violations": [{"path": "user.email", "rule": "format", "action": "accepted", "message": message}]
    }
    assert msgspec.json.decode(done.payload) == sent
    assert done.payload == msgspec.json.encode(sent)


def test_a_valid_event_carries_no_quality_block() -> None:
    payload = b'{"event_name": "custom", "a": 1, "a": [2, "\\u00e9\\n"],\n "user": null}'
    done = one(received(payload), 0, STANDARD_CHAIN)
    assert (done.status, done.reasons, done.user_key) == ("valid", (), "")
    assert done.payload == '{"event_name":"custom","a":[2,"é\\n"],"user":null}'.encode()


def test_violations_make_a_context_where_there_is_none() -> None:
    done = one(received(b'{"event_name":"search","search_term":"a","context":null}'), 0, STANDARD_CHAIN)
    context = msgspec.json.decode(done.payload)["context"]
    assert [entry["path"] for entry in context["dataquality"]["violations"]] == ["user"]


def test_the_collectors_reasons_come_first_and_are_not_repeated() -> None:
    taken = msgspec.structs.replace(
        received(b'{"event_name":"search","search_term":"a","context":{}}', "invalid_accepted"),
        reasons=(Reason("invalid_type", "user", "user must be an object"),),
        warnings=("filled_event_id",),
    )
    done = one(taken, 0, STANDARD_CHAIN)
    assert [(reason.code, reason.path) for reason in done.reasons] == [
        ("invalid_type", "user"),
        ("missing_required", "context.event_id"),
        ("missing_required", "context.event_timestamp"),
    ]
    assert done.warnings == ("filled_event_id",)


@pytest.mark.parametrize(
    ("user", "key"),
    [
        ('{"consistent_anonymous_id":"caid","id":"crm"}', "caid"),
        ('{"consistent_anonymous_id":"","id":"crm"}', "crm"),
        ('{"consistent_anonymous_id":7}', "7"),
        ('{"id":"crm"}', "crm"),
        ('{"id":["crm"]}', ""),
        ("{}", ""),
        ('"crm"', ""),
    ],
)
def test_user_key(user: str, key: str) -> None:
    assert one(received(f'{{"event_name":"x","user":{user}}}'.encode()), 0, STANDARD_CHAIN).user_key == key


def test_a_failing_step_keeps_the_event_as_it_came() -> None:
    chain = (*STANDARD_CHAIN, Step("broken", broken), *settling("valid"))
    done = one(received(), 3, chain)
    assert (done.status, done.payload, done.offset) == ("failed", SAMPLE, 3)
    assert done.reasons == (Reason("step_failed", "", "broken: KeyError: 'discount'"),)
    assert done.warnings == ()


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"a":', b"\xff", b'{"a":"\xff"}', b"[" * 100_000])
def test_a_payload_that_is_no_object_fails_and_is_kept(payload: bytes) -> None:
    done = one(received(payload), 0, STANDARD_CHAIN)
    assert (done.status, done.payload) == ("failed", payload)
    assert done.reasons[0].code == "step_failed"
    assert done.reasons[0].message.startswith("decode: ")


def test_a_batch_gives_one_record_each_in_order() -> None:
    records = [encode(received()), b"\xc1 not a record", encode(received(b"", "rejected"))]
    done, counts = process_batch(Batch(40, 9, records), STANDARD_CHAIN)
    decoded = [decode_processed(record) for record in done]
    assert [(record.offset, record.status) for record in decoded] == [
        (40, "invalid_accepted"),
        (41, "failed"),
        (42, "rejected"),
    ]
    assert counts == {("29/shop", "invalid_accepted"): 1, ("", "failed"): 1, ("29/shop", "rejected"): 1}
    unreadable = decoded[1]
    assert (unreadable.event_id, unreadable.received_ms) == ("accepted-41", 9)
    assert unreadable.payload == records[1]
    assert unreadable.reasons[0].code == "record_unreadable"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
known = sorted({name for listed in CATALOGUE.schemas.values() for name in listed} | {"items", "value"})
known_objects = st.recursive(
    json_values,
    lambda inner: st.dictionaries(st.sampled_from(known), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)
events = st.fixed_dictionaries(
    {"event_name": st.sampled_from(sorted(CATALOGUE.events)) | json_values},
    optional={
        "user": known_objects,
        "context": known_objects,
        "value": json_values,
        "items": st.lists(st.dictionaries(st.sampled_from(known), known_objects, max_size=4), max_size=3),
    },
)


@given(events | st.dictionaries(st.text(), json_values))
def test_any_json_object_gives_one_routed_line(event: dict[str, object]) -> None:
    done = one(received(msgspec.json.encode(event)), 1, STANDARD_CHAIN)
    assert done.status in ROUTED, done.reasons
    assert b"\n" not in done.payload
    sent = msgspec.json.decode(done.payload)
    assert set(event) <= set(sent)
    assert (done.status == "valid") == (not done.reasons)
    if isinstance(event.get("context"), dict):
        again = one(received(done.payload), 1, STANDARD_CHAIN)
        assert (again.status, again.reasons, again.payload) == (done.status, done.reasons, done.payload)


@given(st.binary(max_size=200))
def test_any_bytes_give_one_record(payload: bytes) -> None:
    done = one(received(payload), 1, STANDARD_CHAIN)
    assert done.status in ROUTED or (done.status, done.payload) == ("failed", payload)
