"""The form that a message takes on each channel. Pure.

E-mail is plain text. Slack and Teams get what their incoming webhooks take: blocks, an Adaptive Card. A webhook of
one's own gets JSON, signed as standardwebhooks.com describes if there is a secret. What comes from events and
partners (reasons, names) is data: no channel may take it for markup.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import msgspec

from turnout.control.alerts.words import Notice, Text
from turnout.control.api.documents import moment
from turnout.destinations.interface import Request
from turnout.destinations.signing import sign, signing_key
from turnout.model.alerts import Notification

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_CARD = "application/vnd.microsoft.card.adaptive"
_STYLES = {"firing": "attention", "reminder": "warning", "resolved": "good"}
_POLICY = SMTP.clone(max_line_length=200)
"""A title stays on one line."""
_JSON = {"Content-Type": "application/json; charset=utf-8"}


def email(text: Text, notification: Notification, sender: str, message_id: str, at_ms: int) -> EmailMessage:
    """The message for all addresses of a notification. Its id is the same in every attempt."""
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = _one_line(text.title)
    message["From"] = sender
    message["To"] = ", ".join(notification.emails)
    message["Date"] = format_datetime(datetime.fromtimestamp(at_ms // 1000, UTC))
    message["Message-ID"] = f"<{message_id}@{Address(addr_spec=sender).domain}>"
    # Out-of-office answers go nowhere (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.plain())
    return message


def request(text: Text, notice: Notice, notification: Notification, message_id: str, now_ms: int) -> Request:
    """What is posted to Slack, Teams or a webhook."""
    if notification.channel == "SLACK":
        return Request("POST", notification.url, _JSON, msgspec.json.encode(_slack(text)))
    if notification.channel == "TEAMS":
        return Request("POST", notification.url, _JSON, msgspec.json.encode(_teams(text, notice)))
    body = msgspec.json.encode(_webhook(text, notice))
    headers = {**_JSON, "webhook-id": message_id, "webhook-timestamp": str(now_ms // 1000)}
    if notification.secret:
        headers |= sign(signing_key(notification.secret), message_id, now_ms // 1000, body)
    return Request("POST", notification.url, headers, body)


def _slack(text: Text) -> dict[str, object]:
    facts = "\n".join(f"*{label}:* {value}" for label, value in _escaped(text.facts))
    blocks: list[dict[str, object]] = [
        # Plain text is no markup; the longest that a header takes is 150 characters.
        {"type": "header", "text": {"type": "plain_text", "text": _one_line(text.title)[:150]}},
        _section(facts),
    ]
    if text.reasons:
        blocks.append(_section("\n".join(f"• {line.translate(_ENTITIES)}" for line in text.reasons)))
    if text.link:
        blocks.append(_section(f"<{text.link}>"))
    return {"text": _one_line(text.title).translate(_ENTITIES), "blocks": blocks}


def _section(markup: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": markup[:3000], "verbatim": True}}


def _escaped(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(label, value.translate(_ENTITIES)) for label, value in facts]


def _teams(text: Text, notice: Notice) -> dict[str, object]:
    # Plain runs of text, because a TextBlock reads Markdown.
    body: list[dict[str, object]] = [
        _run(_one_line(text.title), weight="bolder", size="medium", color=_STYLES[notice.kind]),
        {"type": "FactSet", "facts": [{"title": label, "value": value} for label, value in text.facts]},
        *(_run(line) for line in text.reasons),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": "Open", "url": text.link}] if text.link else [],
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


def _run(text: str, **style: str) -> dict[str, object]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _webhook(text: Text, notice: Notice) -> dict[str, object]:
    return {
        "type": f"alert.{'test' if notice.test else notice.kind}",
        "timestamp": moment(notice.at_ms),
        "data": {
            "title": text.title,
            "site": notice.site,
            "alert": notice.alert,
            "category": notice.category,
            "subject": notice.subject or None,
            "environment": notice.environment or None,
            "since": moment(notice.since_ms),
            "value": notice.value,
            "limit": notice.limit,
            "counts": notice.counts,
            "reasons": [
                {"reason": reason, "events_count": n, "text": line}
                for (reason, n), line in zip(notice.reasons, text.reasons, strict=True)
            ],
            "link": text.link or None,
        },
    }


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
