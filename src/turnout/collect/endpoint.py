"""The decision of the collector: a request → its records and its answer. No I/O (`collect.md` §4, §10, §12)."""

import uuid
from collections import Counter
from collections.abc import Callable

import msgspec

from turnout.collect.admit import Admission, Arrival, client_id, refused
from turnout.collect.answers import Answer
from turnout.collect.body import InvalidJsonError, RefusedValueError, TooLargeError, inflate, parse
from turnout.collect.limits import BATCH_BYTES, EVENT_BYTES, EXCERPT_BYTES, RefusalCap, TokenBucket
from turnout.collect.routes import Access
from turnout.model.event import Reason, Received

_json = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True, gc=False):
    """A complete POST to a collect endpoint. `too_large`: the shell refused the body while reading `size` bytes."""

    endpoint: str
    access: Access
    body: bytes
    content_type: bytes | None
    content_encoding: bytes | None
    origin: bytes | None
    user_agent: bytes | None
    client_ip: str
    received_ms: int
    too_large: bool = False
    size: int = 0


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What to store (in this order) and what to answer once it is stored."""

    records: list[Received]
    answer: Answer


def new_id() -> str:
    """A fresh event id."""
    return str(uuid.uuid4())


class Endpoint:
    """Decides requests. Keeps only counters, caps and recent ids; one per collector."""

    def __init__(self, make_id: Callable[[], str] = new_id) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """By endpoint and status code."""
        self.events: Counter[tuple[str, str]] = Counter()
        """Recorded events by (source, status)."""
        self.refusals: Counter[str] = Counter()
        """All refusals by reason, recorded or not."""
        self.cap = RefusalCap()
        self.empty_batches = 0
        self._admission = Admission(make_id)
        self._rates: dict[str, TokenBucket] = {}

    def handle(self, request: Request) -> Decision:
        """Decide one request, in the order of §4. Never raises for anything a client can send."""
        arrival = _arrival(request)
        try:
            records = self._records(request, arrival)
            answer = Answer.OK
        except TooLargeError as error:
            message = f"{error.args[0]} bytes are more than this endpoint takes"
            records = self._refuse(request, arrival, Reason("payload_too_large", "", message), b"")
            answer = Answer.TOO_LARGE
        except InvalidJsonError as error:
            reason = Reason("invalid_json", "", str(error))
            records = self._refuse(request, arrival, reason, request.body[:EXCERPT_BYTES])
            answer = Answer.INVALID_JSON
        self.requests[request.endpoint, answer.status] += 1
        for record in records:
            self.events[record.source, record.status] += 1
        return Decision(records, answer)

    def _records(self, request: Request, arrival: Arrival) -> list[Received]:
        limit = EVENT_BYTES if request.endpoint == "events" else BATCH_BYTES
        if request.too_large or (len(request.body) > limit and not request.content_encoding):
            raise TooLargeError(request.size)
        body = inflate(request.body, request.content_encoding, limit)
        if len(body) > limit:
            raise TooLargeError(len(body))
        access = request.access
        if access.ga4 and access.refusal is not None:
            return self._refuse(request, arrival, access.refusal, body[:EXCERPT_BYTES])
        try:
            value, repaired = parse(body)
        except RefusedValueError as error:
            code, message = error.args
            reason = access.refusal or Reason(code, "", message)
            return self._refuse(request, arrival, reason, body[:EXCERPT_BYTES])
        refusal = access.refusal or _origin_refusal(request) or self._rate_refusal(request)
        kind = _content_kind(request.content_type)
        if refusal is None and kind == "other":
            message = "send Content-Type: application/json"
            refusal = Reason("unsupported_content_type", "", message)
        if refusal is not None:
            return self._refuse(request, arrival, refusal, body[:EXCERPT_BYTES], value)
        extra = (("content_type_text_plain",) if kind == "text" else ()) + (("text_repaired",) if repaired else ())
        if extra:
            arrival = msgspec.structs.replace(arrival, warnings=arrival.warnings + extra)
        if request.endpoint != "events":
            return self._batch(request, arrival, value)
        if not isinstance(value, dict):
            reason = Reason("payload_not_object", "", "an event is one JSON object")
            return self._refuse(request, arrival, reason, body[:EXCERPT_BYTES])
        return self._capped([self._admission.admit(value, _json(value) if repaired else body, arrival)])

    def _batch(self, request: Request, arrival: Arrival, value: object) -> list[Received]:
        """§10: each element as if it had been sent alone."""
        if not isinstance(value, dict) or "batch" not in value:
            code = "batch_missing" if isinstance(value, dict) else "payload_not_object"
            reason = Reason(code, "batch", 'the body is {"batch": [event, …]}')
            return self._refuse(request, arrival, reason, _json(value)[:EXCERPT_BYTES], value)
        elements = value["batch"]
        if not isinstance(elements, list):
            reason = Reason("batch_not_array", "batch", "batch is an array of events")
            return self._refuse(request, arrival, reason, _json(value)[:EXCERPT_BYTES], value)
        if not elements:
            self.empty_batches += 1
        return self._capped([self._element(element, arrival, i) for i, element in enumerate(elements)])

    def _element(self, element: object, arrival: Arrival, index: int) -> Received:
        text = _json(element)
        reason = None
        if not isinstance(element, dict):
            reason = Reason("event_not_object", f"batch[{index}]", "an event is one JSON object")
        elif len(text) > EVENT_BYTES:
            message = f"{len(text)} bytes are more than the {EVENT_BYTES} an event may have"
            reason = Reason("batch_item_too_large", f"batch[{index}]", message)
        if reason is None:
            assert isinstance(element, dict)
            return self._admission.admit(element, text, arrival, index)
        event_id = client_id(element) or self._admission.new_id()
        return refused(reason, arrival, event_id, "", text[:EXCERPT_BYTES], index)

    def _refuse(
        self, request: Request, arrival: Arrival, reason: Reason, payload: bytes, value: object = None
    ) -> list[Received]:
        """A refusal of the whole request: one record, unless strangers have had their share."""
        name = value.get("event_name") if isinstance(value, dict) else None
        event_id = client_id(value) or self._admission.new_id()
        text = name[:256] if isinstance(name, str) else ""
        return self._capped([refused(reason, arrival, event_id, text, payload)])

    def _capped(self, records: list[Received]) -> list[Received]:
        kept = []
        for record in records:
            if record.status == "rejected":
                code = record.reasons[0].code
                self.refusals[code] += 1
                owner = "" if record.source.endswith("/") else record.source
                if not self.cap.records(owner, code, record.received_ms):
                    continue
            kept.append(record)
        return kept

    def _rate_refusal(self, request: Request) -> Reason | None:
        source = request.access.source
        if source is None or source.max_events_per_second is None:
            return None
        rate = float(source.max_events_per_second)
        bucket = self._rates.setdefault(f"{source.ref} {rate}", TokenBucket(rate, rate))
        if bucket.take(request.received_ms):
            return None
        return Reason("rate_limited", "", f"over this source's max_events_per_second of {rate:g}")


def _arrival(request: Request) -> Arrival:
    access = request.access
    source = access.source
    client_side = source is not None and source.client_side
    return Arrival(
        access.ref,
        request.endpoint,
        request.received_ms,
        client_side,
        _unwrapped(request.client_ip) if client_side else "",
        request.user_agent.decode("utf-8", "replace") if client_side and request.user_agent else "",
        access.warnings,
    )


def _unwrapped(ip: str) -> str:
    """An IPv4 address that came through an IPv6 socket, as IPv4; no zone index."""
    ip = ip.partition("%")[0]
    return ip[7:] if ip.startswith("::ffff:") and "." in ip else ip


def _origin_refusal(request: Request) -> Reason | None:
    source = request.access.source
    if source is None or not source.allowed_origins or request.origin is None:
        return None
    origin = request.origin.decode("latin-1")
    if origin in source.allowed_origins:
        return None
    return Reason("origin_forbidden", "", f"{origin[:128]} is not among this source's allowed_origins")


def _content_kind(content_type: bytes | None) -> str:
    if content_type == b"application/json":
        return "json"
    word = (content_type or b"").partition(b";")[0].strip().lower()
    if word == b"application/json" or (word.startswith(b"application/") and word.endswith(b"+json")):
        return "json"
    return "text" if word == b"text/plain" else "other"
