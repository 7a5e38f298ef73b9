"""The decision of the collector: a request → its records and its answer. No I/O (`collect.md` §4, §9–§12)."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import getrandbits
from secrets import randbelow

import msgspec

from turnout.collect import ga4
from turnout.collect.admit import Admission, Arrival, client_id, refused
from turnout.collect.anonymise import anonymise, excerpt
from turnout.collect.answers import Answer, Page
from turnout.collect.body import (
    InvalidJsonError,
    Parsed,
    TooLargeError,
    encode,
    flaw,
    inflate,
    parse,
    parse_batch,
    split,
)
from turnout.collect.directory import Access
from turnout.collect.identity import Visit, Visitor, first_party, make_caid, read_cookie
from turnout.collect.limits import BATCH_BYTES, EVENT_BYTES, EXCERPT_BYTES, NAME_CHARACTERS, RefusalCap, TokenBucket
from turnout.collect.pixel import Decoded, IsArray
from turnout.model.event import Location, Reason, Received

_CONTENT_WARNINGS: dict[str, tuple[str, ...]] = {
    "json": (),
    "text": ("content_type_text_plain",),
    "other": ("content_type_not_json",),
}
_UUID_CLEARED = ~(0xF000 << 64 | 0xC000 << 48)
_UUID_VERSION_4 = 0x4000 << 64 | 0x8000 << 48


class Request(msgspec.Struct, frozen=True, gc=False):
    """A complete request with events. `too_large`: the shell refused body or query, which had `size` bytes.

    `endpoint` is "events", "events/batch", or "pixel" for a GET.
    """

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
    pixel: Decoded | None = None
    """What the query of a GET holds."""
    hit: ga4.Split | None = None
    """The query of a GA4 hit: its body, if there is one, is not JSON."""
    cookie: bytes | None = None
    host: str = ""
    """That the client asked for; needed only where the site has first-party domains."""
    secure: bool = True
    """False: a browser would not keep the cookie that we set."""
    location: Location | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What to store (in this order) and what to answer once it is stored. `endpoint` is for the figures."""

    endpoint: str
    records: list[Received]
    answer: Answer | Page
    cookie: str = ""
    """The `Set-Cookie` header that goes with the answer."""


def new_id() -> str:
    """A fresh event id: a random UUID (RFC 9562, version 4), made five times faster than by `uuid.uuid4`."""
    text = f"{getrandbits(128) & _UUID_CLEARED | _UUID_VERSION_4:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_caid() -> str:
    """A fresh CAID."""
    return make_caid(datetime.now(UTC).year, randbelow)


class Endpoint:
    """Decides requests. Keeps only counters, caps and recent ids; one per collector."""

    def __init__(
        self,
        make_id: Callable[[], str] = new_id,
        is_array: IsArray = lambda _: False,
        make_caid: Callable[[], str] = new_caid,
    ) -> None:
        """`is_array`: which paths of an event the catalogue types as arrays."""
        self.requests: Counter[tuple[str, int]] = Counter()
        """Answers by endpoint and status code."""
        self.events: Counter[tuple[str, str]] = Counter()
        """Stored events by (source, status)."""
        self.refusals: Counter[str] = Counter()
        """All refusals by reason, recorded or not."""
        self.cap = RefusalCap()
        self.empty_batches: Counter[str] = Counter()
        """Batches without an event, by source: the warning `batch_empty` (§10), which has no event to stand on."""
        self._admission = Admission(make_id, self._may_record)
        self._is_array, self._make_caid = is_array, make_caid
        self._rates: dict[str, TokenBucket] = {}

    def handle(self, request: Request) -> Decision:
        """Decide one request, in the order of §4. Never raises for anything a client can send."""
        arrival = self._arrival(request)
        try:
            records = self._records(request, arrival)
        except TooLargeError as error:
            reason = Reason("payload_too_large", "", f"{error.args[0]} bytes are more than this endpoint takes")
            records = self._refuse(arrival, reason, b"")
            answer = Answer.PIXEL_TOO_LARGE if request.endpoint == "pixel" else Answer.TOO_LARGE
            return Decision(request.endpoint, records, answer)
        except InvalidJsonError as error:
            records = self._refuse(arrival, Reason("invalid_json", "", str(error)), request.body)
            return Decision(request.endpoint, records, Answer.INVALID_JSON)
        answer = Answer.PIXEL if request.endpoint == "pixel" else Answer.OK
        if arrival.visitor is None:
            return Decision(request.endpoint, records, answer)
        return Decision(request.endpoint, records, answer, arrival.visitor.cookie)

    def settle(self, decision: Decision, stored: bool) -> None:
        """Count a decision: its records are stored, or could not be and the answer says so."""
        self.requests[decision.endpoint, decision.answer.status if stored else Answer.UNAVAILABLE.status] += 1
        for record in decision.records:
            if stored:
                self.events[record.source, record.status] += 1
            else:
                self._admission.forget(record)

    def _records(self, request: Request, arrival: Arrival) -> list[Received]:
        if request.too_large:
            raise TooLargeError(request.size)
        if request.pixel is not None:
            return self._pixel(request, arrival, request.pixel)
        limit = BATCH_BYTES if request.endpoint == "events/batch" else EVENT_BYTES
        body = inflate(request.body, request.content_encoding, limit)
        if len(body) > limit:
            raise TooLargeError(len(body))
        if request.hit is not None:
            return self._hits(request, arrival, request.hit, body)
        parsed = parse(body) if request.endpoint == "events" else parse_batch(body)
        kind = _content_kind(request.content_type)
        refusal = request.access.refusal or _origin_refusal(request)
        if refusal is None and kind == "other" and not _is_lenient(request):
            refusal = Reason("unsupported_content_type", "", "send Content-Type: application/json")
        if refusal is not None:
            return self._refuse(arrival, refusal, body, parsed.value)
        extra = _CONTENT_WARNINGS[kind]
        if parsed.repaired:
            extra += ("text_repaired",)
        if extra:
            arrival = _warned(arrival, extra)
        if request.endpoint == "events":
            return self._single(request, arrival, parsed)
        return self._batch(request, arrival, parsed)

    def _pixel(self, request: Request, arrival: Arrival, pixel: Decoded) -> list[Received]:
        """§9: the decoded query as if it had been a body."""
        parsed = Parsed(pixel.event, encode(pixel.event))
        refusal = request.access.refusal or _origin_refusal(request)
        if refusal is not None:
            return self._refuse(arrival, refusal, parsed.text, parsed.value)
        return self._single(request, _warned(arrival, pixel.warnings) if pixel.warnings else arrival, parsed)

    def _hits(self, request: Request, arrival: Arrival, hit: ga4.Split, body: bytes) -> list[Received]:
        """§11: one event for each GA4 hit."""
        refusal = request.access.refusal or _origin_refusal(request)
        if refusal is not None:
            return self._refuse(arrival, refusal, b"\n".join(filter(None, (hit.hit.encode(), body))))
        bridged = ga4.bridge(hit, body, self._is_array)
        arrival = _warned(arrival, bridged.warnings)
        records: list[Received] = []
        for index, event in enumerate(bridged.events):
            element = Parsed(event, encode(event))
            records += self._element(request, arrival, element, index if len(bridged.events) > 1 else -1)
        return records

    def _single(self, request: Request, arrival: Arrival, parsed: Parsed) -> list[Received]:
        refusal = flaw(parsed)
        if refusal is None and not isinstance(parsed.value, dict):
            refusal = Reason("payload_not_object", "", "an event is one JSON object")
        refusal = refusal or self._rate_refusal(request)
        if refusal is not None:
            return self._refuse(arrival, refusal, parsed.text, parsed.value)
        return self._admit(arrival, parsed)

    def _batch(self, request: Request, arrival: Arrival, parsed: Parsed) -> list[Received]:
        """§10: each element as if it had been sent alone."""
        elements, value = parsed.elements, parsed.value
        if elements is None:
            if not isinstance(value, dict) or "batch" not in value:
                code = "batch_missing" if isinstance(value, dict) else "payload_not_object"
                reason = Reason(code, "batch", 'the body is {"batch": [event, …]}')
                return self._refuse(arrival, reason, parsed.text, value)
            if not isinstance(value["batch"], list):
                reason = Reason("batch_not_array", "batch", "batch is an array of events")
                return self._refuse(arrival, reason, parsed.text, value)
            if len(value) > 1:
                arrival = _warned(arrival, ("batch_extra_keys",))
            elements = split(value["batch"], parsed.infinite)
        if not elements:
            self.empty_batches[arrival.source] += 1
        records: list[Received] = []
        for index, element in enumerate(elements):
            records += self._element(request, arrival, element, index)
        return records

    def _element(self, request: Request, arrival: Arrival, element: Parsed, index: int) -> list[Received]:
        refusal = flaw(element) or _unfit(element, index) or self._rate_refusal(request)
        if refusal is not None:
            return self._refuse(arrival, refusal, element.text, element.value, index)
        return self._admit(arrival, element, index)

    def _admit(self, arrival: Arrival, event: Parsed, index: int = -1) -> list[Received]:
        assert isinstance(event.value, dict)
        record = self._admission.admit(event.value, event.text, arrival, index)
        return [] if record is None else [record]

    def _refuse(
        self, arrival: Arrival, reason: Reason, payload: bytes, value: object = None, index: int = -1
    ) -> list[Received]:
        """A refusal of a request or of an element: one record, unless such ones have had their share."""
        if not self._may_record(arrival, reason):
            return []
        event_id = client_id(value) or self._admission.new_id()
        kept = excerpt(payload, EXCERPT_BYTES, arrival.ip)
        return [refused(reason, arrival, event_id, _name(value), kept, index)]

    def _may_record(self, arrival: Arrival, reason: Reason) -> bool:
        """Count a refusal; whether it gets a record too."""
        self.refusals[reason.code] += 1
        owner = "" if arrival.source.endswith("/") else arrival.source
        return self.cap.records(owner, reason.code, arrival.received_ms)

    def _rate_refusal(self, request: Request) -> Reason | None:
        """Counts one event against its source's own limit."""
        source = request.access.source
        if source is None or source.max_events_per_second is None:
            return None
        rate = float(source.max_events_per_second)
        bucket = self._rates.setdefault(f"{source.ref} {rate}", TokenBucket(rate, rate))
        if bucket.take(request.received_ms):
            return None
        return Reason("rate_limited", "", f"over this source's max_events_per_second of {rate:g}")

    def _arrival(self, request: Request) -> Arrival:
        access = request.access
        source = access.source
        if source is None:
            return Arrival(
                access.ref, request.endpoint, request.received_ms, warnings=access.warnings, location=request.location
            )
        if not source.client_side:
            return Arrival(
                access.ref,
                request.endpoint,
                request.received_ms,
                warnings=access.warnings,
                ip=source.ip,
                location=request.location,
            )
        return Arrival(
            access.ref,
            request.endpoint,
            request.received_ms,
            True,
            request.client_ip if source.ip == "keep" else anonymise(request.client_ip, source.ip),
            request.user_agent.decode("utf-8", "replace") if request.user_agent else "",
            access.warnings,
            source.trust_client_ip,
            source.ip,
            self._visitor(request) if access.identifies and (access.domains or request.cookie is not None) else None,
            request.location,
        )

    def _visitor(self, request: Request) -> Visitor | None:
        """Who visits (§8); None if no identifier came and none may be given."""
        access, source = request.access, request.access.source
        caid = read_cookie(request.cookie)
        domain = first_party(request.host, access.domains) if request.secure else ""
        if source is None or not (caid or domain):
            return None
        return Visitor(Visit(caid, domain, True, False, source.cookie_requires_consent), self._make_caid)


def _unfit(element: Parsed, index: int) -> Reason | None:
    """Why an element of a batch can't be an event. Its size is that of compact JSON, however it was sent."""
    if not isinstance(element.value, dict):
        return Reason("event_not_object", f"batch[{index}]", "an event is one JSON object")
    if len(element.text) <= EVENT_BYTES or (size := len(encode(element.value))) <= EVENT_BYTES:
        return None
    message = f"{size} bytes are more than the {EVENT_BYTES} an event may have"
    return Reason("batch_item_too_large", f"batch[{index}]" if index >= 0 else "", message)


def _warned(arrival: Arrival, warnings: tuple[str, ...]) -> Arrival:
    return msgspec.structs.replace(arrival, warnings=arrival.warnings + warnings)


def _name(event: object) -> str:
    name = event.get("event_name") if isinstance(event, dict) else None
    return name[:NAME_CHARACTERS] if isinstance(name, str) else ""


def _origin_refusal(request: Request) -> Reason | None:
    source = request.access.source
    if source is None or not source.allowed_origins or request.origin is None:
        return None
    origin = request.origin.decode("latin-1")
    if origin in source.allowed_origins:
        return None
    return Reason("origin_forbidden", "", f"{origin[:128]} is not among this source's allowed_origins")


def _is_lenient(request: Request) -> bool:
    source = request.access.source
    return source is not None and source.lenient_content_type


def _content_kind(content_type: bytes | None) -> str:
    if content_type == b"application/json":
        return "json"
    word = (content_type or b"").partition(b";")[0].strip().lower()
    if word == b"application/json" or (word.startswith(b"application/") and word.endswith(b"+json")):
        return "json"
    return "text" if word == b"text/plain" else "other"
