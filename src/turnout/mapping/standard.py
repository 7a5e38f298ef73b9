"""The parameters that partners commonly want, and where events have them (`config-api.md` A2)."""

STANDARD: dict[str, str] = {
    "event_name": "event_name",
    "event_id": "context.event_id",
    "timestamp": "context.event_timestamp",
    "value": "value",
    "currency": "currency",
    "status": "status",
    "search_term": "search_term",
    "content_type": "content_type",
    "user_id": "user.id",
    "user_email": "user.email",
    "user_phone": "user.phone",
    "page_url": "context.page.url",
    "page_referrer": "context.page.referrer",
}
"""By name: the formula of its value, unless the configuration has another."""
