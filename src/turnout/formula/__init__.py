"""The formula language: text in, a function of an event out. Pure: no I/O, and no clock but the one handed in.

In: the text of a formula, a template or the rows of a simple filter. Out: a `Formula` or `Template`, compiled once
per configuration, that gives a JSON value for each event. A text that cannot work is refused when it is compiled,
with its position and a way out (`FormulaError`). Evaluation never raises, never hangs and never grows past its
bounds: it gives the documented null, and a warning.
"""

from turnout.formula.errors import FormulaError
from turnout.formula.formula import Formula, compile_formula, compile_tree
from turnout.formula.parse import parse
from turnout.formula.printer import text_of
from turnout.formula.rows import Row, condition
from turnout.formula.run import FAILED, Run, Warned
from turnout.formula.template import Template, compile_template

__all__ = [
    "FAILED",
    "Formula",
    "FormulaError",
    "Row",
    "Run",
    "Template",
    "Warned",
    "compile_formula",
    "compile_template",
    "compile_tree",
    "condition",
    "parse",
    "text_of",
]
