"""Every function of the language, in one table: `FUNCTIONS`. One module per section of `formulas.md` §6."""

from turnout.formula.functions import array, convert, date, logic, text
from turnout.formula.functions.registry import Function

FUNCTIONS: dict[str, Function] = {
    function.name: function for module in (text, convert, logic, array, date) for function in module.FUNCTIONS
}
"""By name, in upper case, in the order of the reference page."""
