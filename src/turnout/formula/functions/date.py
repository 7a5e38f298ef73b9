"""Dates (`formulas.md` §6.5): the clock, calendar arithmetic, parts, and formats by token."""

from collections.abc import Callable, Sequence

from turnout.formula import dates
from turnout.formula.code import Built, Code
from turnout.formula.dateformat import formatter
from turnout.formula.dateparse import reader
from turnout.formula.dates import Moment
from turnout.formula.functions.registry import Function, Parameter, strict
from turnout.formula.kinds import DATE, INTEGER, TEXT, UNIT, shown
from turnout.formula.run import Run

_FORMAT_CHARACTERS = 256


def _clock(read: Callable[[Run], object]) -> Callable[[Sequence[Code]], Built]:
    return lambda arguments: Built(lambda to: to.let(to.call(read, "run")))


def _today(run: Run) -> str | None:
    now = dates.at(run.now_ms, run.zone)
    return dates.iso(now) if now else None


def _parse(run: Run, text: str, pattern: str) -> str | None:
    if not _fits(run, pattern):
        return None
    moment = reader(pattern).read(text, run.now_ms, run.zone)
    if moment is None:
        run.warn("not_a_date", f"{shown(text)} is not a date in the format {shown(pattern)}")
        return None
    return dates.iso(moment)


def _format(run: Run, moment: Moment, pattern: str) -> str | None:
    return run.bounded(formatter(pattern)(moment)) if _fits(run, pattern) else None


def _fits(run: Run, pattern: str) -> bool:
    if len(pattern) > _FORMAT_CHARACTERS:
        run.warn("format_too_long", f"a date format has {_FORMAT_CHARACTERS} characters at most")
    return len(pattern) <= _FORMAT_CHARACTERS


def _add(run: Run, moment: Moment, count: int, unit: str) -> str | None:
    later = dates.add(moment, count, unit)
    if later is None:
        run.warn("date_out_of_range", "a date beyond the years 1 to 9999")
        return None
    return dates.iso(later)


def _subtract(run: Run, moment: Moment, count: int, unit: str) -> str | None:
    return _add(run, moment, -count, unit)


def _difference(run: Run, first: Moment, second: Moment, unit: str) -> int:
    return dates.difference(first, second, unit)


def _age(run: Run, moment: Moment, unit: str | None = None) -> int | None:
    now = dates.at(run.now_ms, run.zone)
    return dates.difference(moment, now, unit or "years") if now else None


def _part(name: str, doc: str, example: tuple[str, str]) -> Function:
    read = dates.PARTS[name]
    return strict(name, lambda run, moment: read(moment), [_DATE], "number", doc, example, pure=False)


_DATE = Parameter("date", DATE)
_COUNT, _UNIT, _FORMAT = Parameter("count", INTEGER), Parameter("unit", UNIT), Parameter("format", TEXT)
_SAMPLE = '"2023-01-20T00:05:30.000+01:00"'

FUNCTIONS: tuple[Function, ...] = (
    Function(
        "TIMESTAMP", (), "number", "The current time in milliseconds since 1970.",
        (("TIMESTAMP()", "1749983400000"),), _clock(lambda run: run.now_ms), pure=False,
    ),
    Function(
        "TODAY", (), "date", "The current date and time.",
        (("TODAY()", '"2025-06-15T10:30:00.000Z"'),), _clock(_today), pure=False,
    ),
    strict(
        "DATEPARSE", _parse, [Parameter("text", TEXT), _FORMAT], "date",
        "Reads a date written in this format; in the site's time zone unless the text says another.",
        ('DATEPARSE("05/11/2024 18:30", "dd/MM/yyyy HH:mm")', '"2024-11-05T18:30:00.000Z"'), pure=False,
    ),
    strict(
        "DATEFORMAT", _format, [_DATE, _FORMAT], "text", "Writes a date in this format.",
        ('DATEFORMAT(ts, "yyyy-MM-dd")', '"2024-06-15"'), pure=False,
    ),
    strict(
        "DATEADD", _add, [_DATE, _COUNT, _UNIT], "date",
        "That many years, months, weeks, days, hours, minutes or seconds later.",
        ('DATEADD("2023-01-23T00:05:00.000+01:00", 3, "days")', '"2023-01-26T00:05:00.000+01:00"'), pure=False,
    ),
    strict(
        "DATESUB", _subtract, [_DATE, _COUNT, _UNIT], "date", "That many units earlier.",
        ('DATESUB("2024-03-31T10:00:00.000Z", 1, "months")', '"2024-02-29T10:00:00.000Z"'), pure=False,
    ),
    strict(
        "DATEDIFF", _difference, [Parameter("date1", DATE), Parameter("date2", DATE), _UNIT], "number",
        "Whole units from the first date to the second; negative if the second is earlier.",
        ('DATEDIFF("2023-01-20", "2023-01-23", "days")', "3"), pure=False,
    ),
    strict(
        "AGE", _age, [_DATE, Parameter("unit", UNIT, True)], "number",
        "Whole units from the date until now; years if no unit is given.",
        ("AGE(user.birthdate)", "35"), pure=False,
    ),
    _part("YEAR", "The year of a date.", (f"YEAR({_SAMPLE})", "2023")),
    _part("MONTH", "The month, 1 to 12.", (f"MONTH({_SAMPLE})", "1")),
    _part("DAY", "The day of the month.", (f"DAY({_SAMPLE})", "20")),
    _part("HOUR", "The hour, 0 to 23, by the clock where the date was written.", (f"HOUR({_SAMPLE})", "0")),
    _part("MINUTES", "The minute.", (f"MINUTES({_SAMPLE})", "5")),
    _part("SECONDS", "The second.", (f"SECONDS({_SAMPLE})", "30")),
    strict(
        "TIMEZONE", lambda run, moment: dates.zone_text(moment), [_DATE], "text",
        "The offset of a date from UTC.", (f"TIMEZONE({_SAMPLE})", '"UTC+1"'), pure=False,
    ),
)  # fmt: skip
