"""Text → date by tokens (`formulas.md` §8), as Luxon reads them.

The format becomes one pattern, matched in linear time whatever the format repeats. What a format does not say is
taken from today for larger units, and is the first for smaller ones.
"""

import functools
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeAlias

import re2

from turnout.formula import dates
from turnout.formula.dateformat import MONTHS, WEEKDAYS, tokens
from turnout.formula.dates import Moment

Fields: TypeAlias = dict[str, int | tzinfo]
Take: TypeAlias = Callable[[str], "int | tzinfo | None"]

_LARGEST_FIRST = ("year", "month", "day", "hour", "minute", "second", "millisecond")
_DAY = 2
_FIRST = {"month": 1, "day": 1}
_GIVEN = (
    {"year", "week_year"}, {"month"}, {"day", "ordinal", "week", "weekday"},
    {"hour"}, {"minute"}, {"second"}, {"millisecond"},
)  # fmt: skip
"""The fields that settle a unit, largest unit first."""
_CALENDAR = {"year", "month", "day"}


def _digits(least: int, most: int) -> str:
    return rf"([0-9]{{{least},{most}}})"


def _named(names: tuple[str, ...], length: int | None = None) -> tuple[str, Take]:
    known = {name[:length].lower(): number for number, name in enumerate(names, 1)}
    return f"({'|'.join(known)})", lambda text: known[text.lower()]


def _two_digits(text: str) -> int:
    """61–99 are of the last century, 00–60 of this one."""
    year = int(text)
    return year if len(text) > 2 else year + (1900 if year > 60 else 2000)


def _fraction(text: str) -> int:
    return int(f"{text}00"[:3])


def _offset(text: str) -> tzinfo | None:
    hours, colon, minutes = text[1:].partition(":")
    if not colon and len(hours) > 2:
        hours, minutes = hours[:-2], hours[-2:]
    try:
        return dates.offset_zone(f"{text[0]}{int(hours):02}:{int(minutes or 0):02}")
    except ValueError:
        return None


@functools.lru_cache(maxsize=256)
def zone_named(name: str) -> tzinfo | None:
    """A zone of the time-zone database; None if there is none of that name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


_COLON_OFFSET = (r"([+-][0-9]{1,2}(?::[0-9]{2})?)", _offset)
_TOKENS: dict[str, tuple[str, str, Take]] = {
    "y": ("year", _digits(1, 6), int),
    "yy": ("year", _digits(2, 4), _two_digits),
    "yyyy": ("year", _digits(4, 4), int),
    "yyyyy": ("year", _digits(4, 6), int),
    "yyyyyy": ("year", _digits(6, 6), int),
    "d": ("day", _digits(1, 2), int),
    "dd": ("day", _digits(2, 2), int),
    "o": ("ordinal", _digits(1, 3), int),
    "ooo": ("ordinal", _digits(3, 3), int),
    "q": ("quarter", "([1-4])", int),
    "qq": ("quarter", "(0[1-4])", int),
    "h": ("hour12", _digits(1, 2), int),
    "hh": ("hour12", _digits(2, 2), int),
    "H": ("hour", _digits(1, 2), int),
    "HH": ("hour", _digits(2, 2), int),
    "a": ("afternoon", "(am|pm)", lambda text: int(text.lower() == "pm")),
    "m": ("minute", _digits(1, 2), int),
    "mm": ("minute", _digits(2, 2), int),
    "s": ("second", _digits(1, 2), int),
    "ss": ("second", _digits(2, 2), int),
    "S": ("millisecond", _digits(1, 3), int),
    "SSS": ("millisecond", _digits(3, 3), int),
    "u": ("millisecond", _digits(1, 9), _fraction),
    "uu": ("millisecond", _digits(1, 2), _fraction),
    "uuu": ("millisecond", _digits(1, 1), _fraction),
    "kk": ("week_year", _digits(2, 4), _two_digits),
    "kkkk": ("week_year", _digits(4, 4), int),
    "W": ("week", _digits(1, 2), int),
    "WW": ("week", _digits(2, 2), int),
    "Z": ("zone", *_COLON_OFFSET),
    "ZZ": ("zone", *_COLON_OFFSET),
    "ZZZ": ("zone", r"([+-][0-9]{1,2}(?:[0-9]{2})?)", _offset),
    "z": ("zone", r"([A-Za-z_+/-][A-Za-z0-9_+/-]{0,255})", zone_named),
    "X": ("milliseconds", r"(-?[0-9]{1,13})", lambda text: int(text) * 1000),
    "x": ("milliseconds", r"(-?[0-9]{1,16})", int),
    "G": ("era", "(ad)", lambda text: 1),
    **{letter: ("month", _digits(1, 2), int) for letter in "ML"},
    **{letter * 2: ("month", _digits(2, 2), int) for letter in "ML"},
    **{letter * 3: ("month", *_named(MONTHS, 3)) for letter in "ML"},
    **{letter * 4: ("month", *_named(MONTHS)) for letter in "ML"},
    **dict.fromkeys("Ec", ("weekday", "([1-7])", int)),
    **{letter * 3: ("weekday", *_named(WEEKDAYS, 3)) for letter in "Ec"},
    **{letter * 4: ("weekday", *_named(WEEKDAYS)) for letter in "Ec"},
}
"""What a token names, the pattern of its text, and its value; None refuses."""


class Reader:
    """A compiled format."""

    __slots__ = ("_pattern", "_takes")

    def __init__(self, pattern: str) -> None:
        parts, self._takes = [], list[tuple[str, Take]]()
        for token, literal in tokens(pattern):
            if not literal and token in _TOKENS:
                name, part, take = _TOKENS[token]
                parts.append(part)
                self._takes.append((name, take))
            else:
                parts.append(str(re2.escape(token)))
        options = re2.Options()
        options.log_errors = options.case_sensitive = False
        options.max_mem = 1 << 20
        self._pattern = re2.compile("".join(parts), options)

    def read(self, text: str, now_ms: int, zone: tzinfo) -> Moment | None:
        """The moment that a text in this format writes; None if it does not fit or does not exist."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        fields: Fields = {}
        for number, (name, take) in enumerate(self._takes, 1):
            value = take(match.group(number))
            if value is None or fields.setdefault(name, value) != value:
                return None
        try:
            return _moment(fields, now_ms, zone)
        except (ValueError, OverflowError):
            return None


@functools.lru_cache(maxsize=256)
def reader(pattern: str) -> Reader:
    """The format, from a bounded cache."""
    return Reader(pattern)


def _moment(fields: Fields, now_ms: int, zone: tzinfo) -> Moment | None:
    there = fields.pop("zone", zone)
    assert isinstance(there, tzinfo)
    numbers = {name: value for name, value in fields.items() if isinstance(value, int)}
    if "milliseconds" in numbers:
        return dates.at(numbers["milliseconds"], there)
    now = dates.at(now_ms, there)
    if now is None or not _hour_of_day(numbers):
        return None
    if "quarter" in numbers:
        numbers.setdefault("month", numbers["quarter"] * 3 - 2)
    day, *clock = _of_calendar(numbers, now)
    if "ordinal" in numbers:
        day = date(day.year, 1, 1) + timedelta(days=numbers["ordinal"] - 1)
        if day.year != numbers.get("year", day.year):
            return None
    elif {"week", "week_year"} & numbers.keys() or ("weekday" in numbers and not numbers.keys() & _CALENDAR):
        day = _of_week(numbers, now.date())
    if numbers.get("weekday", day.isoweekday()) != day.isoweekday():
        return None
    hour, minute, second, millisecond = clock
    return dates.made((day.year, day.month, day.day, hour, minute, second, millisecond), there)


def _hour_of_day(numbers: dict[str, int]) -> bool:
    """Turn an hour of twelve into one of the day. False if AM and PM stand beside an hour of the day."""
    if "hour12" not in numbers:
        return "afternoon" not in numbers
    hour, afternoon = numbers.pop("hour12"), numbers.get("afternoon")
    if hour < 12 and afternoon == 1:
        hour += 12
    elif hour == 12 and afternoon == 0:
        hour = 0
    return numbers.setdefault("hour", hour) == hour


def _of_calendar(numbers: dict[str, int], now: datetime) -> tuple[date, int, int, int, int]:
    """Units larger than the largest given are now's, smaller ones are the first."""
    given = [bool(names & numbers.keys()) for names in _GIVEN]
    largest = given.index(True) if True in given else _DAY
    year, month, day, hour, minute, second, millisecond = (
        numbers.get(name, getattr(now, name) if place < max(largest, 1) else _FIRST.get(name, 0))
        for place, name in enumerate(_LARGEST_FIRST)
    )
    return date(year, month, day), hour, minute, second, millisecond


def _of_week(numbers: dict[str, int], today: date) -> date:
    this = today.isocalendar()
    week = numbers.get("week", 1 if "week_year" in numbers else this.week)
    return date.fromisocalendar(numbers.get("week_year", this.year), week, numbers.get("weekday", 1))
