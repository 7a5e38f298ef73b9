"""Older and half-migrated payloads into version 2 (`collect.md` §5.2, §16). Pure; numbers are the table's rows."""

from datetime import UTC, datetime, timedelta

from turnout.collect.limits import EARLIEST_MS, LATEST_MS

Event = dict[str, object]

_RESERVED = ("event_name", "context", "properties")
_META = ("event_id", "event_timestamp")
_CONTEXT_OBJECTS = ("page", "device", "app")
_ROOT_META = frozenset((*_META, "eventId"))
_MAY_BE_1 = _ROOT_META | {"properties", *_CONTEXT_OBJECTS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSIONS = ("generatorVersion", "containerVersion")


def convert(event: Event) -> tuple[Event, tuple[str, ...]] | None:
    """The event in version 2 form and warnings about it; None if it is in that form already.

    The given event is not changed.
    """
    context = event.get("context")
    if isinstance(context, dict):
        return _half_migrated(event, context)
    if not event.keys().isdisjoint(_MAY_BE_1) and (
        not event.keys().isdisjoint(_ROOT_META)
        or any(isinstance(event.get(name), dict) for name in ("properties", *_CONTEXT_OBJECTS))
    ):
        return _version_1(event)
    return None


def _version_1(event: Event) -> tuple[Event, tuple[str, ...]]:
    # Shape 1 of §16: what web containers of 2022 send by themselves, nobody's mistake.
    warnings = ["web_container_v1" if "eventId" in event else "deprecated_payload_v1"]
    rest = {name: value for name, value in event.items() if name != "context"}
    properties = rest.pop("properties", None)
    if not isinstance(properties, dict):
        if properties is not None:
            rest["properties"] = properties
        properties = {}
    elif "event_name" not in rest and "event" in rest:  # row 2
        rest["event_name"] = rest.pop("event")
    context: Event = {}
    for name in _META:  # rows 3, 4
        if name in rest:
            context[name] = rest.pop(name)
    for name in _CONTEXT_OBJECTS:  # rows 5, 9, 10
        if isinstance(rest.get(name), dict):
            context[name] = rest.pop(name)
    for name in _VERSIONS:  # row 11
        if name in rest:
            context[name] = rest.pop(name)
    if "eventId" in rest:
        event_id = rest.pop("eventId")
        context.setdefault("event_id", event_id)
        if "version" in rest:
            context["version"] = rest.pop("version")
        if "created" in properties:
            properties = dict(properties)
            context["created"] = properties.pop("created")
    _name_page(context)
    _time_of_creation(context)
    return _lift(rest, properties, context, warnings)


def _half_migrated(event: Event, given: Event) -> tuple[Event, tuple[str, ...]] | None:
    properties = event.get("properties")
    lifts = isinstance(properties, dict)
    meta = "event_id" in event or "event_timestamp" in event
    dated = "created" in given and given.get("event_timestamp") is None
    if not lifts and not meta and not dated and "eventId" not in given:
        return None
    warnings: list[str] = []
    context = dict(given)
    rest = {name: value for name, value in event.items() if name != "context"}
    for name in _META:
        if name in rest:
            value = rest.pop(name)
            if context.get(name) is None:
                context[name] = value
                warnings.append(f"root_meta_moved:{name}")
            else:
                warnings.append(f"root_meta_ignored:{name}")
    if "eventId" in context:  # shape 2 of §16
        event_id = context.pop("eventId")
        if context.get("event_id") is None:
            context["event_id"] = event_id
    if lifts or warnings:
        _name_page(context)
    _time_of_creation(context)
    if not isinstance(properties, dict):
        return {**rest, "context": context}, tuple(warnings)
    del rest["properties"]
    warnings.append("mixed_v1_v2")
    return _lift(rest, properties, context, warnings)


def _lift(rest: Event, properties: Event, context: Event, warnings: list[str]) -> tuple[Event, tuple[str, ...]]:
    """Rows 12 to 15: the members of `properties` go to the root, where what is there already wins."""
    out = dict(rest)
    for name, value in properties.items():
        if name in _RESERVED:
            warnings.append(f"reserved_property:{name}")
        elif name == "user" and isinstance(value, dict) and isinstance(rest.get("user"), dict):
            out["user"] = _merged(value, rest["user"])
        elif name in rest:
            warnings.append(f"property_conflict:{name}")
        else:
            out[name] = value
    out["context"] = context
    return out, tuple(warnings)


def _merged(lifted: object, root: object) -> object:
    """Deep merge, `root` wins."""
    if not isinstance(lifted, dict) or not isinstance(root, dict):
        return root
    out = dict(lifted)
    for name, value in root.items():
        out[name] = _merged(lifted[name], value) if name in lifted else value
    return out


def _name_page(context: Event) -> None:
    """Rows 6 and 7: `page.location` was the URL, as text or as an object with `href`."""
    page = context.get("page")
    if not isinstance(page, dict):
        return
    location = page.get("location")
    if isinstance(location, str):
        page = {name: value for name, value in page.items() if name != "location"}
        page.setdefault("url", location)
        context["page"] = page
    elif isinstance(location, dict) and isinstance(location.get("href"), str) and "url" not in page:
        context["page"] = {**page, "url": location["href"]}


def _time_of_creation(context: Event) -> None:
    """§16: `created` is the one place where ISO 8601 is read, when there is no timestamp."""
    created = context.get("created")
    if context.get("event_timestamp") is not None or not isinstance(created, str):
        return
    try:
        instant = datetime.fromisoformat(created)
    except ValueError:
        # Not an instant: the event is treated as one without a time and says so by `filled_event_timestamp`.
        return
    zoned = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    time_ms = (zoned - _EPOCH) // timedelta(milliseconds=1)
    if EARLIEST_MS <= time_ms < LATEST_MS:
        context["event_timestamp"] = time_ms
