"""Alert rules, and what they found (`config-api.md` C7). The rules are those of the configuration; changes edit it."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.alerts.book import FRESH, KEPT_MS, Entry, Kept
from turnout.control.api import integrations
from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.merging import merged
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Cursored, Numbered, cursored, numbered, read_cursor
from turnout.control.api.problems import ApiError, Fault, Place, failure, not_found
from turnout.control.api.writing import change
from turnout.control.configuration.edit import Editor, literal
from turnout.model.alerts import Alert, Category
from turnout.model.config import Snapshot
from turnout.model.duration import Duration, milliseconds

TYPE = "health/alert"
_LONGEST_SNOOZE_MS = 31 * 86_400_000
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

ModelId = Annotated[int | None, Meta(description="Number of the source or destination that it is about.")]
ParametersGiven = Annotated[
    dict[str, object], Meta(description="Those of the category.", examples=[{"threshold": 90, "window": "PT30M"}])
]


class AlertAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and its state."""

    label: Annotated[str, Meta(description="Its name in `turnout.yaml`.")]
    category: Category
    model_id: ModelId
    parameters: Annotated[dict[str, object], Meta(description="With defaults filled in.")]
    is_enable: bool
    state: Annotated[str, Meta(description="`ok`, `firing` or `no_data`.")]
    since: Annotated[str | None, Meta(description="Since when it is in this state.")]
    snoozed_until: Annotated[str | None, Meta(description="Until when nothing is said.")]
    last_check_at: str | None
    last_check_value: Annotated[float | None, Meta(description="In the unit of the category: %, events, minutes.")]
    created_at: Annotated[str, Meta(description="When the server first saw it.")]
    updated_at: Annotated[str | None, Meta(description="Not known per rule: see the configuration's versions.")] = None


class NewAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule to be made."""

    category: Category
    label: Annotated[str, Meta(pattern=_NAME, description="Its name; without it one is made.")] = ""
    model_id: ModelId = None
    parameters: ParametersGiven = {}
    is_enable: bool = True


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    model_id: ModelId | UnsetType = UNSET
    parameters: Annotated[dict[str, object], Meta(description="Merged with what there is; null removes.")] = {}
    is_enable: bool | UnsetType = UNSET


class Snooze(msgspec.Struct, frozen=True, kw_only=True):
    """For how long nothing is to be said."""

    length: Annotated[Duration, Meta(description="At most P31D; `PT0S` ends a snooze.", examples=["PT4H"])] = (
        msgspec.field(name="for")
    )


class HistoryAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state, or a message."""

    at: str
    kind: Annotated[str, Meta(description="The new state, or of a message `firing`, `reminder`, `resolved`.")]
    notification_id: Annotated[int | None, Meta(description="Of a message: whose.")]
    value: float | None
    sent_at: str | None
    attempts: int
    next_attempt_at: str | None
    error: Annotated[str, Meta(description="Why it could not be sent, or not to everybody.")]


class AlertsQuery(Numbered, frozen=True, kw_only=True):
    """Which alerts."""

    category: Annotated[tuple[Category, ...], Meta(description="Of one of these categories.")] = msgspec.field(
        default=(), name="filter[category]"
    )
    model_id: Annotated[int, Meta(description="About this source or destination.")] | None = msgspec.field(
        default=None, name="filter[model_id]"
    )
    enable: Annotated[bool, Meta(description="Only enabled ones, or only others.")] | None = msgspec.field(
        default=None, name="filter[enable]"
    )
    state: Annotated[tuple[Literal["ok", "firing", "no_data"], ...], Meta(description="In one of these states.")] = (
        msgspec.field(default=(), name="filter[state]")
    )


@operation("GET", "/v2/{site}/health/alerts", scope="alerts:read", tag="Alerts")
def list_alerts(call: Call[AlertsQuery, Nothing]) -> Listing[AlertAttributes]:
    """The alert rules of a site, and how each stands.

    All filters must match. Without `page[…]` the whole list is given.
    """
    query, kept = call.query, call.world.alerts.kept()
    snapshot = call.world.snapshot()
    found = [_resource(call, snapshot, one, kept) for one in snapshot.alerts.values() if one.site == call.site]
    chosen = [
        one
        for one in found
        if (not query.category or one.attributes.category in query.category)
        and query.model_id in (None, one.attributes.model_id)
        and query.enable in (None, one.attributes.is_enable)
        and (not query.state or one.attributes.state in query.state)
    ]
    return numbered(sorted(chosen, key=integrations.number), query, call.url)


@operation("POST", "/v2/{site}/health/alerts", scope="alerts:write", tag="Alerts", status=201)
def create_alert(call: Call[Nothing, New[NewAlert]]) -> Single[AlertAttributes]:
    """Make a rule. It is part of the configuration."""
    wanted = call.body.data.attributes
    subject = _subject(call, wanted.category, wanted.model_id)
    taken = {one.name for one in call.world.snapshot().alerts.values() if one.site == call.site}
    if wanted.label in taken:
        raise failure(409, "CONFLICT", f"there is an alert {wanted.label} already")
    name = wanted.label or _free(f"{next(iter(subject.values()), 'all')}-{wanted.category.partition('/')[2]}", taken)
    written: dict[str, object] = {"category": wanted.category, **subject}
    if wanted.parameters:
        written["parameters"] = wanted.parameters
    if not wanted.is_enable:
        written["status"] = "inactive"
    place = _place(call, name)

    def do(text: Editor) -> None:
        text.set(place, written)

    change(call, "alerts.create", name, do, base=place, pointers=_POINTERS)
    return _single(call, name)


@operation("GET", "/v2/{site}/health/alerts/{id}", scope="alerts:read", tag="Alerts")
def get_alert(call: Call[Nothing, Nothing]) -> Single[AlertAttributes]:
    """One rule, and how it stands."""
    return _single(call, _found(call, call.path["id"]).name)


@operation("PATCH", "/v2/{site}/health/alerts/{id}", scope="alerts:write", tag="Alerts")
def change_alert(call: Call[Nothing, New[AlertChange]]) -> Single[AlertAttributes]:
    """Change a rule's subject or parameters, or switch it on or off."""
    return _changed(call, _found(call, call.path["id"]))


@operation("PATCH", "/v2/{site}/health/alerts", scope="alerts:write", tag="Alerts")
def change_named_alert(call: Call[Nothing, New[AlertChange]]) -> Single[AlertAttributes]:
    """The same; `data.id` says which."""
    if call.body.data.id is None:
        raise ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "id is required", Place(pointer="/data/id"))])
    return _changed(call, _found(call, str(call.body.data.id)))


@operation("DELETE", "/v2/{site}/health/alerts/{id}", scope="alerts:write", tag="Alerts")
def delete_alert(call: Call[Nothing, Nothing]) -> None:
    """Remove a rule, and its notifications with it."""
    place = _place(call, _found(call, call.path["id"]).name)
    change(call, "alerts.delete", call.path["id"], lambda text: text.remove(place))


@operation("POST", "/v2/{site}/health/alerts/{id}/snooze", scope="alerts:write", tag="Alerts")
def snooze_alert(call: Call[Nothing, Snooze]) -> Single[AlertAttributes]:
    """Say nothing of a rule for a while.

    It is checked all the same. What lasts until then is told then.
    """
    found = _found(call, call.path["id"])
    length_ms = milliseconds(call.body.length)
    if length_ms > _LONGEST_SNOOZE_MS:
        raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", "for is at most P31D", Place(pointer="/for"))])
    call.record("alerts", "alerts.snooze", call.path["id"], **{"for": call.body.length})
    call.world.alerts.snooze(found.site, found.name, call.now_ms + length_ms)
    return _single(call, found.name)


@operation("GET", "/v2/{site}/health/alerts/{id}/history", scope="alerts:read", tag="Alerts")
def list_alert_history(call: Call[Cursored, Nothing]) -> Listing[HistoryAttributes]:
    """How a rule has changed its state, and what was sent, newest first."""
    found = _found(call, call.path["id"])
    after, before = read_cursor(call.query, 1)
    entries = call.world.alerts.history(
        found.site,
        found.name,
        call.query.page_size + 1,
        after=after[0] if after else None,
        before=before[0] if before else None,
    )
    numbers = integrations.numbers(call)

    def resource(entry: Entry) -> Resource[HistoryAttributes]:
        known = numbers.get(("notification", f"{found.ref}/{entry.notification}"))
        return Resource(
            type="health/alert/history",
            id=f"alh_{entry.seq:012d}",
            attributes=HistoryAttributes(
                at=moment(entry.at_ms),
                kind=entry.kind,
                notification_id=known.id if known is not None else None,
                value=entry.notice.value if entry.notice is not None else None,
                sent_at=moment_or_none(entry.sent_ms),
                attempts=entry.attempts,
                next_attempt_at=moment_or_none(entry.due_ms),
                error=entry.error,
            ),
        )

    return cursored(entries, call.query, call.url, resource, lambda one: str(one.seq), KEPT_MS // 86_400_000)


_POINTERS = {
    "category": "/data/attributes/category",
    "destination": "/data/attributes/model_id",
    "source": "/data/attributes/model_id",
    "parameters": "/data/attributes/parameters",
    "status": "/data/attributes/is_enable",
}


def _changed(call: Call[Nothing, New[AlertChange]], found: Alert) -> Single[AlertAttributes]:
    wanted, place = call.body.data.attributes, _place(call, found.name)

    def do(text: Editor) -> None:
        if wanted.model_id is not UNSET:
            for word in ("destination", "source"):
                text.remove((*place, word))
            for word, name in _subject(call, found.category, wanted.model_id).items():
                text.set((*place, word), name)
        if wanted.parameters:
            before = text.get((*place, "parameters"))
            text.put((*place, "parameters"), merged(before, literal(wanted.parameters)))
        if wanted.is_enable is not UNSET:
            text.set((*place, "status"), "active" if wanted.is_enable else "inactive")

    number = str(integrations.numbers(call)["alert", found.ref].id)
    change(call, "alerts.update", number, do, base=place, pointers=_POINTERS)
    return _single(call, found.name)


def find(call: AnyCall, number: str) -> Alert | None:
    """The alert of this site with a number."""
    numbers = integrations.numbers(call)
    return next(
        (
            one
            for one in call.world.snapshot().alerts.values()
            if one.site == call.site and str(numbers["alert", one.ref].id) == number
        ),
        None,
    )


def _found(call: AnyCall, number: str) -> Alert:
    found = find(call, number)
    if found is None:
        raise not_found("there is no alert with this id")
    return found


def _place(call: AnyCall, name: str) -> tuple[str, ...]:
    return ("sites", call.site, "alerts", name)


def _subject(call: AnyCall, category: Category, model_id: int | None) -> dict[str, str]:
    """What a category is about, as the configuration says it. Raises `ApiError` 422."""
    kind = category.partition("/")[0]
    if model_id is None:
        return {}
    for (known, ref), one in integrations.numbers(call).items():
        if one.id == model_id and known == kind and ref.startswith(f"{call.site}/"):
            return {kind: ref.partition("/")[2]}
    detail = f"there is no {kind} with this id" if kind != "processing" else f"{category} is about the whole server"
    raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", detail, Place(pointer="/data/attributes/model_id"))])


def _free(name: str, taken: set[str]) -> str:
    """A name that is not taken."""
    short = name[:60]
    return next(one for n in range(1, len(taken) + 2) if (one := short if n == 1 else f"{short}-{n}") not in taken)


def _single(call: AnyCall, name: str) -> Single[AlertAttributes]:
    snapshot = call.world.snapshot()
    return Single(_resource(call, snapshot, snapshot.alerts[f"{call.site}/{name}"], call.world.alerts.kept()))


def _resource(call: AnyCall, snapshot: Snapshot, one: Alert, known: dict[str, Kept]) -> Resource[AlertAttributes]:
    numbers = call.world.integrations.of(snapshot, call.now_ms)
    kept = known.get(one.ref, FRESH)
    state = kept.state
    number = numbers["alert", one.ref]
    subjects = [numbers.get((kind, one.subject)) for kind in ("source", "destination") if one.category.startswith(kind)]
    subject = next(iter(subjects), None)
    return Resource(
        type=TYPE,
        id=number.id,
        attributes=AlertAttributes(
            label=one.name,
            category=one.category,
            model_id=subject.id if subject is not None else None,
            parameters=msgspec.to_builtins(one.parameters),
            is_enable=one.status == "active",
            state=state.phase,
            since=moment_or_none(state.since_ms),
            snoozed_until=moment(kept.snoozed_until_ms) if kept.snoozed_until_ms > call.now_ms else None,
            last_check_at=moment_or_none(state.checked_ms),
            last_check_value=state.value,
            created_at=moment(number.created_ms),
        ),
        links={"self": f"/v2/{one.site}/health/alerts/{number.id}"},
    )
