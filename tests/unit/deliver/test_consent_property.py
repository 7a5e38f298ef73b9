"""No event ever reaches a destination whose requirement it does not meet: whatever the payload, and by every way.

Random events in every form that clients send go through the real collector, chain and deliverer, while the
destination fails, refuses and changes its requirement, and dead letters are replayed. What an event was made to grant
is known from making it, not from reading it.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.deliver.rig import DOWN, FakeDestination, Rig, eventually
from turnout.collect import pixel
from turnout.collect.directory import Directory, parameters
from turnout.collect.endpoint import Endpoint, Request
from turnout.destinations.interface import Event
from turnout.log.interface import Batch
from turnout.model.config import Delivery, Snapshot, Source
from turnout.model.event import PROCESSED, encode
from turnout.model.outcome import DELIVERED, Result
from turnout.model.requirement import Consent
from turnout.process.arrays import is_array
from turnout.process.build import STANDARD_CHAIN
from turnout.process.chain import process_batch

POOL = ("1", "3", "4", "C0003", "10019")
EVERYTHING: list[object] = [*POOL]
NOW_MS = 1_764_000_000_000
SHOP = Source(site="29", name="shop", type="server", environment="production", key="k")
ACCESS = Directory(Snapshot(version="1", sites=frozenset({"29"}), sources={SHOP.ref: SHOP}), 0).resolve(
    parameters("tc_s=29&token=k")
)
FILTERS: dict[str, Callable[[int], bool]] = {
    "": lambda value: True,
    "value > 10": lambda value: value > 10,
    "EXISTS(coupon)": lambda value: value == 20,
}
"""Formulas, and what they say of an event with this value; one of 20 has a coupon."""
ANSWERS = (DELIVERED, DOWN, Result("rejected", "400_bad_request"), Result("error", "404_not_found"))


class Sent(NamedTuple):
    """An event: the form it is sent in, what stands in `user.consent_categories`, what that grants, its value."""

    form: str
    categories: object
    grants: frozenset[str]
    value: int


class Stage(NamedTuple):
    """A requirement, the answers of the partner meanwhile, and events that come then."""

    consent: Consent | None
    filter: str
    answers: Sequence[Result]
    events: Sequence[Sent]

    def met_by(self, event: Sent) -> bool:
        if self.consent is not None:
            wanted = set(self.consent.categories)
            if not (wanted <= event.grants if self.consent.mode == "all" else wanted & event.grants):
                return False
        return FILTERS[self.filter](event.value)


def _typed(category: str) -> st.SearchStrategy[object]:
    return st.sampled_from([category, int(category)]) if category.isdigit() else st.just(category)


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    value = draw(st.sampled_from([5, 15, 20]))
    form = draw(st.sampled_from(["v2", "v1", "half", "both", "container", "pixel"]))
    chosen = draw(st.lists(st.sampled_from(POOL), max_size=4))
    if form == "pixel":
        return Sent(form, chosen, frozenset(chosen), value)
    kind = draw(st.sampled_from(["list", "list", "list", "scalar", "malformed"]))
    if kind == "list":
        return Sent(form, [draw(_typed(one)) for one in chosen], frozenset(chosen), value)
    if kind == "scalar" and chosen:
        return Sent(form, draw(_typed(chosen[0])), frozenset(chosen[:1]), value)
    malformed: list[object] = [
        *(None, True, 3.0, "", {"0": "3"}, {"3": True}, "1,3", "[1,3]", [["1", "3"]], [*POOL, None]),
        *([*POOL, True], [*POOL, {}], [" 3"], ["c0003"], [3.5, *POOL], "ALL", ["*"], {}),
    ]
    return Sent(form, draw(st.sampled_from(malformed)), frozenset(), value)


@st.composite
def stages(draw: st.DrawFn) -> list[Stage]:
    consents = st.none() | st.builds(
        Consent,
        categories=st.lists(st.sampled_from(POOL), min_size=1, max_size=3, unique=True).map(tuple),
        mode=st.sampled_from(["all", "any"]),
    )
    return draw(
        st.lists(
            st.builds(
                Stage,
                consents,
                st.sampled_from(sorted(FILTERS)),
                st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4),
                st.lists(sent(), max_size=5),
            ),
            min_size=1,
            max_size=3,
        )
    )


def body(event: Sent, event_id: str) -> dict[str, object]:
    """The event as JSON, in its form. What is not meant to count grants everything."""
    user = {"consent_categories": event.categories}
    rest: dict[str, object] = {"value": event.value, **({"coupon": "c"} if event.value == 20 else {})}
    context = {"event_id": event_id, "event_timestamp": NOW_MS}
    if event.form == "v1":
        return {"event_name": "custom", **context, "properties": {"user": user, **rest}}
    if event.form == "half":
        return {"event_name": "custom", "context": context, "properties": {"user": user, **rest}}
    if event.form == "both":
        lifted = {"user": {"consent_categories": EVERYTHING}, "consent_categories": EVERYTHING}
        return {"event_name": "custom", "context": context, "user": user, "properties": lifted, **rest}
    if event.form == "container":
        return {"event_name": "custom", "eventId": event_id, "event_timestamp": NOW_MS, "user": user, **rest}
    return {"event_name": "custom", "context": context, "user": user, **rest}


def query(event: Sent, event_id: str) -> str:
    assert isinstance(event.categories, list)
    pairs = [f"user[consent_categories][]={quote(one)}" for one in event.categories]
    pairs += ["event_name=custom", f"context[event_id]={event_id}", f"context[event_timestamp]={NOW_MS}"]
    pairs += [f"value={event.value}", *(["coupon=c"] if event.value == 20 else [])]
    return "&".join(pairs)


def request(endpoint: str, data: object, decoded: pixel.Decoded | None = None) -> Request:
    content = json.dumps(data).encode()
    return Request(endpoint, ACCESS, content, b"application/json", None, None, None, "192.0.2.1", NOW_MS, pixel=decoded)


def processed(events: dict[str, Sent], collector: Endpoint) -> list[bytes]:
    """What collector and chain make of these events: pixels alone, one alone, the others in a batch."""
    requests = [
        request("pixel", None, pixel.decode(query(event, one), is_array))
        for one, event in events.items()
        if event.form == "pixel"
    ]
    posted = [body(event, one) for one, event in events.items() if event.form != "pixel"]
    requests += [request("events", one) for one in posted[:1]]
    if posted[1:]:
        requests.append(request("events/batch", {"batch": posted[1:]}))
    received = [encode(record) for one in requests for record in collector.handle(one).records]
    records, counts = process_batch(Batch(0, NOW_MS, received), STANDARD_CHAIN)
    assert counts.total() == len(events)
    assert {status for _, status in counts} <= {"valid", "invalid_accepted"}
    return records


class Partner(FakeDestination):
    """Notes whatever it should not have been sent."""

    def __init__(self, stage: Stage, events: dict[str, Sent], batch_size: int) -> None:
        answers = {one: stage.answers[number % len(stage.answers)] for number, one in enumerate(events)}
        super().__init__(lambda event: answers[event.event_id], batch_size)
        self.leaks: list[str] = []
        self._stage, self._events = stage, events

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        self.leaks += [one.event_id for one in events if not self._stage.met_by(self._events[one.event_id])]
        return await super().send(events)


@settings(max_examples=80, deadline=None)
@example(
    # Once the fraction became a text on the way, and the rest of the list counted.
    history=[Stage(Consent(categories=("1",)), "", [DELIVERED], [Sent("v2", [3.5, "1"], frozenset(), 5)])],
    batch_size=1,
    ordered=False,
)
@given(history=stages(), batch_size=st.sampled_from([1, 3]), ordered=st.booleans())
def test_nothing_reaches_a_destination_that_may_not_have_it(
    history: list[Stage], batch_size: int, ordered: bool
) -> None:
    async def scenario(folder: Path) -> None:
        rig = Rig(folder, delivery=Delivery(backoff_s=1.0, max_attempts=3, ordered=ordered))
        collector, everything = Endpoint(is_array=is_array), dict[str, Sent]()
        routed: dict[str, int] = {}
        last = history[-1]._replace(answers=(DELIVERED,), events=())
        for number, stage in enumerate([*history, last]):
            fresh = {f"e{number}-{place}": event for place, event in enumerate(stage.events)}
            everything |= fresh
            routed |= dict.fromkeys(fresh, number)
            rig = rig.again(consent=stage.consent, filter=stage.filter)
            partner = rig.destination = Partner(stage, everything, batch_size)
            if fresh:
                rig.log.append(PROCESSED, processed(fresh, collector))
            rig.store.replay(rig.id, list(rig.store.dead_letters(rig.id)), rig.clock())
            async with rig.running():
                await eventually(rig.passed, "the pass to end")
                if stage is last:
                    await rig.settled(passing_ms=1_000)
                else:
                    rig.clock.ms += 1_500
                    await asyncio.sleep(0)
            assert partner.leaks == []
        for one, event in everything.items():
            passed = [stage.met_by(event) for stage in history[routed[one] :]]
            fate = rig.fate(one)
            if all(passed):
                assert fate.outcome == "delivered", (event, fate)
            elif not passed[0]:
                assert fate.outcome == "filtered", (event, fate)
            assert (fate.consent is not None) == (fate.reason == "consent")
            if fate.consent is not None:
                assert set(fate.consent.given) >= event.grants
        rig.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(asyncio.wait_for(scenario(Path(folder)), 120))
