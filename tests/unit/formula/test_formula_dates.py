"""Dates: what is read, calendar arithmetic, every token in both directions (`formulas.md` §6.5, §8)."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest

from tests.support.formulas import NOW_MS, value_of
from turnout.formula import dates
from turnout.formula.dateformat import formatter
from turnout.formula.dateparse import reader

NEW_YORK, PARIS = ZoneInfo("America/New_York"), ZoneInfo("Europe/Paris")
MOMENT = dates.at(1_407_344_824_054, NEW_YORK)
"""2014-08-06T13:07:04.054 in New York, the moment of the specification's table."""

TOKENS = """
y 2014|yy 14|yyyy 2014|yyyyyy 002014|M 8|MM 08|MMM Aug|MMMM August|MMMMM A|L 8|LL 08|LLL Aug|LLLL August|LLLLL A
d 6|dd 06|o 218|ooo 218|q 3|qq 03|h 1|hh 01|H 13|HH 13|a PM|m 7|mm 07|s 4|ss 04|S 54|SSS 054|u 054|uu 05|uuu 0
W 32|WW 32|kk 14|kkkk 2014|n 32|nn 32|ii 14|iiii 2014|E 3|EEE Wed|EEEE Wednesday|EEEEE W|c 3|ccc Wed|cccc Wednesday
ccccc W|Z -4|ZZ -04:00|ZZZ -0400|ZZZZ EDT|ZZZZZ Eastern Daylight Time|z America/New_York|X 1407344824|x 1407344824054
D 8/6/2014|DD Aug 6, 2014|DDD August 6, 2014|DDDD Wednesday, August 6, 2014|t 1:07 PM|tt 1:07:04 PM
ttt 1:07:04 PM EDT|tttt 1:07:04 PM Eastern Daylight Time|T 13:07|TT 13:07:04|TTT 13:07:04 EDT
TTTT 13:07:04 Eastern Daylight Time|f 8/6/2014, 1:07 PM|ff Aug 6, 2014, 1:07 PM|fff August 6, 2014 at 1:07 PM EDT
ffff Wednesday, August 6, 2014 at 1:07 PM Eastern Daylight Time|F 8/6/2014, 1:07:04 PM|FF Aug 6, 2014, 1:07:04 PM
FFF August 6, 2014 at 1:07:04 PM EDT|FFFF Wednesday, August 6, 2014 at 1:07:04 PM Eastern Daylight Time
G AD|GG Anno Domini|GGGGG A
"""


@pytest.mark.parametrize("row", TOKENS.strip().replace("\n", "|").split("|"))
def test_a_token_writes(row: str) -> None:
    token, expected = row.split(" ", 1)
    assert MOMENT is not None
    assert formatter(token)(MOMENT) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("yyyy'T'HH", "2014T13"),
        ("h 'o''clock' a", "1 oclock PM"),
        ("yyyy-MM-dd, b B QQ MMMMMM", "2014-08-06, b B QQ MMMMMM"),
        ("''yy''", "'14'"),
        ("'open", "open"),
        ("", ""),
    ],
)
def test_what_is_no_token_stands_for_itself(pattern: str, expected: str) -> None:
    assert MOMENT is not None
    assert formatter(pattern)(MOMENT) == expected


@pytest.mark.parametrize(
    ("milliseconds", "zone", "pattern", "expected"),
    [
        (1_704_067_199_999, UTC, "kkkk-WW E ii-nn z ZZZZ ZZZZZ Z ZZ", "2023-52 7 24-01 UTC UTC UTC +0 +00:00"),
        (1_388_361_600_000, UTC, "kkkk WW iiii nn", "2014 01 2014 01"),
        (1_704_067_199_999, PARIS, "ZZZZ|ZZZZZ|z|Z", "GMT+1|Central European Standard Time|Europe/Paris|+1"),
        (0, ZoneInfo("Asia/Kolkata"), "ZZZZ|ZZZZZ|Z", "GMT+5:30|India Standard Time|+5:30"),
        (0, ZoneInfo("America/Sao_Paulo"), "ZZZZ|ZZZZZ", "GMT-3|GMT-03:00"),
        (0, dates.offset_zone("-03:30"), "z|ZZZZ|ZZZ", "UTC-3:30|UTC-3:30|-0330"),
        (0, UTC, "h hh H a", "12 12 0 AM"),
    ],
)
def test_weeks_and_zones_are_written_as_english_does(
    milliseconds: int, zone: tzinfo, pattern: str, expected: str
) -> None:
    moment = dates.at(milliseconds, zone)
    assert moment is not None
    assert formatter(pattern)(moment) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("d/M/yy", "5/1/61", "1961-01-05T00:00:00.000Z"),
        ("d/M/yy", "5/1/60", "2060-01-05T00:00:00.000Z"),
        ("h:mm a", "1:07 pm", "2025-06-15T13:07:00.000Z"),
        ("h:mm a", "12:07 AM", "2025-06-15T00:07:00.000Z"),
        ("HH a", "13 PM", None),
        ("mm", "12", "2025-06-15T10:12:00.000Z"),
        ("MMM d, yyyy", "aug 6, 2014", "2014-08-06T00:00:00.000Z"),
        ("MMMM d yyyy", "August 6 2014", "2014-08-06T00:00:00.000Z"),
        ("EEE, d MMM yyyy", "Wed, 6 Aug 2014", "2014-08-06T00:00:00.000Z"),
        ("EEE, d MMM yyyy", "Tue, 6 Aug 2014", None),
        ("EEEE", "Monday", "2025-06-09T00:00:00.000Z"),
        ("yyyy-MM-dd HH:mm ZZ", "2014-08-06 10:00 +05:30", "2014-08-06T10:00:00.000+05:30"),
        ("yyyy-MM-dd HH:mm Z", "2014-08-06 10:00 -5", "2014-08-06T10:00:00.000-05:00"),
        ("yyyy-MM-dd HH:mm ZZZ", "2014-08-06 10:00 +0530", "2014-08-06T10:00:00.000+05:30"),
        ("yyyy-MM-dd HH:mm z", "2014-08-06 10:00 America/New_York", "2014-08-06T10:00:00.000-04:00"),
        ("yyyy-MM-dd HH:mm z", "2014-08-06 10:00 ../../etc/passwd", None),
        ("yyyy ZZ", "2014 +25:00", None),
        ("kkkk-'W'WW-E", "2014-W32-3", "2014-08-06T00:00:00.000Z"),
        ("kkkk", "2014", "2013-12-30T00:00:00.000Z"),
        ("yyyy-ooo", "2014-218", "2014-08-06T00:00:00.000Z"),
        ("yyyy-ooo", "2014-366", None),
        ("yyyy q", "2014 3", "2014-07-01T00:00:00.000Z"),
        ("HH:mm:ss.SSS", "01:02:03.004", "2025-06-15T01:02:03.004Z"),
        ("HH:mm:ss.u", "01:02:03.5", "2025-06-15T01:02:03.500Z"),
        ("yyyy HH:mm", "2014 24:00", "2014-01-02T00:00:00.000Z"),
        ("yyyy HH:mm", "2014 24:01", None),
        ("x", "1407344824054", "2014-08-06T17:07:04.054Z"),
        ("X", "1407344824", "2014-08-06T17:07:04.000Z"),
        ("'at' yyyy", "at 2014", "2014-01-01T00:00:00.000Z"),
        ("yyyy yyyy", "2014 2015", None),
        ("yyyy-MM-dd", "2023-02-30", None),
        ("yyyy-MM-dd", "2023-05-23 ", None),
        ("yyyy-MM-dd", "２０２３-05-23", None),
        ("yyyy (.*)", "2014 (.*)", "2014-01-01T00:00:00.000Z"),
        ("dM" * 60, "1" * 120, "2025-01-01T00:00:00.000Z"),
    ],
)
def test_a_format_reads(pattern: str, text: str, expected: str | None) -> None:
    moment = reader(pattern).read(text, NOW_MS, UTC)
    assert (dates.iso(moment) if moment else None) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-11-05", "2024-11-05T00:00:00.000+01:00"),
        ("2024-11-05T10:00", "2024-11-05T10:00:00.000+01:00"),
        ("2024-11-05T10:00:01.5Z", "2024-11-05T10:00:01.500Z"),
        ("2024-11-05T10:00:01.123456789+0530", "2024-11-05T10:00:01.123+05:30"),
        ("2024-11-05T10:00-03", "2024-11-05T10:00:00.000-03:00"),
        ("2024-12-31T24:00Z", "2025-01-01T00:00:00.000Z"),
        ("2024-03-31T02:30", "2024-03-31T03:30:00.000+02:00"),
        (1_718_447_400_000, "2024-06-15T12:30:00.000+02:00"),
        ("1718447400000", "2024-06-15T12:30:00.000+02:00"),
        (-1.5, "1970-01-01T00:59:59.999+01:00"),
        *((one, None) for one in ["2024-13-01", "2024-02-30", "2024-11-05 10:00", "05/11/2024", "", "now", True, None]),
        *((one, None) for one in [[], {}, 1e300, -(10**17), "9" * 17, "2024-11-05T25:00", "0000-01-01"]),
    ],
)
def test_a_date_is_iso_text_or_milliseconds(value: object, expected: str | None) -> None:
    moment = dates.read(value, PARIS)
    assert (dates.iso(moment) if moment else None) == expected


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ('DATEADD("2024-01-31", 1, "month")', "2024-02-29T00:00:00.000+01:00"),
        ('DATEADD("2024-02-29", 1, "Years")', "2025-02-28T00:00:00.000+01:00"),
        ('DATESUB("2024-01-15", 13, "months")', "2022-12-15T00:00:00.000+01:00"),
        ('DATEADD("2024-03-30T12:00", 1, "days")', "2024-03-31T12:00:00.000+02:00"),
        ('DATEADD("2024-03-30T12:00", 24, "hours")', "2024-03-31T13:00:00.000+02:00"),
        ('DATEADD("2024-03-30T02:30", 1, "days")', "2024-03-31T03:30:00.000+02:00"),
        ('DATEADD("2024-10-26T02:30", 1.9, "days")', "2024-10-27T02:30:00.000+02:00"),
        ('DATEADD("2024-09-27T02:30", 1, "months")', "2024-10-27T02:30:00.000+02:00"),
        ('DATEADD("2024-10-27T00:30:00Z", 1, "hours")', "2024-10-27T01:30:00.000Z"),
        ("DATEADD(1729989000000, 0, \"months\")", "2024-10-27T02:30:00.000+02:00"),
        ("DATEADD(1729992600000, 0, \"months\")", "2024-10-27T02:30:00.000+01:00"),
        ("DATEADD(1729992600000, 0, \"days\")", "2024-10-27T02:30:00.000+01:00"),
        ('DATEADD("2024-01-27T02:30", 9, "months")', "2024-10-27T02:30:00.000+01:00"),
        ('DATESUB("2024-04-30T02:30", 30, "days")', "2024-03-31T03:30:00.000+02:00"),
        ('DATEADD("2024-01-01T00:00:00Z", 1, "weeks")', "2024-01-08T00:00:00.000Z"),
        ('DATEDIFF("2024-03-30T12:00", "2024-03-31T12:00", "days")', 1),
        ('DATEDIFF("2024-03-30T12:00", "2024-03-31T12:00", "hours")', 23),
        ('DATEDIFF("2024-01-31", "2024-02-29", "months")', 1),
        ('DATEDIFF("2024-01-31", "2024-02-28", "months")', 0),
        ('DATEDIFF("2024-02-28", "2024-01-31", "months")', 0),
        ('DATEDIFF("2025-03-01", "2024-02-29", "years")', -1),
        ('DATEDIFF("2024-01-01", "2024-01-14", "weeks")', 1),
        ('DATEDIFF("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+02:00", "minutes")', -120),
        ('AGE("2026-06-15")', 0),
        ("AGE(user.birthdate)", 35),
        ("TODAY()", "2025-06-15T12:30:00.000+02:00"),
        ('HOUR("2024-06-15T10:00:00Z")', 10),
        ("HOUR(ts)", 12),
        ('TIMEZONE("2024-06-15")', "UTC+2"),
    ],
)  # fmt: skip
def test_the_calendar_is_that_of_the_dates_own_zone(formula: str, expected: object) -> None:
    assert value_of(formula, zone=PARIS) == expected


@pytest.mark.parametrize("count", [-(10**30), -(10**12), 10**12, 10**30])
@pytest.mark.parametrize("unit", dates.UNITS)
def test_a_date_beyond_the_calendar_is_none(count: int, unit: str) -> None:
    moment = dates.at(NOW_MS, UTC)
    assert moment is not None
    assert dates.add(moment, count, unit) is None
