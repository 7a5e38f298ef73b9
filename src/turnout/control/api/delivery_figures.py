"""What the operations on delivery have in common: which destinations are meant, and their figures."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from turnout.control.api import integrations
from turnout.control.api.operation import AnyCall
from turnout.control.api.problems import not_found
from turnout.control.delivery.sums import Sums
from turnout.model.outcome import Code
from turnout.receipts.figures import Delivered
from turnout.receipts.store import Store

NO_DATA = "No data found"


class Place(NamedTuple):
    """A destination: its number here, that in the receipts, its reference, its type and environment if configured."""

    id: int
    number: int
    ref: str
    type: str | None
    environment: str | None


def places(call: AnyCall, store: Store) -> list[Place]:
    """Every destination of the site of which there are figures, removed ones too, by their numbers."""
    known = integrations.numbers(call)
    configured = call.world.snapshot().destinations
    found = []
    for one in store.registered():
        numbered = known.get(("destination", one.ref))
        if numbered is not None and one.ref.startswith(f"{call.site}/"):
            now = configured.get(one.ref)
            found.append(
                Place(numbered.id, one.id, one.ref, now.type if now else None, now.environment if now else None)
            )
    return sorted(found)


def the_place(call: AnyCall, store: Store) -> Place:
    """The destination of the path. Raises `ApiError` 404: as if there were no data, for any number."""
    wanted = int(call.path["id"])
    found = next((one for one in places(call, store) if one.id == wanted), None)
    if found is None:
        raise not_found(NO_DATA)
    return found


def require_data(call: AnyCall, there: bool) -> None:
    """Raise `ApiError` 404 where there is none, unless the settings want zeros instead."""
    if not there and call.world.settings.delivery_empty_404 == "on":
        raise not_found(NO_DATA)


def summed(rows: Iterable[Delivered]) -> Sums:
    """All together."""
    codes: Counter[Code] = Counter()
    for one in rows:
        codes[one.code] += one.n
    return Sums(codes)


def by_bucket(rows: Iterable[Delivered]) -> Mapping[int, Sums]:
    """By the beginning of their bucket, ms."""
    codes: dict[int, Counter[Code]] = {}
    for one in rows:
        codes.setdefault(one.bucket_ms, Counter())[one.code] += one.n
    return {bucket: Sums(found) for bucket, found in codes.items()}


def table(
    sums: Mapping[int, Sums], starts: Sequence[int], columns: Mapping[str, Container[Code]]
) -> list[list[int | str]]:
    """Rows for charts: the names of the columns, then a row per bucket with its beginning and its counts."""
    rows: list[list[int | str]] = [["dateTime", *columns]]
    for start in starts:
        found = sums.get(start, Sums())
        rows.append([start, *(sum(n for code, n in found.codes.items() if code in of) for of in columns.values())])
    return rows
