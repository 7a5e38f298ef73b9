"""`sites.SITE.alerts` of `turnout.yaml`: rules, or everything that is wrong with them. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from turnout.control.changes import Findings
from turnout.control.yamlfile import join
from turnout.destinations.signing import signing_key
from turnout.model.alerts import (
    OF_ALL,
    PARAMETERS,
    Alert,
    Category,
    Channel,
    Frequency,
    Issue,
    Notification,
    Parameters,
    Volume,
)
from turnout.model.config import Destination, Source
from turnout.model.duration import milliseconds

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_MINUTE, _HOUR, _LONGEST = 60_000, 3_600_000, 31 * 86_400_000
_SETTINGS: dict[Channel, tuple[str, ...]] = {
    "EMAIL": ("emails",),
    "SLACK": ("url",),
    "TEAMS": ("url",),
    "WEBHOOK": ("url", "secret"),
}


class NotificationFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who is told, as it is written."""

    channel: Annotated[Channel, Meta(examples=["EMAIL"])]
    frequency: Frequency = "1h"
    emails: Annotated[list[str], Meta(max_length=50, examples=[["ops@example.org"]])] = []
    url: Annotated[str, Meta(max_length=2_000, examples=["https://hooks.example.org/alerts"])] = ""
    secret: Annotated[str, Meta(examples=["whsec_bm90LWEtcmVhbC1zZWNyZXQ="])] = ""


class AlertFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A rule, as it is written."""

    category: Annotated[Category, Meta(examples=["destination/delivery"])]
    destination: Annotated[str, Meta(examples=["orders"])] = ""
    source: Annotated[str, Meta(examples=["shop"])] = ""
    parameters: dict[str, object] = {}
    status: Literal["active", "inactive"] = "active"
    notify: dict[str, NotificationFields] = {}


def read(
    site: str,
    members: Mapping[str, object],
    path: str,
    sources: Mapping[str, Source],
    destinations: Mapping[str, Destination],
    found: Findings,
) -> dict[str, Alert]:
    """The rules of a site, whose fields are `members`, by reference.

    Wrong ones are left out, with every problem noted.
    """
    alerts: dict[str, Alert] = {}
    listed = members.get("alerts", {})
    assert isinstance(listed, dict)
    known = {"destination": destinations.keys(), "source": sources.keys()}
    for name, raw in listed.items():
        where = join(f"{path}.alerts", name)
        _name(str(name), where, found)
        value = {} if raw is None else raw
        if not found.of_type(where, value, AlertFields):
            continue
        fields = msgspec.convert(value, AlertFields)
        subject = _subject(site, fields, where, known, found)
        parameters = _parameters(fields, f"{where}.parameters", found)
        notify = tuple(_notifications(fields.notify, f"{where}.notify", found))
        if parameters is not None:
            one = Alert(
                site=site,
                name=str(name),
                category=fields.category,
                subject=subject,
                parameters=parameters,
                status=fields.status,
                notify=notify,
            )
            alerts[one.ref] = one
    return alerts


def _subject(site: str, fields: AlertFields, path: str, known: Mapping[str, Iterable[str]], found: Findings) -> str:
    """The reference of what the rule is about."""
    kind, subject = fields.category.partition("/")[0], ""
    for word in ("destination", "source"):
        name: str = getattr(fields, word)
        if word != kind:
            if name:
                found.wrong(f"{path}.{word}", f"has no effect with category: {fields.category}", "leave it out")
            continue
        names = [ref.partition("/")[2] for ref in known[word] if ref.startswith(f"{site}/")]
        if not name and fields.category not in OF_ALL:
            found.wrong(f"{path}.{word}", "is missing", f"one of this site's: {', '.join(names) or 'there is none'}")
        elif name and name not in names:
            found.wrong(f"{path}.{word}", f"there is no {word} {name!r}", f"known: {', '.join(names) or 'none'}")
        elif name:
            subject = f"{site}/{name}"
    return subject


def _parameters(fields: AlertFields, path: str, found: Findings) -> Parameters | None:
    kind = PARAMETERS[fields.category]
    if not found.of_type(path, fields.parameters, kind):
        return None
    parameters = msgspec.convert(fields.parameters, kind)
    window = getattr(parameters, "window", None)
    if window is not None and not _MINUTE <= milliseconds(window) <= _LONGEST:
        found.wrong(f"{path}.window", "is shorter than a minute, or longer than 31 days", "for example PT1H")
    if isinstance(parameters, Volume):
        if parameters.drop is None and parameters.rise is None:
            found.wrong(path, "has neither drop nor rise: it would never fire", "for example drop: 50")
        if parameters.compare == "previous_week" and milliseconds(parameters.window) % _HOUR:
            found.wrong(f"{path}.window", "must be whole hours: last week is known by the hour", "for example PT1H")
    if isinstance(parameters, Issue) and "" in parameters.reasons:
        found.wrong(f"{path}.reasons", "has an empty reason", "for example 401_unauthorized")
    return parameters


def _notifications(written: Mapping[str, NotificationFields], path: str, found: Findings) -> Iterator[Notification]:
    for name, fields in written.items():
        where = join(path, name)
        _name(name, where, found)
        wanted = _SETTINGS[fields.channel]
        for setting in ("emails", "url", "secret"):
            value = getattr(fields, setting)
            if value and setting not in wanted:
                found.wrong(f"{where}.{setting}", f"has no effect with channel: {fields.channel}", "leave it out")
            elif not value and setting in wanted and setting != "secret":
                example = "[ops@example.org]" if setting == "emails" else "https://hooks.example.org/alerts"
                found.wrong(f"{where}.{setting}", "is missing", f"for example {example}")
        for index, address in enumerate(fields.emails):
            if not _EMAIL.fullmatch(address):
                found.wrong(f"{where}.emails[{index}]", f"{address!r} is no address", "for example ops@example.org")
        if fields.url and not _is_url(fields.url):
            found.wrong(f"{where}.url", "is no URL", "it starts with https:// or http:// and names a host")
        if fields.secret and not _can_sign(fields.secret):
            found.wrong(f"{where}.secret", "is not base64 after whsec_", "copy it again, or use another text")
        yield Notification(
            name=name,
            channel=fields.channel,
            frequency=fields.frequency,
            emails=tuple(dict.fromkeys(fields.emails)),
            url=fields.url,
            secret=fields.secret,
        )


def _name(name: str, path: str, found: Findings) -> None:
    if not _NAME.fullmatch(name):
        found.wrong(path, "is no usable name", "letters, digits, _ . and -, 64 at most")


def _is_url(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _can_sign(secret: str) -> bool:
    try:
        return bool(signing_key(secret))
    except ValueError:
        return False
