"""Who is told of alerts (`config-api.md` A4, C7). Notifications are those of the configuration; changes edit it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.alerts import sending, words
from turnout.control.alerts.book import LastMessage
from turnout.control.alerts.words import Notice
from turnout.control.api import alerts, integrations
from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment_or_none
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Numbered, numbered
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.control.api.writing import change
from turnout.control.configuration.edit import Editor
from turnout.model.alerts import Alert, Channel, Frequency, Notification
from turnout.model.config import Snapshot

TYPE = "health/alert/notification"
_KEYS: dict[Channel, str] = {"EMAIL": "email", "SLACK": "slack", "TEAMS": "teams", "WEBHOOK": "webhook"}
_SECRET = {"secret": True}


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the channel EMAIL."""

    emails: Annotated[list[str], Meta(examples=[["ops@example.org"]])]


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the channels SLACK and TEAMS."""

    webhook: Annotated[str, Meta(description="URL of the incoming webhook. Never shown.", extra=_SECRET)]


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the channel WEBHOOK."""

    url: Annotated[str, Meta(description="Where to post to. Never shown.", extra=_SECRET)] | UnsetType = UNSET
    secret: Annotated[str, Meta(description="Signs requests. Never shown.", extra=_SECRET)] | UnsetType = UNSET


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The member that belongs to the channel."""

    email: EmailSettings | UnsetType = UNSET
    slack: ChatSettings | UnsetType = UNSET
    teams: ChatSettings | UnsetType = UNSET
    webhook: WebhookSettings | UnsetType = UNSET


class NotificationAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, and how that went."""

    label: Annotated[str, Meta(description="Its name in `turnout.yaml`.")]
    alert_id: int
    frequency: Frequency
    channel: Channel
    channel_settings: Annotated[dict[str, object], Meta(description='Secrets are only `{"set": true}`.')]
    last_notified_at: str | None
    last_error: Annotated[str | None, Meta(description="Why the newest message could not be sent, if so.")]
    next_attempt_at: Annotated[str | None, Meta(description="When it is tried again.")]


class NewNotification(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to tell."""

    alert_id: int
    channel: Channel
    frequency: Frequency = "1h"
    channel_settings: ChannelSettings


class NotificationChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    frequency: Frequency | UnsetType = UNSET
    channel_settings: ChannelSettings = ChannelSettings()


class TestAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """How a test went."""

    sent: bool
    detail: Annotated[str, Meta(description="Why not, or what the other side said.")]


class NotificationsQuery(Numbered, frozen=True, kw_only=True):
    """Which notifications."""

    alert: Annotated[int, Meta(description="Of this alert.")] | None = msgspec.field(default=None, name="filter[alert]")


@operation("GET", "/v2/{site}/health/notifications", scope="alerts:read", tag="Alerts")
def list_notifications(call: Call[NotificationsQuery, Nothing]) -> Listing[NotificationAttributes]:
    """Who is told of the alerts of a site.

    Without `page[…]` the whole list is given.
    """
    snapshot = call.world.snapshot()
    messages = call.world.alerts.last_messages(call.site)
    found = [
        _resource(call, snapshot, alert, one, messages)
        for alert in snapshot.alerts.values()
        if alert.site == call.site
        for one in alert.notify
    ]
    chosen = [one for one in found if call.query.alert in (None, one.attributes.alert_id)]
    return numbered(sorted(chosen, key=integrations.number), call.query, call.url)


@operation("POST", "/v2/{site}/health/notifications", scope="alerts:write", tag="Alerts", status=201)
def create_notification(call: Call[Nothing, New[NewNotification]]) -> Single[NotificationAttributes]:
    """Tell somebody of an alert."""
    wanted = call.body.data.attributes
    alert = alerts.find(call, str(wanted.alert_id))
    if alert is None:
        where = Place(pointer="/data/attributes/alert_id")
        raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", "there is no alert with this id", where)])
    taken = {one.name for one in alert.notify}
    key = _KEYS[wanted.channel]
    name = next(one for n in range(1, len(taken) + 2) if (one := key if n == 1 else f"{key}-{n}") not in taken)
    written = {"channel": wanted.channel, "frequency": wanted.frequency, **_settings(wanted.channel, wanted)}
    place = _place(alert, name)

    def do(text: Editor) -> None:
        text.set(place, written)

    subject = f"{alert.name}/{name}"
    change(call, "alerts.create_notification", subject, do, base=place, pointers=_pointers(wanted.channel))
    return _single(call, alert, name)


@operation("GET", "/v2/{site}/health/notifications/{id}", scope="alerts:read", tag="Alerts")
def get_notification(call: Call[Nothing, Nothing]) -> Single[NotificationAttributes]:
    """One of those who are told."""
    alert, one = _found(call, call.path["id"])
    return _single(call, alert, one.name)


@operation("PATCH", "/v2/{site}/health/notifications/{id}", scope="alerts:write", tag="Alerts")
def change_notification(call: Call[Nothing, New[NotificationChange]]) -> Single[NotificationAttributes]:
    """Change how often and whom to tell. The channel stays."""
    return _changed(call, *_found(call, call.path["id"]))


@operation("PATCH", "/v2/{site}/health/notifications", scope="alerts:write", tag="Alerts")
def change_named_notification(call: Call[Nothing, New[NotificationChange]]) -> Single[NotificationAttributes]:
    """The same; `data.id` says which."""
    if call.body.data.id is None:
        raise ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "id is required", Place(pointer="/data/id"))])
    return _changed(call, *_found(call, str(call.body.data.id)))


@operation("DELETE", "/v2/{site}/health/notifications/{id}", scope="alerts:write", tag="Alerts")
def delete_notification(call: Call[Nothing, Nothing]) -> None:
    """Tell them no more."""
    alert, one = _found(call, call.path["id"])
    place = _place(alert, one.name)
    change(call, "alerts.delete_notification", call.path["id"], lambda text: text.remove(place))


@operation("POST", "/v2/{site}/health/notifications/{id}/test", scope="alerts:write", tag="Alerts")
def test_notification(call: Call[Nothing, Nothing]) -> Single[TestAttributes]:
    """Send a test message now, and say how that went."""
    alert, one = _found(call, call.path["id"])
    call.record("alerts", "alerts.test_notification", call.path["id"])
    notice = Notice(
        kind="firing",
        site=alert.site,
        alert=alert.name,
        category=alert.category,
        subject=alert.subject.partition("/")[2],
        environment="",
        at_ms=call.now_ms,
        since_ms=call.now_ms,
        value=None,
        limit=None,
        test=True,
    )
    text = words.text(notice, call.world.link("alert", alert.ref))
    message_id = f"turnout-test-{call.path['id']}-{call.now_ms}"
    result = asyncio.run(sending.send(call.world.settings, one, notice, text, message_id, call.now_ms))
    detail = " ".join(part for part in (result.reason, result.detail) if part)
    attributes = TestAttributes(sent=result.kind == "delivered", detail=detail)
    return Single(Resource(type="health/alert/notification-tests", id=None, attributes=attributes))


def _changed(
    call: Call[Nothing, New[NotificationChange]], alert: Alert, one: Notification
) -> Single[NotificationAttributes]:
    wanted, place = call.body.data.attributes, _place(alert, one.name)

    def do(text: Editor) -> None:
        if wanted.frequency is not UNSET:
            text.set((*place, "frequency"), wanted.frequency)
        for name, value in _settings(one.channel, wanted).items():
            text.set((*place, name), value)

    number = str(integrations.numbers(call)["notification", f"{alert.ref}/{one.name}"].id)
    change(call, "alerts.update_notification", number, do, base=place, pointers=_pointers(one.channel))
    return _single(call, alert, one.name)


def _settings(channel: Channel, wanted: NewNotification | NotificationChange) -> dict[str, object]:
    """The settings of the channel, as the configuration has them. Raises `ApiError` 422 for those of another one."""
    given = wanted.channel_settings
    strangers = [key for name, key in _KEYS.items() if name != channel and getattr(given, key) is not UNSET]
    if strangers:
        raise ApiError(
            422,
            [
                Fault(
                    "UNKNOWN_ATTRIBUTE",
                    f"{key} has no effect with channel {channel}",
                    Place(pointer=f"/data/attributes/channel_settings/{key}"),
                )
                for key in strangers
            ],
        )
    own = getattr(given, _KEYS[channel])
    match own:
        case EmailSettings():
            return {"emails": own.emails}
        case ChatSettings():
            return {"url": own.webhook}
        case WebhookSettings():
            return {name: value for name in ("url", "secret") if (value := getattr(own, name)) is not UNSET}
        case _:
            return {}


def _pointers(channel: Channel) -> dict[str, str]:
    settings = f"/data/attributes/channel_settings/{_KEYS[channel]}"
    return {
        "channel": "/data/attributes/channel",
        "frequency": "/data/attributes/frequency",
        "emails": f"{settings}/emails",
        "url": f"{settings}/{'url' if channel == 'WEBHOOK' else 'webhook'}",
        "secret": f"{settings}/secret",
    }


def _place(alert: Alert, name: str) -> tuple[str, ...]:
    return ("sites", alert.site, "alerts", alert.name, "notify", name)


def _found(call: AnyCall, number: str) -> tuple[Alert, Notification]:
    numbers = integrations.numbers(call)
    for alert in call.world.snapshot().alerts.values():
        for one in alert.notify:
            if alert.site == call.site and str(numbers["notification", f"{alert.ref}/{one.name}"].id) == number:
                return alert, one
    raise not_found("there is no notification with this id")


def _single(call: AnyCall, alert: Alert, name: str) -> Single[NotificationAttributes]:
    snapshot = call.world.snapshot()
    now = snapshot.alerts[alert.ref]
    one = next(one for one in now.notify if one.name == name)
    return Single(_resource(call, snapshot, now, one, call.world.alerts.last_messages(call.site)))


def _resource(
    call: AnyCall, snapshot: Snapshot, alert: Alert, one: Notification, messages: Mapping[tuple[str, str], LastMessage]
) -> Resource[NotificationAttributes]:
    numbers = call.world.integrations.of(snapshot, call.now_ms)
    number = numbers["notification", f"{alert.ref}/{one.name}"].id
    newest = messages.get((alert.name, one.name))
    return Resource(
        type=TYPE,
        id=number,
        attributes=NotificationAttributes(
            label=one.name,
            alert_id=numbers["alert", alert.ref].id,
            frequency=one.frequency,
            channel=one.channel,
            channel_settings={_KEYS[one.channel]: _shown(one)},
            last_notified_at=moment_or_none(newest.last_sent_ms) if newest is not None else None,
            last_error=(newest.error or None) if newest is not None else None,
            next_attempt_at=moment_or_none(newest.due_ms) if newest is not None else None,
        ),
        links={"self": f"/v2/{alert.site}/health/notifications/{number}"},
    )


def _shown(one: Notification) -> dict[str, object]:
    if one.channel == "EMAIL":
        return {"emails": list(one.emails)}
    if one.channel == "WEBHOOK":
        return {"url": {"set": bool(one.url)}, "secret": {"set": bool(one.secret)}}
    return {"webhook": {"set": bool(one.url)}}
