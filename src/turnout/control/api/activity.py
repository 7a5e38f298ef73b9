"""Who did what, and who looked at personal data (`config-api.md` A4, C8)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.access.activity import KEPT_MS, Entry, Sought
from turnout.control.api.documents import Listing, Nothing, Resource, moment
from turnout.control.api.operation import Call, operation
from turnout.control.api.paging import Cursored, When, cursored, milliseconds, read_cursor

_DAY_MS = 86_400_000


class ActivityAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record."""

    log_name: Annotated[str, Meta(description="The feature: inspector, replay, tokens…")]
    action: str
    description: str
    origin: Annotated[str, Meta(description="`api`, `cli`, or `ui`: the pages to log in at.")]
    subject_type: str
    subject_id: str
    causer_id: Annotated[str | None, Meta(description="Id of the token or account; None on the command line.")]
    address: Annotated[str | None, Meta(description="Where the request came from.")]
    properties: Mapping[str, object]
    created_at: str


class ActivityQuery(Cursored, frozen=True, kw_only=True):
    """Which lines."""

    feature: Annotated[str, Meta(description="Only of this feature.", examples=["inspector"])] | None = msgspec.field(
        default=None, name="filter[feature]"
    )
    action: Annotated[str, Meta(description="Only this.", examples=["events.view"])] | None = msgspec.field(
        default=None, name="filter[action]"
    )
    causer_id: Annotated[str, Meta(description="Only what this token or account did.")] | None = msgspec.field(
        default=None, name="filter[causer_id]"
    )
    since: Annotated[When, Meta(description="Only then or later.")] | None = msgspec.field(
        default=None, name="filter[created][since]"
    )
    until: Annotated[When, Meta(description="Only before.")] | None = msgspec.field(
        default=None, name="filter[created][until]"
    )


@operation("GET", "/v2/{site}/activity-logs", scope="audit:read", tag="Access")
def list_activity(call: Call[ActivityQuery, Nothing]) -> Listing[ActivityAttributes]:
    """Every change and every look at personal data, newest first. Kept for 400 days.

    What concerns all sites is in the list of each.
    """
    query = call.query
    after, before = read_cursor(query, 1)
    sought = Sought(
        feature=query.feature,
        action=query.action,
        token=query.causer_id,
        since_ms=milliseconds(query.since) if query.since else None,
        until_ms=milliseconds(query.until) if query.until else None,
    )
    found = call.world.activity.page(
        call.site,
        sought,
        query.page_size + 1,
        after=after[0] if after else None,
        before=before[0] if before else None,
    )
    return cursored(found, query, call.url, _resource, lambda entry: str(entry.seq), KEPT_MS // _DAY_MS)


def _resource(entry: Entry) -> Resource[ActivityAttributes]:
    kind, _, did = entry.action.partition(".")
    return Resource(
        type="activity-logs",
        id=f"act_{entry.seq:012d}",
        attributes=ActivityAttributes(
            log_name=entry.feature,
            action=entry.action,
            description=f"{did} {kind.replace('_', ' ')} {entry.subject}".strip(),
            origin=entry.origin,
            subject_type=kind,
            subject_id=entry.subject,
            causer_id=entry.token or None,
            address=entry.address or None,
            properties=entry.properties,
            created_at=moment(entry.at_ms),
        ),
    )
