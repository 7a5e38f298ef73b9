"""Text (`formulas.md` §6.1): cutting, replacing, joining. Positions count from 0."""

from collections.abc import Callable, Sequence

from turnout.formula import limits
from turnout.formula.code import Built, Code
from turnout.formula.functions.registry import Function, Parameter, strict
from turnout.formula.kinds import ANY, INTEGER, PATTERN, TEXT, string
from turnout.formula.matching import searchable
from turnout.formula.operators import among
from turnout.formula.pattern import Pattern
from turnout.formula.run import Run
from turnout.formula.source import Source


def each(function: Callable[[Run, str], object]) -> Callable[[Run, object], object]:
    """A function of one text that goes through the elements of an array; null stays null."""

    def apply(run: Run, value: object) -> object:
        if type(value) is str:
            run.pay_for(value)
            return function(run, value)
        if value is None:
            return None
        if type(value) is list:
            run.spend(2 * len(value))
            return [apply(run, one) for one in value]
        return function(run, string(run, value))

    return apply


def _extract(run: Run, text: str, delimiter: str, position: int) -> str | None:
    if position < 0 or not delimiter:
        return None
    parts = text.split(delimiter, position + 1) if position < len(text) else text.split(delimiter)
    return parts[position] if position < len(parts) else None


def _substitute(run: Run, text: str, search: str, replacement: str) -> str:
    if not search:
        return text
    longer = text.count(search) * (len(replacement) - len(search))
    if len(text) + longer > limits.RESULT_BYTES:
        run.too_long()
    return run.bounded(text.replace(search, replacement))


def _replace(run: Run, text: str, pattern: Pattern, replacement: str) -> str | None:
    if not searchable(run, text, pattern):
        return None
    made = pattern.replace(text, replacement, limits.RESULT_BYTES, run.spend)
    return run.too_long() if made is None else run.bounded(made)


def _select(run: Run, text: str, pattern: Pattern, group: int | None = None) -> str | None:
    return pattern.select(text, group or 0) if searchable(run, text, pattern) else None


def _substring(run: Run, text: str, first: int, last: int | None = None) -> str:
    start = max(0, first + len(text)) if first < 0 else first
    if last is None:
        return text[start:]
    end = last + len(text) if last < 0 else last
    return text[start : end + 1] if end >= start else ""


def _left(run: Run, text: str, count: int) -> str:
    return text[:count] if count > 0 else ""


def _right(run: Run, text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


def _char(run: Run, text: str, position: int) -> str | None:
    return text[position] if 0 <= position < len(text) else None


def _length(run: Run, value: object) -> int | None:
    if type(value) is list:
        run.warn("array_operand", "LENGTH of an array: SIZE counts elements")
        return None
    return len(string(run, value))


def _joined(run: Run, parts: list[object]) -> str:
    return run.bounded("".join([string(run, part) for part in parts]))


def _concat(arguments: Sequence[Code]) -> Built:
    def write(to: Source) -> str:
        return to.let(to.call(_joined, "run", f"[{', '.join([one.write(to) for one in arguments])}]"))

    return Built(write, str)


def _test(name: str, doc: str, example: tuple[str, str]) -> Function:
    def build(arguments: Sequence[Code]) -> Built:
        return among(name, arguments[0], arguments[1:])

    return Function(name, (_TEXT, Parameter("search", TEXT)), "boolean", doc, (example,), build, repeated=1)


def _stripped(text: str) -> str:
    return text.strip(_WHITE)


def text_function(
    name: str, function: Callable[[str], object], parameter: Parameter, doc: str, *examples: tuple[str, str]
) -> Function:
    """A function of one text, or of each text of an array."""
    through = each(lambda run, text: function(text))
    return strict(name, through, [parameter], "text", doc, *examples, quick=function)


_WHITE = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
_TEXT, _ANY = Parameter("text", TEXT), Parameter("text", ANY)
_COUNT, _POSITION = Parameter("count", INTEGER), Parameter("position", INTEGER)
_SEARCH, _REPLACEMENT = Parameter("search", TEXT), Parameter("replacement", TEXT)
_PATTERN = Parameter("pattern", PATTERN)

FUNCTIONS: tuple[Function, ...] = (
    strict(
        "EXTRACT", _extract, [_TEXT, Parameter("delimiter", TEXT), _POSITION], "text",
        "Cuts a text at each delimiter and takes one part; the first is 0.",
        ('EXTRACT("Lyon-FR", "-", 1)', '"FR"'),
    ),
    strict(
        "SUBSTITUTE", _substitute, [_TEXT, _SEARCH, _REPLACEMENT], "text",
        "Replaces every occurrence of a text.", ('SUBSTITUTE("1.234.567", ".", "")', '"1234567"'),
    ),
    strict(
        "REPLACE", _replace, [_TEXT, _PATTERN, _REPLACEMENT], "text",
        "Replaces every match of a pattern; `$1` in the replacement is what the first group matched, `$&` all of it.",
        (r'REPLACE("2024-11-05", "(\d+)-(\d+)-(\d+)", "$3/$2/$1")', '"05/11/2024"'),
    ),
    strict(
        "SELECT", _select, [_TEXT, _PATTERN, Parameter("group", INTEGER, True)], "text",
        "The first match of a pattern, or what a group of it matched.",
        (r'SELECT("ref=AB12;x", "ref=(\w+)", 1)', '"AB12"'),
    ),
    strict(
        "SUBSTRING", _substring, [_TEXT, Parameter("from", INTEGER), Parameter("to", INTEGER, True)], "text",
        "The characters from one position to another, both included; negative ones count from the end.",
        ('SUBSTRING("2024-11-05", 0, 3)', '"2024"'),
    ),
    strict("LEFT", _left, [_TEXT, _COUNT], "text", "The first characters.", ('LEFT("FR75011", 2)', '"FR"')),
    strict("RIGHT", _right, [_TEXT, _COUNT], "text", "The last characters.", ("RIGHT(20241105, 2)", '"05"')),
    strict(
        "CHAR", _char, [_TEXT, _POSITION], "text", "The character at a position; the first is 0.",
        ('CHAR("Hello", 1)', '"e"'),
    ),
    strict(
        "LENGTH", _length, [_ANY], "number", "How many characters a text has.", ("LENGTH(currency)", "3"),
    ),
    text_function(
        "LOWER", str.lower, _ANY, "The text, or each text of an array, in lower case.",
        ('LOWER("ÉCOLE")', '"école"'),
    ),
    text_function(
        "UPPER", str.upper, _ANY, "The text, or each text of an array, in upper case.",
        ('UPPER(["a", null])', '["A",null]'),
    ),
    text_function(
        "TRIM", _stripped, _ANY, "Without the white space at both ends.",
        ("TRIM(user.email)", '"Jane@Example.ORG"'),
    ),
    Function(
        "CONCAT", (Parameter("value"),), "text", "Joins values into one text; null counts as nothing.",
        (('CONCAT(user.id, "-", id)', '"U1-O-77"'),), _concat, repeated=1,
    ),
    _test("CONTAINS", "Whether a text contains another (or one of several).", ('CONTAINS(ship_to, "yon")', "true")),
    _test("STARTSWITH", "Whether a text begins with another.", ('STARTSWITH(ship_to, "Ly")', "true")),
    _test("ENDSWITH", "Whether a text ends with another.", ('ENDSWITH(ship_to, "FR", "BE")', "true")),
)  # fmt: skip
