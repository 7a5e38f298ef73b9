"""Issues: the events of one destination that were not delivered for one reason. Pure."""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from turnout.model.outcome import Code
from turnout.receipts.figures import Delivered

_LETTERS = {Code.ERROR: "e", Code.REJECTED: "r"}
_SLUG_CHARACTERS = 24
_ID = re.compile(r"iss_(\d{1,16})_[er]_[a-z0-9_]*_[0-9a-f]{8}")


class Issue(NamedTuple):
    """`destination` is the number in the receipts; `names` say how many of which event; times are of collection, ms."""

    destination: int
    code: Code
    reason: str
    events: int
    names: tuple[str, ...]
    first_ms: int
    last_ms: int


def issues_of(rows: Iterable[Delivered]) -> list[Issue]:
    """What is not delivered in these figures, by destination, code and reason; the largest first."""
    found: dict[tuple[int, Code, str], list[Delivered]] = {}
    for row in rows:
        if row.code in _LETTERS:
            found.setdefault((row.destination, row.code, row.reason), []).append(row)
    made = [_issue(key, rows) for key, rows in found.items()]
    return sorted(made, key=lambda one: (-one.events, one.destination, one.code, one.reason))


def issue_id(destination: int, code: Code, reason: str) -> str:
    """The id of an issue; `destination` is its number in the API. The same for every period."""
    slug = re.sub(r"[^a-z0-9]+", "_", reason.lower())[:_SLUG_CHARACTERS].strip("_")
    digest = blake2b(f"{code} {reason}".encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"iss_{destination}_{_LETTERS[code]}_{slug}_{digest}"


def destination_of(issue: str) -> int | None:
    """The number of the destination in an issue's id; None if it is no such id."""
    found = _ID.fullmatch(issue)
    return int(found[1]) if found is not None else None


def _issue(key: tuple[int, Code, str], rows: list[Delivered]) -> Issue:
    names: Counter[str] = Counter()
    for row in rows:
        names[row.name] += row.n
    starts = [row.bucket_ms for row in rows]
    by_size = tuple(name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0])))
    return Issue(*key, names.total(), by_size, min(starts), max(starts))
