"""One event: taken, repaired and completed, or refused with a reason (`collect.md` §5.1, §6, §7, §8, §12)."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from turnout.collect.anonymise import anonymise_event, anonymise_text
from turnout.collect.body import encode as _json
from turnout.collect.convert import Event, convert
from turnout.collect.identity import Visitor
from turnout.collect.limits import EARLIEST_MS, LATEST_MS, NAME_CHARACTERS, RecentIds
from turnout.collect.usual import Usual, recognise
from turnout.model.config import IpMode
from turnout.model.event import Location, Reason, Received, Status

_DAY_MS = 86_400_000
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_ADDRESS_CHARACTERS = 64
_HASHES = (("_md5", re.compile(r"[0-9a-f]{32}")), ("_sha256", re.compile(r"[0-9a-f]{64}")))
_HASH_ENDINGS = tuple(suffix for suffix, _ in _HASHES)
_SERVER_WRITES = ("dataquality", "warnings", "enrichment")


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request apart from its events."""

    source: str
    endpoint: str
    received_ms: int
    client_side: bool = False
    client_ip: str = ""
    user_agent: str = ""
    warnings: tuple[str, ...] = ()
    trust_client_ip: bool = True
    ip: IpMode = "keep"
    visitor: Visitor | None = None
    """None: whoever it is, nothing follows."""
    location: Location | None = None


class Admission:
    """Decides about events; remembers only recent ids.

    `new_id` makes an id for an event without one; `may_record` counts a refusal and says whether it gets a record.
    """

    def __init__(self, new_id: Callable[[], str], may_record: Callable[[Arrival, Reason], bool]) -> None:
        self.new_id = new_id
        self._may_record = may_record
        self._recent = RecentIds()

    def forget(self, record: Received) -> None:
        """The record could not be stored: its event has not been here."""
        self._recent.forget(record.source, record.event_id)

    def admit(self, event: Event, body: bytes, arrival: Arrival, batch_index: int = -1) -> Received | None:
        """The record for one JSON object, whose text is `body`; None for a refusal that gets none.

        Never raises. May change `event`.
        """
        usual = recognise(event, arrival.received_ms + _DAY_MS)
        if usual is not None and _needs_nothing(usual, event, arrival):
            return self._as_it_came(usual, body, arrival, batch_index)
        converted = convert(event)
        warnings = arrival.warnings
        if converted is None:
            draft = _Draft(event, arrival, self.new_id)
        else:
            draft = _Draft(converted[0], arrival, self.new_id)
            warnings += converted[1]
            if event.get("context") is not None and not isinstance(event["context"], dict):
                draft.reasons.append(_not_an_object("context"))
        refusal = draft.name() or draft.complete()
        if refusal is not None:
            if not self._may_record(arrival, refusal):
                return None
            event_id = client_id(draft.event) or self.new_id()
            kept = anonymise_text(body, arrival.ip)
            return refused(refusal, arrival, event_id, draft.text_name(), kept, batch_index)
        if self._recent.seen(arrival.source, draft.event_id, arrival.received_ms):
            draft.warnings.append("duplicate_event_id")
        reshaped = converted is not None or bool(draft.reasons) or draft.dropped
        return Received(
            draft.event_id,
            arrival.source,
            draft.text_name(),
            "invalid_accepted" if draft.reasons else "valid",
            arrival.received_ms,
            _json(draft.event) if reshaped or draft.filled else body,
            tuple(draft.reasons),
            (*warnings, *draft.warnings) if draft.warnings else warnings,
            _as_sent(body, arrival) if reshaped else b"",
            arrival.endpoint,
            batch_index,
            arrival.location,
        )

    def _as_it_came(self, usual: Usual, body: bytes, arrival: Arrival, batch_index: int) -> Received:
        event_id, warnings = usual.context.event_id, arrival.warnings
        if self._recent.seen(arrival.source, event_id, arrival.received_ms):
            warnings = (*warnings, "duplicate_event_id")
        return Received(
            event_id,
            arrival.source,
            usual.event_name,
            "valid",
            arrival.received_ms,
            body,
            (),
            warnings,
            b"",
            arrival.endpoint,
            batch_index,
            arrival.location,
        )


def refused(
    reason: Reason, arrival: Arrival, event_id: str, name: str, payload: bytes, batch_index: int = -1
) -> Received:
    """The record of a refusal. In `payload` there are no addresses that are not to be kept."""
    status: Status = "rejected"
    return Received(
        event_id,
        arrival.source,
        name,
        status,
        arrival.received_ms,
        payload,
        (reason,),
        arrival.warnings,
        b"",
        arrival.endpoint,
        batch_index,
        arrival.location,
    )


def client_id(event: object) -> str:
    """The id that the client gave an event, wherever it stood; "" if it gave none that can be used."""
    if not isinstance(event, dict):
        return ""
    context = event.get("context")
    inner = context if isinstance(context, dict) else {}
    for value in (inner.get("event_id"), event.get("event_id"), inner.get("eventId"), event.get("eventId")):
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


class _Draft:
    """An event on its way to a record: what was found and what was changed."""

    __slots__ = ("_arrival", "_new_id", "dropped", "event", "event_id", "filled", "reasons", "warnings")

    def __init__(self, event: Event, arrival: Arrival, new_id: Callable[[], str]) -> None:
        self.event = event
        self._arrival = arrival
        self._new_id = new_id
        self.reasons: list[Reason] = []
        self.warnings: list[str] = []
        self.filled = False
        self.dropped = False
        self.event_id = ""

    def text_name(self) -> str:
        name = self.event.get("event_name")
        return name[:NAME_CHARACTERS] if isinstance(name, str) else ""

    def name(self) -> Reason | None:
        name = self.event.get("event_name")
        if name is None:
            if isinstance(self.event.get("batch"), list):
                message = "a batch goes to /events/batch"
                return Reason("batch_on_single_endpoint", "batch", message)
            return Reason("missing_event_name", "event_name", "every event needs an event_name")
        if not isinstance(name, str) or not name.strip() or len(name) > NAME_CHARACTERS:
            message = f"must be text of 1 to {NAME_CHARACTERS} characters"
            return Reason("invalid_event_name", "event_name", message)
        return None

    def complete(self) -> Reason | None:
        """Check and fill `context` and `user`; a reason if the event can't be taken after all."""
        context = self._object("context")
        if context is None:
            context = self.event["context"] = {}
            self.filled = True
        refusal = self._timestamp(context)
        if refusal is not None:
            return refusal
        self._identify(context)
        for name in _SERVER_WRITES:
            if name in context:
                del context[name]
                self.dropped = True
        if "device" in context or self._arrival.client_side:
            self._device(context)
        self._user()
        if self._arrival.ip != "keep":
            self.event = anonymise_event(self.event, self._arrival.ip)
            self.filled = True
        code = self.event.get("test_code")
        if code is not None and not isinstance(code, str):
            self.event["test_code"] = _json(code).decode()
            self.filled = True
        return None

    def _object(self, name: str) -> Event | None:
        """A member that must be an object; anything else is removed and named."""
        value = self.event.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.reasons.append(_not_an_object(name))
        if name in self.event:
            del self.event[name]
            self.filled = True
        return None

    def _timestamp(self, context: Event) -> Reason | None:
        value = context.get("event_timestamp")
        if value is None:
            context["event_timestamp"] = self._arrival.received_ms
            self.warnings.append("filled_event_timestamp")
            self.filled = True
            return None
        time = value
        if isinstance(value, str):
            text = value.strip()
            if text != value:
                context["event_timestamp"] = text
                self.filled = True
            time = int(text) if _WHOLE.fullmatch(text) else None
        elif isinstance(value, float):
            time = context["event_timestamp"] = int(value // 1)
            self.filled = True
        path = "context.event_timestamp"
        if not isinstance(time, int) or isinstance(time, bool) or time <= 0:
            return Reason("invalid_timestamp", path, "expected milliseconds since 1970, as a whole number")
        if not EARLIEST_MS <= time < LATEST_MS:
            return Reason("timestamp_not_ms", path, "expected milliseconds since 1970, 13 digits")
        if time > self._arrival.received_ms + _DAY_MS:
            self.warnings.append("timestamp_in_future")
        return None

    def _identify(self, context: Event) -> None:
        value = context.get("event_id")
        if isinstance(value, str) and value:
            self.event_id = value
            return
        self.filled = True
        if isinstance(value, int) and not isinstance(value, bool):
            self.event_id = str(value)
        else:
            self.event_id = self._new_id()
            if value is None or value == "":
                self.warnings.append("filled_event_id")
            else:
                message = "must be text; it was replaced by a generated id"
                self.reasons.append(Reason("invalid_type", "context.event_id", message))
        context["event_id"] = self.event_id

    def _device(self, context: Event) -> None:
        device = context.get("device")
        arrival = self._arrival
        if device is None and arrival.client_side:
            device = context["device"] = {}
            self.filled = True
        if not isinstance(device, dict):
            return
        ip = device.get("ip")
        if ip is not None and not (isinstance(ip, str) and _is_address(ip)):
            del device["ip"]
            ip = None
            message = "must be an IPv4 or IPv6 address; it was removed"
            self.reasons.append(Reason("invalid_format", "context.device.ip", message))
        if not arrival.client_side:
            return
        if ip is not None and not arrival.trust_client_ip:
            del device["ip"]
            ip = None
            self.filled = True
        if ip is None and arrival.client_ip:
            device["ip"] = arrival.client_ip
            self.filled = True
        if device.get("user_agent") is None and arrival.user_agent:
            device["user_agent"] = arrival.user_agent
            self.filled = True

    def _user(self) -> None:
        user = self._object("user")
        if user is None:
            self.warnings.append("no_consent_information")
            if (created := self._visitor(None, None)) is not None:
                self.event["user"] = {"consistent_anonymous_id": created}
            return
        anonymous = user.get("consistent_anonymous_id")
        if (known := self._visitor(anonymous, user.get("consent_categories"))) is not None:
            anonymous = user["consistent_anonymous_id"] = known
        if isinstance(anonymous, int) and not isinstance(anonymous, bool):
            user["consistent_anonymous_id"] = str(anonymous)
            self.filled = True
        if not _tells_consent(user.get("consent_categories")):
            self.warnings.append("no_consent_information")
        for name, value in user.items():
            if not name.endswith(_HASH_ENDINGS) or value is None:
                continue
            for suffix, pattern in _HASHES:
                if name.endswith(suffix) and not (isinstance(value, str) and pattern.fullmatch(value)):
                    message = "must be lower-case hexadecimal"
                    self.reasons.append(Reason("invalid_format", f"user.{name}", message))

    def _visitor(self, claimed: object, categories: object) -> str | None:
        visitor = self._arrival.visitor
        found = visitor.identify(claimed, categories) if visitor is not None else None
        self.filled = self.filled or found is not None
        return found


def _needs_nothing(usual: Usual, event: Event, arrival: Arrival) -> bool:
    """Whether nothing is left to fill or to flag in what the types of a usual event don't tell."""
    device = usual.context.device
    ip = device.ip if device else None
    if arrival.ip != "keep" or (ip is not None and not _is_address(ip)):
        return False
    if arrival.client_side:
        if ip is None or not device or device.user_agent is None or not arrival.trust_client_ip:
            return False
        if arrival.visitor is not None and not arrival.visitor.is_known_as(usual.user.consistent_anonymous_id):
            return False
    user = event["user"]
    assert isinstance(user, dict)
    # Every suffix of a hash ends in one of these digits: most names are done with here.
    return not any(name[-1:] in "56" and name.endswith(_HASH_ENDINGS) for name in user)


def _as_sent(body: bytes, arrival: Arrival) -> bytes:
    """What is kept of the text of an event beside what became of it."""
    return body if arrival.ip == "keep" else _json(anonymise_event(msgspec.json.decode(body), arrival.ip))


def _not_an_object(name: str) -> Reason:
    return Reason("invalid_type", name, f"{name} must be an object; it was removed")


def _tells_consent(categories: object) -> bool:
    """Whether the property is well-typed: a list of ids, or one id (`collect.md` §8)."""
    items = categories if isinstance(categories, list) else [categories]
    return all(isinstance(item, str | int) and not isinstance(item, bool) for item in items)


def _is_address(value: str) -> bool:
    # Longer texts must not fill the cache.
    return len(value) <= _ADDRESS_CHARACTERS and _parses(value)


@lru_cache(8192)
def _parses(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
