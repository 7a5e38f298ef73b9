"""Attempts that are shown: recorded with their outcomes, sampled, without secrets."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest
from msgspec import structs

from tests.unit.deliver.rig import DOWN, FakeDestination, Rig, eventually
from turnout.deliver.samples import Samples
from turnout.destinations import registry
from turnout.destinations.dry import DryDestination
from turnout.destinations.interface import Context, Event
from turnout.destinations.webhook import Config
from turnout.model.attempt import Answer, Attempt, Exchange, Sent
from turnout.model.config import Delivery, Destination
from turnout.model.event import Processed
from turnout.model.outcome import Result
from turnout.model.sampling import PER_HOUR, PER_MINUTE, Sampler
from turnout.receipts.attempts import read
from turnout.receipts.records import LedgerEntry

NOW = 1_764_000_000_000


def play(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 120))


def shown(rig: Rig) -> list[Attempt]:
    return [attempt for _, attempt in read(rig.store, 1_000)]


def words(rig: Rig) -> list[tuple[str, str, int, str]]:
    return [(one.event_id, one.outcome, one.attempt, one.reason) for one in shown(rig)]


def test_every_attempt_is_shown_with_what_it_led_to(tmp_path: Path) -> None:
    answers = {
        "a1": Result("delivered", exchange=Exchange(Sent("POST", "http://x/", {}, b"a1"), Answer(200, {}, b"ok"))),
        "b1": Result("rejected", "invalid_user", "no such user"),
        "c1": DOWN,
        "d1": Result("filtered", "unsupported_event"),
    }

    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda event: answers[event.event_id]), Delivery(max_attempts=2))
        rig.add("a1", "b1", "c1", "d1")
        async with rig.running():
            await rig.settled(passing_ms=1_000)
        first = {word[0]: word for word in words(rig)[:4]}
        assert first == {
            "a1": ("a1", "delivered", 1, ""),
            "b1": ("b1", "rejected", 1, "invalid_user"),
            "c1": ("c1", "pending", 1, "connection_failed"),
            "d1": ("d1", "filtered", 1, "unsupported_event"),
        }
        assert words(rig)[4:] == [("c1", "error", 2, "connection_failed")]
        found = {one.event_id: one for one in reversed(shown(rig))}
        assert found["a1"].request == Sent("POST", "http://x/", {}, b"a1")
        assert found["a1"].response == Answer(200, {}, b"ok")
        assert (found["a1"].offset, found["d1"].offset, found["a1"].source) == (0, 3, "29/shop")
        assert (found["a1"].payload, found["a1"].sampling, found["a1"].destination) == (b"{}", "all", "29/orders")
        assert found["c1"].next_attempt_ms is not None
        assert found["b1"].detail == "no such user"

    play(scenario())


def test_what_is_filtered_or_dry_is_shown_and_nothing_of_it_was_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(event_names=frozenset(("purchase",)), dry_mode=True)
        rig.put({"a1": b"{}"}, "purchase")
        rig.put({"b1": b"{}"}, "login")
        async with rig.running():
            await rig.settled()
        assert sorted(words(rig)) == [("a1", "dry_run", 0, ""), ("b1", "filtered", 0, "event_name")]
        assert rig.destination.sends == []

    play(scenario())


def test_an_attempt_that_is_put_off_is_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN, concurrency=1))
        rig.add(*(f"a{n}" for n in range(15)))
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id) == 15, "the breaker to open")
        assert len(shown(rig)) == 10

    play(scenario())


def test_a_file_in_dry_mode_is_never_written(tmp_path: Path) -> None:
    context = Context("29/archive", tmp_path, lambda translator: DryDestination(translator, lambda: NOW), dry_mode=True)
    config, _ = registry.validate("file", {"path": "made.ndjson"})
    opened = registry.open_destination("file", config, context)

    async def scenario() -> None:
        (result,) = await opened.send([Event("e1", "purchase", b"{}")])
        assert (result.kind, result.exchange) == ("delivered", None)
        await opened.close()

    play(scenario())
    assert [path.read_bytes() for path in tmp_path.rglob("*.ndjson")] in ([], [b""])


def samples(mode: str = "quota", settings: object = None) -> Samples:
    sampler = Sampler(100)
    sampler.configure({"29": mode})  # type: ignore[dict-item] # one of its modes
    where = Destination(site="29", name="hook", type="webhook", sources=frozenset(), settings=settings)
    return Samples(where, sampler)


def event(payload: bytes = b"{}", name: str = "purchase") -> Processed:
    return Processed("e1", "29/shop", name, "valid", NOW, 0, payload)


def test_beyond_the_quota_events_with_a_test_code_are_kept_up_to_an_allowance_of_their_own() -> None:
    one = samples()
    quota = PER_MINUTE + PER_HOUR
    assert sum(one.keep(event(), False, NOW) is not None for _ in range(500)) == quota
    assert sum(one.keep(event(), True, NOW) is not None for _ in range(500)) == quota
    tested = structs.replace(event(), tested=True)
    assert [one.keep(tested, False, NOW) for _ in range(150)] == ["test_code"] * 100 + [None] * 50


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        (b'{"event_name":"purchase","test_code":"T1"}', "test_code"),
        (b'{"user":{"test_code":"x"}}', None),
        (b'{"test_code":1}', None),
        (b'"test_code"', None),
        (b'{"test_code"', None),
    ],
)
def test_the_test_code_of_a_later_attempt_is_read_from_its_payload(payload: bytes, kept: str | None) -> None:
    one = samples()
    for _ in range(PER_MINUTE + PER_HOUR):
        one.keep(event(), False, NOW)
    entry = LedgerEntry(0, "e1", "purchase", payload, "", NOW, 1, NOW, NOW)
    assert one.keep(entry, False, NOW) == kept


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://u:pass-word@partner.example/in?key=k1&x=long-secret", "headers": {"X-Key": "h1"}},
        {"url": "https://u:pass-word@partner.example/in?key=k1&x=long-secret", "headers": {"x-key": "h1"}},
    ],
)
def test_secrets_are_never_shown(settings: dict[str, object]) -> None:
    config, problems = registry.validate("webhook", settings)
    assert not problems
    assert isinstance(config, Config)
    exchange = Exchange(
        Sent(
            "POST",
            "https://u:pass-word@partner.example/in?key=k1&x=long-secret&open=1",
            {"X-Key": "another", "Authorization": "Bearer y", "Content-Type": "text/plain", "Y": "is long-secret"},
            b"body long-secret " + b"x" * 20_000,
        ),
        Answer(403, {"set-cookie": "a=b", "x-echo": "h1"}, b"no long-secret here"),
    )
    masked = Samples(
        Destination(site="29", name="hook", type="webhook", sources=frozenset(), settings=config), Sampler()
    )._secrets.masked(exchange)
    assert masked.request.url == "https://u:***@partner.example/in?key=***&x=***&open=1"
    assert masked.request.headers == {
        "X-Key": "***",
        "Authorization": "***",
        "Content-Type": "text/plain",
        "Y": "is ***",
    }
    assert masked.request.body.startswith(b"body *** xxx")
    assert len(masked.request.body) <= 16 * 1024
    assert masked.response == Answer(403, {"set-cookie": "***", "x-echo": "***"}, b"no *** here")


def test_a_webhook_in_dry_mode_shows_the_request_that_would_have_been_sent() -> None:
    config, _ = registry.validate("webhook", {"url": "https://partner.example/in", "body": {"a": 1}})
    context = Context("29/hook", Path(), lambda translator: DryDestination(translator, lambda: NOW), dry_mode=True)
    opened = registry.open_destination("webhook", config, context)
    (result,) = asyncio.run(opened.send([Event("e1", "purchase", b"{}")]))
    assert result.kind == "delivered"
    assert result.exchange is not None
    assert (result.exchange.request.body, result.exchange.response) == (b'{"a":1}', None)
