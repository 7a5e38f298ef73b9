"""Why events were not delivered, with samples and what to do (`config-api.md` A3, C5).

The documented operations are those below `/integrations/`; they answer 404 "No data found" where there is nothing.
Counts are exact. Samples are dead letters, so there are some as long as these are kept; what was sent and answered is
in the inspector's records, which are kept for a shorter time and may be sampled.
"""

import re
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.delivery_figures import NO_DATA, Place, places, require_data, the_place
from turnout.control.api.delivery_health import Granularity
from turnout.control.api.documents import Listing, Nothing, Relationship, Resource, Single, moment
from turnout.control.api.inspector_records import request_shown, response_shown
from turnout.control.api.masking import MASK, Hidden, hidden_of, masked_event
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.periods import DAY_MS, LONGEST_MS, MINUTE_MS, Period, Span, bucket_of, span_of
from turnout.control.api.problems import not_found
from turnout.control.delivery.hints import hint_for
from turnout.control.delivery.issues import Issue, destination_of, issue_id, issues_of
from turnout.control.inspector import outgoing
from turnout.control.inspector.inspector import Inspector
from turnout.control.inspector.segment import Row
from turnout.control.inspector.segment import Span as Records
from turnout.control.inspector.terms import field_term
from turnout.model.attempt import Attempt
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts.figures import delivered
from turnout.receipts.lists import dead_count_of_reason, dead_of_reason, last_death_ms
from turnout.receipts.records import DeadLetter
from turnout.receipts.store import Store

_SAMPLES = 20
_STATUS = re.compile(r"(\d{3})(?:_|$)", re.ASCII)
Kind = Literal["error", "rejected"]


class DocumentedIssue(msgspec.Struct, frozen=True, kw_only=True):
    """One reason. `last_seen` is in ms since 1970."""

    reason: str
    event_types: Annotated[list[str], Meta(description="Names of the events, the most frequent first.")]
    events_count: int
    last_seen: int
    stream_hit: Annotated[str, Meta(description="The issue's id, for its details.")]
    stream_hit_id: Annotated[str, Meta(description="The same.")]
    hint: Annotated[str, Meta(description="What it means, and what to do.")]
    retryable: Annotated[bool, Meta(description="Whether it was tried again before it was given up.")]
    replayable_count: Annotated[int, Meta(description="Dead letters with this reason, of any time.")]


class DocumentedIssues(msgspec.Struct, frozen=True, kw_only=True):
    """Reasons for errors (the partner) and rejections (the event), the most frequent first."""

    connector_type: str | None
    error: list[DocumentedIssue]
    rejected: list[DocumentedIssue]


class IssueAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one destination that were not delivered for one reason."""

    status: Annotated[str, Meta(description="`error` or `rejected`.")]
    reason: str
    title: str
    explanation: str
    fix: str
    retryable: bool
    event_types: list[str]
    events_count: int
    first_seen: Annotated[int, Meta(description="When the first of them was collected, ms.")]
    last_seen: Annotated[int, Meta(description="When the last of them was given up, ms.")]
    replayable_count: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The request of the last attempt. What is not known any more is None."""

    url: str | None = None
    method: str | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    data: object = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What the partner answered. Without `inspector:pii` bodies are `***`."""

    status_code: int | None = msgspec.field(default=None, name="statusCode")
    headers: dict[str, str] | None = None
    body: str | None = None
    data: object = None


class SampleAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was not delivered."""

    timestamp: Annotated[str, Meta(description="When it was given up.")]
    status: str
    detail: str
    request: Request
    response: Response
    event: Annotated[object, Meta(description="The event as it was processed.")]
    event_id: str
    attempt: Annotated[int, Meta(description="How many attempts were made.")]
    hint: str


class IssuesQuery(Period, frozen=True, kw_only=True):
    """Which issues of a destination."""

    granularity: Annotated[Granularity, Meta(description="Taken for the sake of old clients.")] = "auto"
    kind: Annotated[Kind, Meta(description="Only these.")] | None = msgspec.field(default=None, name="filter[type]")


class AllIssuesQuery(Period, frozen=True, kw_only=True):
    """Which issues of a site."""

    destination: Annotated[tuple[int, ...], Meta(description="Ids of destinations.")] = msgspec.field(
        default=(), name="filter[destination]"
    )
    status: Annotated[tuple[Kind, ...], Meta(description="One of these.")] = msgspec.field(
        default=(), name="filter[status]"
    )
    reason: Annotated[tuple[str, ...], Meta(description="One of these.", examples=[["502_bad_gateway"]])] = (
        msgspec.field(default=(), name="filter[reason]")
    )


class _Found(NamedTuple):
    place: Place
    issue: Issue


@operation("GET", "/v2/{site}/integrations/{id}/delivery/issues", scope="delivery:read", tag="Delivery")
def get_issues(call: Call[IssuesQuery, Nothing]) -> Single[DocumentedIssues]:
    """Why events did not reach a destination, by reason."""
    query = call.query
    span = span_of(query, call.now_ms)
    bucket_of(query.granularity, span)
    with call.world.receipts() as store:
        place = the_place(call, store)
        found = issues_of(delivered(store, *span, MINUTE_MS, [place.number]))
        shown = {
            kind: [
                _documented(store, _Found(place, one), span)
                for one in found
                if OUTCOME_OF[one.code] == kind and query.kind in (None, kind)
            ]
            for kind in ("error", "rejected")
        }
    require_data(call, any(shown.values()))
    attributes = DocumentedIssues(connector_type=place.type, error=shown["error"], rejected=shown["rejected"])
    return Single(Resource(type="delivery/issue", id=place.id, attributes=attributes))


@operation("GET", "/v2/{site}/destinations/{id}/delivery/issues", scope="delivery:read", tag="Delivery")
def get_issues_of_destination(call: Call[IssuesQuery, Nothing]) -> Single[DocumentedIssues]:
    """The same as `/integrations/{id}/delivery/issues`."""
    return get_issues.run(call)  # type: ignore[return-value] # what it declares


@operation("GET", "/v2/{site}/integrations/delivery/issues/{issue_id}/details", scope="delivery:read", tag="Delivery")
def get_issue_details(call: Call[Nothing, Nothing]) -> Single[SampleAttributes]:
    """The last event that was not delivered for an issue's reason, with what the partner answered.

    Bodies and personal data are `***` without the scope `inspector:pii`; with it the look is recorded.
    """
    samples = _samples(call, NO_DATA, 1)
    if not samples:
        raise not_found(NO_DATA)
    return Single(Resource(type="delivery/issues-details", id=call.path["issue_id"], attributes=samples[0][1]))


@operation("GET", "/v2/{site}/delivery/issues", scope="delivery:read", tag="Delivery")
def list_issues(call: Call[AllIssuesQuery, Nothing]) -> Listing[IssueAttributes]:
    """Why events did not reach the destinations of a site, by destination and reason, the most frequent first."""
    query = call.query
    span = span_of(query, call.now_ms)
    with call.world.receipts() as store:
        by_number = {
            one.number: one for one in places(call, store) if not query.destination or one.id in query.destination
        }
        found = [
            _Found(by_number[one.destination], one)
            for one in issues_of(delivered(store, *span, MINUTE_MS, by_number))
            if (not query.status or OUTCOME_OF[one.code] in query.status)
            and (not query.reason or one.reason in query.reason)
        ]
        data = [_resource(store, one, span) for one in found]
    return Listing(data=data, links={"self": call.url})


@operation("GET", "/v2/{site}/delivery/issues/{issue_id}", scope="delivery:read", tag="Delivery")
def get_issue(call: Call[Nothing, Nothing]) -> Single[IssueAttributes]:
    """One issue, over the last 31 days."""
    span = _month(call)
    with call.world.receipts() as store:
        return Single(_resource(store, _found(call, store, span), span))


@operation("GET", "/v2/{site}/delivery/issues/{issue_id}/samples", scope="delivery:read", tag="Delivery")
def list_issue_samples(call: Call[Nothing, Nothing]) -> Listing[SampleAttributes]:
    """The last 20 events that were not delivered for an issue's reason, newest first.

    Bodies and personal data are `***` without the scope `inspector:pii`; with it the look is recorded.
    """
    data = [
        Resource(type="delivery/issue-samples", id=key, attributes=sample)
        for key, sample in _samples(call, "there is no issue with this id", _SAMPLES)
    ]
    return Listing(data=data, links={"self": call.url})


def _month(call: AnyCall) -> Span:
    return Span(call.now_ms - LONGEST_MS, call.now_ms + DAY_MS)


def _found(call: AnyCall, store: Store, span: Span, missing: str = "there is no issue with this id") -> _Found:
    """The issue of the path. Raises `ApiError` 404."""
    wanted = call.path["issue_id"]
    place = next((one for one in places(call, store) if one.id == destination_of(wanted)), None)
    if place is not None:
        for issue in issues_of(delivered(store, *span, DAY_MS, [place.number])):
            if issue_id(place.id, issue.code, issue.reason) == wanted:
                return _Found(place, issue)
    raise not_found(missing)


def _last_seen(store: Store, issue: Issue, span: Span) -> int:
    """When the last event was given up, if its dead letter is still there; else when it was collected."""
    died_ms = last_death_ms(store, issue.destination, issue.code, issue.reason, span.end_ms)
    return max(died_ms or 0, issue.last_ms)


def _documented(store: Store, found: _Found, span: Span) -> DocumentedIssue:
    issue = found.issue
    hint = hint_for(issue.reason)
    key = issue_id(found.place.id, issue.code, issue.reason)
    return DocumentedIssue(
        reason=issue.reason,
        event_types=list(issue.names),
        events_count=issue.events,
        last_seen=_last_seen(store, issue, span),
        stream_hit=key,
        stream_hit_id=key,
        hint=hint.text,
        retryable=hint.retryable,
        replayable_count=dead_count_of_reason(store, issue.destination, issue.code, issue.reason),
    )


def _resource(store: Store, found: _Found, span: Span) -> Resource[IssueAttributes]:
    issue = found.issue
    hint = hint_for(issue.reason)
    return Resource(
        type="delivery/issues",
        id=issue_id(found.place.id, issue.code, issue.reason),
        attributes=IssueAttributes(
            status=OUTCOME_OF[issue.code],
            reason=issue.reason,
            title=hint.title,
            explanation=hint.explanation,
            fix=hint.fix,
            retryable=hint.retryable,
            event_types=list(issue.names),
            events_count=issue.events,
            first_seen=issue.first_ms,
            last_seen=_last_seen(store, issue, span),
            replayable_count=dead_count_of_reason(store, issue.destination, issue.code, issue.reason),
        ),
        relationships={"destination": Relationship(integrations.identifiers([found.place.id])[0])},
    )


def _samples(call: Call[Nothing, Nothing], missing: str, size: int) -> list[tuple[str, SampleAttributes]]:
    personal = "inspector:pii" in call.token.scopes
    with call.world.receipts() as store:
        found = _found(call, store, _month(call), missing)
        issue = found.issue
        letters = dead_of_reason(store, issue.destination, issue.code, issue.reason, call.now_ms + DAY_MS, size)
    if personal and letters:
        call.record("delivery", "issue.view", call.path["issue_id"], personal_data=True)
    return [
        (f"dl_{letter.died_ms}-{issue.destination}-{letter.offset}", _sample(call, found.place, letter, personal))
        for letter in letters
    ]


def _sample(call: AnyCall, place: Place, letter: DeadLetter, personal: bool) -> SampleAttributes:
    detail = letter.detail if personal or not letter.detail else MASK
    request, response = Request(), Response()
    attempt = _attempt(call.world.inspector, place, letter)
    if attempt is not None and (sent := request_shown(attempt.request, personal)) is not None:
        headers = dict(sent.headers)
        request = Request(url=sent.url, method=sent.method, headers=headers, body=sent.body, data=sent.data)
    if attempt is not None and (came := response_shown(attempt.response, personal)) is not None:
        headers = dict(came.headers)
        response = Response(status_code=came.status_code, headers=headers, body=came.body, data=came.data)
    elif status := _STATUS.match(letter.reason):
        response = Response(status_code=int(status[1]), body=detail)
    return SampleAttributes(
        timestamp=moment(letter.died_ms),
        status=OUTCOME_OF[Code(letter.code)],
        detail=detail,
        request=request,
        response=response,
        event=_event(letter.payload, None if personal else hidden_of(call.world.snapshot(), call.site)),
        event_id=letter.event_id,
        attempt=letter.attempts,
        hint=hint_for(letter.reason).text,
    )


def _attempt(inspector: Inspector, place: Place, letter: DeadLetter) -> Attempt | None:
    """The inspector's record of the attempt after which an event was given up, if it was kept and still is."""
    sought = {"destination": place.ref, "event_id": letter.event_id, "status": OUTCOME_OF[Code(letter.code)]}
    match = " AND ".join(f'"{field_term(name, value)}"' for name, value in sought.items())

    def read(row: Row) -> Attempt | None:
        attempt = outgoing.decode(row.document).attempt
        of_it = (attempt.destination, attempt.offset) == (place.ref, letter.offset)
        return attempt if of_it and attempt.outcome == sought["status"] else None

    found = inspector.outgoing.search(match, Records(), read, 1)
    return found.items[0] if found.items else None


def _event(payload: bytes, hidden: Hidden | None) -> object:
    try:
        event = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return masked_event(event, hidden) if isinstance(event, dict) else None
