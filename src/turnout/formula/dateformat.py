"""Date tokens → text (`formulas.md` §8): the tokens of Luxon, in English (US)."""

import functools
import operator
from collections.abc import Callable, Sequence
from datetime import UTC, date, timedelta, timezone
from typing import TypeAlias

from turnout.formula import dates
from turnout.formula.dates import Moment

Write: TypeAlias = Callable[[Moment], str]

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_US_ZONES = {"E": "Eastern", "C": "Central", "M": "Mountain", "P": "Pacific", "AK": "Alaska", "H": "Hawaii-Aleutian"}
_ABBREVIATED = {f"{zone}{kind}T" for zone in _US_ZONES for kind in "SD"}
_LONG = {
    **{f"{zone}ST": f"{name} Standard Time" for zone, name in _US_ZONES.items()},
    **{f"{zone}DT": f"{name} Daylight Time" for zone, name in _US_ZONES.items()},
    "GMT": "Greenwich Mean Time",
    "BST": "British Summer Time",
    "WET": "Western European Standard Time",
    "WEST": "Western European Summer Time",
    "CET": "Central European Standard Time",
    "CEST": "Central European Summer Time",
    "EET": "Eastern European Standard Time",
    "EEST": "Eastern European Summer Time",
    "IST+05:30": "India Standard Time",
    "IST+02:00": "Israel Standard Time",
    "IST+01:00": "Irish Standard Time",
    "JST": "Japan Standard Time",
    "AEST": "Australian Eastern Standard Time",
    "AEDT": "Australian Eastern Daylight Time",
    "UTC": "Coordinated Universal Time",
}
"""What English calls the zones of the time-zone database; those that share an abbreviation have their offset too."""

_MACROS = {
    "D": "M/d/yyyy",
    "DD": "MMM d, yyyy",
    "DDD": "MMMM d, yyyy",
    "DDDD": "EEEE, MMMM d, yyyy",
    "t": "h:mm a",
    "tt": "h:mm:ss a",
    "ttt": "h:mm:ss a ZZZZ",
    "tttt": "h:mm:ss a ZZZZZ",
    "T": "HH:mm",
    "TT": "HH:mm:ss",
    "TTT": "HH:mm:ss ZZZZ",
    "TTTT": "HH:mm:ss ZZZZZ",
    "f": "M/d/yyyy, h:mm a",
    "ff": "MMM d, yyyy, h:mm a",
    "fff": "MMMM d, yyyy 'at' h:mm a ZZZZ",
    "ffff": "EEEE, MMMM d, yyyy 'at' h:mm a ZZZZZ",
    "F": "M/d/yyyy, h:mm:ss a",
    "FF": "MMM d, yyyy, h:mm:ss a",
    "FFF": "MMMM d, yyyy 'at' h:mm:ss a ZZZZ",
    "FFFF": "EEEE, MMMM d, yyyy 'at' h:mm:ss a ZZZZZ",
}


_PARTS = {"M": "month", "d": "day", "H": "hour", "m": "minute", "s": "second"}
_PLAIN = {
    "yyyy": ("%04d", "year"),
    **{letter * width: (f"%0{width}d", part) for letter, part in _PARTS.items() for width in (1, 2)},
}
"""Tokens that write a number which moments have: as Python formats it, and its name."""


@functools.lru_cache(maxsize=256)
def formatter(pattern: str) -> Write:
    """A function that writes moments in this format; letters that are no token stand for themselves."""
    found = tokens(pattern)
    if (plain := _plain(found)) is not None:
        return plain
    writers = [_writer(token, literal) for token, literal in found]
    return lambda moment: "".join([write(moment) for write in writers])


def tokens(pattern: str) -> list[tuple[str, bool]]:
    """A format as runs of one letter, and the literal texts between quotes (True); `''` is a quote."""
    found: list[tuple[str, bool]] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "'":
            end = pattern.find("'", at + 1)
            end = len(pattern) if end < 0 else end
            found.append((pattern[at + 1 : end] or "'", True))
            at = end + 1
            continue
        end = at + 1
        while end < len(pattern) and pattern[end] == pattern[at]:
            end += 1
        found.append((pattern[at:end], False))
        at = end
    return found


def _plain(found: Sequence[tuple[str, bool]]) -> Write | None:
    """A format of nothing but the usual numbers is filled in at once; None for others."""
    template, parts = "", []
    for token, literal in found:
        if not literal and token in _PLAIN:
            written, part = _PLAIN[token]
            template += written
            parts.append(part)
        elif literal or not token[0].isalpha():
            template += token.replace("%", "%%")
        else:
            return None
    if not parts:
        return None
    read = operator.attrgetter(*parts)
    return lambda moment: template % read(moment)


def _writer(token: str, literal: bool) -> Write:
    if not literal:
        if token in _MACROS:
            return formatter(_MACROS[token])
        if token in _TOKENS:
            return _TOKENS[token]
    return lambda moment: token


def _short_zone(moment: Moment) -> str:
    if moment.tzinfo is UTC or isinstance(moment.tzinfo, timezone):
        return dates.zone_text(moment)
    name = moment.tzname() or ""
    return name if name in _ABBREVIATED or name == "UTC" else dates.zone_text(moment).replace("UTC", "GMT")


def _long_zone(moment: Moment) -> str:
    if moment.tzinfo is UTC or isinstance(moment.tzinfo, timezone):
        return dates.zone_text(moment)
    name, offset = moment.tzname() or "", dates.offset_text(dates.offset_minutes(moment))
    return _LONG.get(name) or _LONG.get(name + offset) or f"GMT{offset}"


def _zone_name(moment: Moment) -> str:
    return str(getattr(moment.tzinfo, "key", None) or dates.zone_text(moment))


def _us_week(moment: Moment) -> tuple[int, int]:
    """Year and number of the week as Americans count: weeks begin on Sunday, the first holds 1 January."""
    year = (moment.date() + timedelta(days=6 - moment.isoweekday() % 7)).year if moment.year < 9999 else 9999
    new_year = date(year, 1, 1)
    sunday = new_year.toordinal() - new_year.isoweekday() % 7
    return year, (moment.date().toordinal() - sunday) // 7 + 1


def _millisecond(moment: Moment) -> int:
    return moment.microsecond // 1000


def _hour12(moment: Moment) -> int:
    return moment.hour % 12 or 12


def _day_of_year(moment: Moment) -> int:
    return moment.timetuple().tm_yday


def _quarter(moment: Moment) -> int:
    return (moment.month + 2) // 3


def _narrow_offset(moment: Moment) -> str:
    return dates.zone_text(moment).removeprefix("UTC") or "+0"


def _padded(part: Callable[[Moment], int], width: int) -> Write:
    return lambda moment: f"{part(moment):0{width}}"


def _last_two(part: Callable[[Moment], int]) -> Write:
    return lambda moment: f"{part(moment) % 100:02}"


def _month(length: int | None) -> Write:
    return lambda moment: MONTHS[moment.month - 1][:length]


def _weekday(length: int | None) -> Write:
    return lambda moment: WEEKDAYS[moment.weekday()][:length]


_NUMBERS: dict[str, tuple[Callable[[Moment], int], tuple[int, ...]]] = {
    "y": (lambda moment: moment.year, (1, 4, 6)),
    "M": (lambda moment: moment.month, (1, 2)),
    "L": (lambda moment: moment.month, (1, 2)),
    "d": (lambda moment: moment.day, (1, 2)),
    "o": (_day_of_year, (1, 3)),
    "q": (_quarter, (1, 2)),
    "h": (_hour12, (1, 2)),
    "H": (lambda moment: moment.hour, (1, 2)),
    "m": (lambda moment: moment.minute, (1, 2)),
    "s": (lambda moment: moment.second, (1, 2)),
    "S": (_millisecond, (1, 3)),
    "W": (lambda moment: moment.isocalendar().week, (1, 2)),
    "k": (lambda moment: moment.isocalendar().year, (4,)),
    "n": (lambda moment: _us_week(moment)[1], (1, 2)),
    "i": (lambda moment: _us_week(moment)[0], (4,)),
    "E": (lambda moment: moment.isoweekday(), (1,)),
    "c": (lambda moment: moment.isoweekday(), (1,)),
    "X": (lambda moment: dates.milliseconds(moment) // 1000, (1,)),
    "x": (dates.milliseconds, (1,)),
}
"""Letters that write a number, and how often they may stand in a row: that is the width to which zeros fill it."""

_TOKENS: dict[str, Write] = {
    **{letter * width: _padded(part, width) for letter, (part, widths) in _NUMBERS.items() for width in widths},
    **{letter * 2: _last_two(_NUMBERS[letter][0]) for letter in "yki"},
    **{letter * 3: _month(3) for letter in "ML"},
    **{letter * 4: _month(None) for letter in "ML"},
    **{letter * 5: _month(1) for letter in "ML"},
    **{letter * 3: _weekday(3) for letter in "Ec"},
    **{letter * 4: _weekday(None) for letter in "Ec"},
    **{letter * 5: _weekday(1) for letter in "Ec"},
    "a": lambda moment: "AM" if moment.hour < 12 else "PM",
    "u": _padded(_millisecond, 3),
    "uu": _padded(lambda moment: _millisecond(moment) // 10, 2),
    "uuu": _padded(lambda moment: _millisecond(moment) // 100, 1),
    "Z": _narrow_offset,
    "ZZ": lambda moment: dates.offset_text(dates.offset_minutes(moment)),
    "ZZZ": lambda moment: dates.offset_text(dates.offset_minutes(moment)).replace(":", ""),
    "ZZZZ": _short_zone,
    "ZZZZZ": _long_zone,
    "z": _zone_name,
    "G": lambda moment: "AD",
    "GG": lambda moment: "Anno Domini",
    "GGGGG": lambda moment: "A",
}
