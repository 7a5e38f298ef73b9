"""What the inspector can be asked (`config-api.md` C4): from a query to what is sought, or every fault in it."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple, cast

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.masking import hidden_of
from turnout.control.api.operation import AnyCall, missing_scope
from turnout.control.api.paging import Cursored, Size
from turnout.control.api.periods import Period, ends_of
from turnout.control.api.problems import ApiError, Fault, Place
from turnout.control.inspector.conditions import OPERATORS, Condition, ConditionError, Operator, predicate
from turnout.control.inspector.search import Sought
from turnout.control.inspector.segment import Span
from turnout.control.inspector.terms import words_of
from turnout.control.inspector.values import is_searchable
from turnout.model.config import Environment

PII = "inspector:pii"
_CONDITIONS = 10
_PATH_CHARACTERS, _PATH_PARTS = 256, 32
_VALUE_CHARACTERS = 2_000
_NEVER = 1 << 62
_KEY = re.compile(r"([^\[\]]+)(?:\]\[([a-z_]+))?")
_NOBODY = "\0"
"""What no record is from."""

Texts = tuple[str, ...]
Fields = Literal["summary", "full"]
_full = Meta(description="`full` adds the event, and what was sent and answered; `***` without `inspector:pii`.")


class EventFilters(Period, frozen=True, kw_only=True):
    """What must hold, of several values one. Lists have commas, or the parameter is repeated."""

    source: Annotated[Texts, Meta(description="Ids of sources; `none`: where no source is to be made out.")] = (
        msgspec.field(default=(), name="filter[source]")
    )
    event_name: Annotated[Texts, Meta(description="Names, whole.", examples=[["purchase"]])] = msgspec.field(
        default=(), name="filter[event_name]"
    )
    event_name_prefix: Annotated[str, Meta(description="How the name begins.")] = msgspec.field(
        default="", name="filter[event_name][prefix]"
    )
    event_id: Annotated[Texts, Meta(description="Ids of events.")] = msgspec.field(default=(), name="filter[event_id]")
    status: Annotated[Texts, Meta(description="What was decided, or what came of it.", examples=[["rejected"]])] = (
        msgspec.field(default=(), name="filter[status]")
    )
    reason: Annotated[Texts, Meta(description="Codes of reasons.", examples=[["invalid_json"]])] = msgspec.field(
        default=(), name="filter[reason]"
    )
    environment: Annotated[tuple[Environment, ...], Meta(description="Of the source.")] = msgspec.field(
        default=(), name="filter[environment]"
    )
    test_code: Annotated[Texts, Meta(description="Values of `test_code`; `*` is any.")] = msgspec.field(
        default=(), name="filter[test_code]"
    )
    user_id: Annotated[Texts, Meta(description="Values of `user.id`.")] = msgspec.field(
        default=(), name="filter[user_id]"
    )
    anonymous_id: Annotated[Texts, Meta(description="Values of `user.consistent_anonymous_id`.")] = msgspec.field(
        default=(), name="filter[anonymous_id]"
    )
    property: Annotated[
        dict[str, Texts],
        Meta(
            description="`filter[property][PATH]=VALUE`, or `filter[property][PATH][OPERATOR]=VALUE` with one of "
            f"{', '.join(OPERATORS)}; {_CONDITIONS} at most."
        ),
    ] = msgspec.field(default={}, name="filter[property]")
    q: Annotated[
        str, Meta(max_length=256, description="Words that are in the event's values; the beginning of each will do.")
    ] = msgspec.field(default="", name="filter[q]")


class AttemptFilters(EventFilters, frozen=True, kw_only=True):
    """The same, and what only attempts have."""

    destination: Annotated[Texts, Meta(description="Ids of destinations.")] = msgspec.field(
        default=(), name="filter[destination]"
    )
    http_status: Annotated[tuple[int, ...], Meta(description="What the partner answered.")] = msgspec.field(
        default=(), name="filter[http_status]"
    )
    attempt: Annotated[tuple[int, ...], Meta(description="Which attempt, from 1; 0: none was made.")] = msgspec.field(
        default=(), name="filter[attempt]"
    )
    replay: Annotated[Texts, Meta(description="Ids of replays.")] = msgspec.field(default=(), name="filter[replay]")


Incoming = Annotated[
    Literal["normalized", "raw"],
    Meta(
        description="Which document properties and words are looked for in; `raw` (as it came) needs `inspector:pii`."
    ),
]
Outgoing = Annotated[
    Literal["normalized", "sent"],
    Meta(description="Which document properties and words are looked for in; `sent` needs `inspector:pii`."),
]
Include = Annotated[
    tuple[Literal["total"], ...], Meta(description="`total` says in `meta` how many records there are on all pages.")
]
After = Annotated[str, Meta(max_length=64, description="What is older than this cursor.")]
Before = Annotated[str, Meta(max_length=64, description="What is newer than this cursor.")]


class IncomingQuery(EventFilters, frozen=True, kw_only=True):
    """Which records, how much of them, which page."""

    view: Incoming = msgspec.field(default="normalized", name="filter[view]")
    fields: Annotated[Fields, _full] = "summary"
    include: Include = ()
    page_size: Size = msgspec.field(default=50, name="page[size]")
    page_after: After | None = msgspec.field(default=None, name="page[after]")
    page_before: Before | None = msgspec.field(default=None, name="page[before]")


class OutgoingQuery(AttemptFilters, frozen=True, kw_only=True):
    """Which records, how much of them, which page."""

    view: Outgoing = msgspec.field(default="normalized", name="filter[view]")
    fields: Annotated[Fields, _full] = "summary"
    include: Include = ()
    page_size: Size = msgspec.field(default=50, name="page[size]")
    page_after: After | None = msgspec.field(default=None, name="page[after]")
    page_before: Before | None = msgspec.field(default=None, name="page[before]")


class EitherQuery(AttemptFilters, frozen=True, kw_only=True):
    """Records of one direction. What only attempts have is for `outgoing`."""

    direction: Annotated[Literal["incoming", "outgoing"], Meta(description="What came in, or what went out.")] = (
        "incoming"
    )


FACETS = ("event_name", "status", "reason", "source", "destination")


class FacetsQuery(EitherQuery, frozen=True, kw_only=True):
    """Records of one direction, and which values of theirs to count."""

    facet: Annotated[
        tuple[Literal["event_name", "status", "reason", "source", "destination", "property"], ...],
        Meta(description="What to count; without it, all but `property`."),
    ] = ()
    path: Annotated[
        str, Meta(description="With `facet=property`: the path of the property.", examples=["items.product.id"])
    ] = ""


class HistogramQuery(EitherQuery, frozen=True, kw_only=True):
    """Records of one direction, and how many buckets."""

    buckets: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 60


class StreamQuery(EitherQuery, frozen=True, kw_only=True):
    """Records of one direction, how much of them, and whether all or as many as a person can follow."""

    fields: Annotated[Fields, _full] = "summary"
    batch: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=200,
                description="For a live view: a message every half second at most, with the newest records, at most so "
                "many, and how many were left out.",
            ),
        ]
        | None
    ) = None


class Question(NamedTuple):
    """What is sought, from when to when, and whether personal data decides about it."""

    sought: Sought
    span: Span
    personal: bool


def page_of(query: IncomingQuery | OutgoingQuery) -> Cursored:
    """The page that is asked for."""
    return Cursored(page_size=query.page_size, page_after=query.page_after, page_before=query.page_before)


def question(call: AnyCall, query: EventFilters, view: str = "normalized", **fixed: tuple[str, ...]) -> Question:
    """What a query asks for; `fixed` are fields that the path decides.

    Raises `ApiError`: 400 with every fault, or 403.
    """
    faults: list[Fault] = []
    conditions = tuple(_conditions(query.property, faults))
    if query.q and not words_of(query.q):
        faults.append(_wrong("filter[q]", "needs a letter or a digit"))
    if any(len(value) > _VALUE_CHARACTERS for value in (*query.user_id, *query.anonymous_id)):
        faults.append(_wrong("filter[user_id]", f"a value has {_VALUE_CHARACTERS} characters at most"))
    if faults:
        raise ApiError(400, faults)
    words = bool(query.q)
    allowed = PII in call.token.scopes
    hidden = hidden_of(call.world.snapshot(), call.site)
    given_ids = (("user.id", query.user_id), ("user.consistent_anonymous_id", query.anonymous_id))
    ids = tuple(Condition(path, "eq", values) for path, values in given_ids if values)
    personal = any(hidden.covers(one.path) for one in (*conditions, *ids)) or (
        view != "normalized" and bool(conditions or words)
    )
    if personal and not allowed:
        raise missing_scope(PII)
    fields = {name: values for name, values in _fields(call, query) if values} | fixed
    sought = Sought(
        fields={"site": (call.site,), **fields},
        prefix=query.event_name_prefix,
        ids=ids,
        conditions=conditions,
        words=query.q,
        indexed=view == "normalized",
    )
    return Question(sought, span_of(query, call.now_ms), personal or (allowed and words))


def span_of(query: EventFilters, now_ms: int) -> Span:
    """The time that is asked for; all of it, if none is. Raises `ApiError` 400."""
    start, end = ends_of(query, now_ms)
    return Span(since_ms=max(0, start or 0), until_ms=_NEVER if end is None else end)


def source_refs(call: AnyCall, wanted: Texts) -> Texts:
    """The references of sources, also of former ones; `none` is the site's part without a source."""
    return tuple(f"{call.site}/" if one == "none" else _ref(call, "source", one) for one in wanted)


def destination_refs(call: AnyCall, wanted: Texts) -> Texts:
    """The references of destinations, also of former ones."""
    return tuple(_ref(call, "destination", one) for one in wanted)


def _ref(call: AnyCall, kind: Literal["source", "destination"], wanted: str) -> str:
    prefix = f"{call.site}/"
    known = integrations.numbers(call).items()
    refs = (ref for (of, ref), one in known if of == kind and str(one.id) == wanted and ref.startswith(prefix))
    return next(refs, _NOBODY)


def _fields(call: AnyCall, query: EventFilters) -> Iterator[tuple[str, Texts]]:
    yield "source", source_refs(call, query.source)
    for name in ("event_name", "event_id", "status", "reason", "environment", "test_code"):
        yield name, getattr(query, name)
    if isinstance(query, AttemptFilters):
        yield "destination", destination_refs(call, query.destination)
        yield "http_status", tuple(map(str, query.http_status))
        yield "attempt", tuple(map(str, query.attempt))
        yield "replay", query.replay


def _conditions(given: Mapping[str, Texts], faults: list[Fault]) -> Iterator[Condition]:
    if len(given) > _CONDITIONS:
        faults.append(_wrong("filter[property]", f"there are {_CONDITIONS} conditions at most"))
    for key, values in list(given.items())[:_CONDITIONS]:
        name = f"filter[property][{key}]"
        read = _KEY.fullmatch(key)
        path, operator = (read[1], read[2] or "eq") if read else ("", "")
        if not read or not _is_path(path):
            faults.append(
                _wrong(name, f"is no filter[property][PATH][OPERATOR] with a path of {_PATH_PARTS} parts at most")
            )
        elif operator not in OPERATORS:
            faults.append(_wrong(name, f"there is no operator {operator}; there are {', '.join(OPERATORS)}"))
        elif not is_searchable(path):
            faults.append(_not_searchable(path, name))
        elif any(len(value) > _VALUE_CHARACTERS for value in values):
            faults.append(_wrong(name, f"a value has {_VALUE_CHARACTERS} characters at most"))
        else:
            several = (
                tuple(part for value in values for part in value.split(",")) if operator == "in" else tuple(values)
            )
            condition = Condition(path, cast("Operator", operator), several)
            try:
                predicate(condition)
            except ConditionError as error:
                faults.append(_wrong(name, str(error)))
            else:
                yield condition


def with_property(call: AnyCall, asked: Question, path: str) -> Question:
    """The same question about records that have a property. Raises `ApiError`: 400, or 403 for what is masked."""
    if not _is_path(path):
        raise ApiError(400, [_wrong("path", f"facet=property needs the path of one, of {_PATH_PARTS} parts at most")])
    if not is_searchable(path):
        raise ApiError(400, [_not_searchable(path, "path")])
    personal = hidden_of(call.world.snapshot(), call.site).covers(path)
    if personal and PII not in call.token.scopes:
        raise missing_scope(PII)
    conditions = (*asked.sought.conditions, Condition(path, "exists", ("true",)))
    sought = msgspec.structs.replace(asked.sought, conditions=conditions)
    return Question(sought, asked.span, asked.personal or personal)


def _is_path(text: str) -> bool:
    return 0 < len(text) <= _PATH_CHARACTERS and text.count(".") < _PATH_PARTS


def _not_searchable(path: str, parameter: str) -> Fault:
    detail = f"{path} is not searchable: nothing under context.device is"
    return Fault("PROPERTY_NOT_SEARCHABLE", detail, Place(parameter=parameter))


def _wrong(name: str, detail: str) -> Fault:
    return Fault("INVALID_PARAMETER", f"{name}: {detail}", Place(parameter=name))
