"""Every function of the language, in one table: `FUNCTIONS`. One module per section of `formulas.md` §6."""

from turnout.formula.functions import array, convert, date, logic, text
from turnout.formula.functions.registry import Function

SECTIONS: dict[str, tuple[Function, ...]] = {
    "Text": text.FUNCTIONS,
    "Conversion and hashing": convert.FUNCTIONS,
    "Choosing and looking": logic.FUNCTIONS,
    "Arrays": array.FUNCTIONS,
    "Dates": date.FUNCTIONS,
}
"""As the reference page shows them."""

FUNCTIONS: dict[str, Function] = {one.name: one for functions in SECTIONS.values() for one in functions}
"""By name, in upper case."""
