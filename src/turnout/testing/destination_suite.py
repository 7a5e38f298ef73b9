"""The contract of `destinations/interface.py` as tests, for every destination type in the folder.

Use: subclass `DestinationSuite` under a name that begins with `Test` and give it two pytest fixtures, `kind`
(a `DestinationType`) and `context`, whose `http` may be `answering` to stay without sockets.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, get_origin, get_type_hints

import msgspec

from turnout.destinations.interface import Context, Destination, Event, Request, Response, Translator
from turnout.destinations.registry import DestinationType, validate
from turnout.model.outcome import Result

NOW_MS = 1_764_000_000_000


class AnsweredDestination:
    """Gives a translator's requests one answer without sending them, and keeps them for the test to see."""

    def __init__(self, translator: Translator, response: Response) -> None:
        self.batch_size = translator.batch_size
        self.concurrency = translator.concurrency
        self.requests: list[Request] = []
        self._translator = translator
        self._response = response

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """Translate both ways around the fixed answer."""
        request = self._translator.request(events, NOW_MS)
        if isinstance(request, Result):
            return [request] * len(events)
        self.requests.append(request)
        return self._translator.read(events, self._response)

    async def close(self) -> None:
        """Nothing is open."""


def answering(status: int) -> Callable[[Translator], Destination]:
    """A `Context.http` whose partner always answers with this status and nothing else."""
    return lambda translator: AnsweredDestination(translator, Response(status, {}))


class DestinationSuite:
    """What holds for every destination type, tested with the examples of its own settings."""

    def test_every_setting_is_described_and_has_an_example(self, kind: DestinationType) -> None:
        for name, hint in get_type_hints(kind.config, include_extras=True).items():
            assert get_origin(hint) is Annotated, f"{kind.name}: {name} has no msgspec.Meta"
            metas = [meta for meta in hint.__metadata__ if isinstance(meta, msgspec.Meta)]
            assert any(meta.description for meta in metas), f"{kind.name}: {name} has no description"
            assert any(meta.examples for meta in metas), f"{kind.name}: {name} has no example"

    def test_every_example_is_valid(self, kind: DestinationType) -> None:
        required = example_settings(kind, only_required=True)
        for name, hint in get_type_hints(kind.config, include_extras=True).items():
            for example in _examples(hint):
                config, problems = validate(kind.name, required | {name: example})
                assert config is not None, f"{kind.name}: {name}: {[str(problem) for problem in problems]}"

    def test_unknown_and_missing_settings_are_both_named(self, kind: DestinationType) -> None:
        config, problems = validate(kind.name, {"no_such_setting": 1})
        required = {field.encode_name for field in msgspec.structs.fields(kind.config) if field.required}
        assert config is None
        assert {problem.path for problem in problems} == required | {"no_such_setting"}

    def test_it_opens_with_all_examples_at_once(self, kind: DestinationType, context: Context) -> None:
        destination = _open(kind, context)
        assert destination.batch_size >= 1
        assert destination.concurrency >= 1
        asyncio.run(destination.close())

    def test_one_result_per_event_in_order(self, kind: DestinationType, context: Context) -> None:
        for count in (1, 2, 7):
            destination = _open(kind, context)
            events = [_event(index, b'{"event_name":"page_view"}') for index in range(count)]
            batches = [events[at : at + destination.batch_size] for at in range(0, count, destination.batch_size)]
            for batch, results in zip(batches, _send_all(destination, batches), strict=True):
                assert len(results) == len(batch)
                assert [result.kind for result in results] == ["delivered"] * len(batch)

    def test_an_event_without_properties_is_no_surprise(self, kind: DestinationType, context: Context) -> None:
        (results,) = _send_all(_open(kind, context), [[_event(0, b"{}")]])
        assert len(results) == 1

    def test_any_event_id_and_text_is_no_surprise(self, kind: DestinationType, context: Context) -> None:
        payload = msgspec.json.encode({"event_name": "e\u2028\r\n", "emoji": "\U0001f6d2", "nul": "\0"})
        event = Event(event_id="\r\nX-Injected: 1\0 \u00e9" * 100, name="e", payload=payload)
        (results,) = _send_all(_open(kind, context), [[event]])
        assert len(results) == 1

    def test_sending_again_is_allowed(self, kind: DestinationType, context: Context) -> None:
        batch = [_event(0, b'{"event_name":"purchase"}')]
        first, second = _send_all(_open(kind, context), [batch, batch])
        assert first == second

    def test_closing_twice_is_allowed(self, kind: DestinationType, context: Context) -> None:
        async def close_twice() -> None:
            destination = _open(kind, context)
            await destination.close()
            await destination.close()

        asyncio.run(close_twice())


def example_settings(kind: DestinationType, only_required: bool = False) -> dict[str, object]:
    """Settings made of the first example of each field."""
    required = {field.name for field in msgspec.structs.fields(kind.config) if field.required}
    hints = get_type_hints(kind.config, include_extras=True)
    return {
        name: _examples(hint)[0]
        for name, hint in hints.items()
        if _examples(hint) and (name in required or not only_required)
    }


def _examples(hint: object) -> list[object]:
    metas = getattr(hint, "__metadata__", ())
    return [example for meta in metas if isinstance(meta, msgspec.Meta) for example in meta.examples or ()]


def _open(kind: DestinationType, context: Context) -> Destination:
    config, problems = validate(kind.name, example_settings(kind))
    assert config is not None, [str(problem) for problem in problems]
    return kind.open(config, context)


def _event(index: int, payload: bytes) -> Event:
    return Event(event_id=f"event-{index}", name="page_view", payload=payload, received_ms=NOW_MS)


def _send_all(destination: Destination, batches: Sequence[Sequence[Event]]) -> list[Sequence[Result]]:
    async def send() -> list[Sequence[Result]]:
        try:
            return [await destination.send(batch) for batch in batches]
        finally:
            await destination.close()

    return asyncio.run(send())
