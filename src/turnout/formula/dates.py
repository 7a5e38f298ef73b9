"""Dates (`formulas.md` §8): ISO text and milliseconds in, calendar arithmetic in the date's own offset, ISO text out.

A `Moment` is a `datetime` with its zone, exact to the millisecond. An offset in the text is kept; without one the
workspace's zone applies.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TypeAlias

from turnout.formula.values import numeric

Moment: TypeAlias = datetime

UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
_SECONDS = {"hours": 3_600, "minutes": 60, "seconds": 1}
_SINGULAR = {unit[:-1]: unit for unit in UNITS}
_SECONDS_DIGITS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
).fullmatch
_MILLISECONDS = re.compile(r"-?\d{1,17}", re.ASCII).fullmatch


def read(value: object, zone: tzinfo) -> Moment | None:
    """The date that a value writes: ISO 8601 text, or milliseconds as number or digits; None for all else."""
    if type(value) is str:
        if value.isdecimal():
            return at(int(value), zone) if _MILLISECONDS(value) else None
        if match := _ISO(value):
            year, month, day, hour, minute, second, fraction, offset = match.groups()
            try:
                there = offset_zone(offset) if offset else zone
                clock = (int(hour or 0), int(minute or 0), int(second or 0), int(f"{fraction or ''}000"[:3]))
                return made((int(year), int(month), int(day), *clock), there)
            except (ValueError, OverflowError):
                return None
        return at(int(value), zone) if _MILLISECONDS(value) else None
    if type(value) is int or type(value) is float:
        return at(int(value), zone)
    return None


def made(numbers: tuple[int, int, int, int, int, int, int], zone: tzinfo) -> Moment:
    """The moment of year, month, day, hour, minute, second and millisecond there; 24:00 is the next day's 0:00.

    Raises ValueError or OverflowError for what no calendar and no clock shows.
    """
    year, month, day, hour, minute, second, millisecond = numbers
    if hour == 24 and not (minute or second or millisecond):
        return placed(datetime(year, month, day, tzinfo=zone) + timedelta(days=1))
    return placed(datetime(year, month, day, hour, minute, second, millisecond * 1000, zone))


def looks_like_seconds(value: object) -> bool:
    """Whether these milliseconds are probably meant as seconds: ten digits are 1970 as one, today as the other."""
    if type(value) is str and len(value) != _SECONDS_DIGITS:
        return False
    made = numeric(value)
    return made is not None and 10**9 <= made < 10**10


def at(milliseconds: int, zone: tzinfo) -> Moment | None:
    """The moment that many milliseconds after 1970, there; None beyond the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
        return moment if zone is UTC else moment.astimezone(zone)
    except (OverflowError, ValueError):
        return None


def milliseconds(moment: Moment) -> int:
    """Since 1970. Unlike `<` between two moments it is right within a zone that changes its clocks too."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def placed(moment: Moment) -> Moment:
    """The moment with a wall clock that exists there: a time that the change of clocks leaves out moves on."""
    if moment.tzinfo is UTC or isinstance(moment.tzinfo, timezone):
        return moment
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def offset_zone(text: str) -> tzinfo:
    """The zone of `Z` or `±hh[:mm]`. Raises ValueError beyond a day."""
    if text in ("Z", "z"):
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes)) if minutes else UTC


def iso(moment: Moment) -> str:
    """`yyyy-MM-ddTHH:mm:ss.SSS` and `Z` or `±hh:mm`."""
    offset = offset_minutes(moment)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}{offset_text(offset) if offset else 'Z'}"


def offset_minutes(moment: Moment) -> int:
    """Its offset from UTC, in whole minutes towards zero: those of long ago have seconds."""
    return int((moment.utcoffset() or timedelta()).total_seconds() / 60)


def offset_text(minutes: int) -> str:
    """`+05:30`."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def zone_text(moment: Moment) -> str:
    """`UTC`, `UTC+1`, `UTC+5:30`."""
    minutes = offset_minutes(moment)
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{hours}{f':{rest:02}' if rest else ''}" if minutes else "UTC"


def unit_of(value: object) -> str | None:
    """A unit of time in the plural, from its name in singular or plural, in any case."""
    word = value.lower() if isinstance(value, str) else ""
    return word if word in UNITS else _SINGULAR.get(word)


def add(moment: Moment, count: int, unit: str) -> Moment | None:
    """That many units later; None beyond the years 1 to 9999.

    Days and longer move on the calendar (the day of the month at most the last), shorter ones on the clock.
    """
    try:
        if unit in _SECONDS:
            later = moment.astimezone(UTC) + timedelta(seconds=count * _SECONDS[unit])
            return later.astimezone(moment.tzinfo)
        if unit in ("days", "weeks"):
            return _moved(moment, moment + timedelta(days=count * (7 if unit == "weeks" else 1)))
        months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "years" else 1)
        year, month = divmod(months, 12)
        day = min(moment.day, days_in(year, month + 1))
        return _moved(moment, moment.replace(year=year, month=month + 1, day=day))
    except (OverflowError, ValueError):
        return None


def difference(first: Moment, second: Moment, unit: str) -> int:
    """Whole units from the first to the second, towards zero; the calendar is the first's."""
    if milliseconds(second) < milliseconds(first):
        return -difference(second.astimezone(first.tzinfo), first, unit)
    if unit in _SECONDS:
        return (milliseconds(second) - milliseconds(first)) // (_SECONDS[unit] * 1000)
    there = second.astimezone(first.tzinfo)
    if unit in ("days", "weeks"):
        return _whole(first, there, (there.date() - first.date()).days, "days") // (7 if unit == "weeks" else 1)
    months = (there.year - first.year) * 12 + there.month - first.month
    whole = _whole(first, there, months, "months")
    return whole // 12 if unit == "years" else whole


def days_in(year: int, month: int) -> int:
    """Days of a month; raises ValueError for a year that has none."""
    following = datetime(year, month, 1) + timedelta(days=32) if (year, month) < (9999, 12) else None
    return (following.replace(day=1) - timedelta(days=1)).day if following else 31


def _moved(moment: Moment, wall: Moment) -> Moment:
    """A wall clock reached from a moment: where it shows a time twice, the one with the moment's offset."""
    first, second = wall.replace(fold=0), wall.replace(fold=1)
    twice = offset_minutes(first) > offset_minutes(second)
    return placed(second if twice and second.utcoffset() == moment.utcoffset() else first)


def _whole(first: Moment, second: Moment, count: int, unit: str) -> int:
    """The count, or one less if that many units lead past the second."""
    reached = add(first, count, unit)
    return count - 1 if reached is None or milliseconds(reached) > milliseconds(second) else count


PARTS: dict[str, Callable[[Moment], int]] = {
    "YEAR": lambda moment: moment.year,
    "MONTH": lambda moment: moment.month,
    "DAY": lambda moment: moment.day,
    "HOUR": lambda moment: moment.hour,
    "MINUTES": lambda moment: moment.minute,
    "SECONDS": lambda moment: moment.second,
}
