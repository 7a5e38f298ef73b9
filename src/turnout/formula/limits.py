"""The bounds of the language (`formulas.md` §11). What exceeds one fails; nothing is cut off silently."""

TEXT_CHARACTERS = 10_000
"""A formula or template as written."""
NESTING = 64
"""Operations inside operations; chains such as `a + b + c` and parentheses add none."""
LITERAL_ENTRIES = 1_000
"""Entries of an array or object literal."""
ELEMENTS = 10_000
"""Elements that `FOR_EACH` and the aggregates go through."""
RESULT_BYTES = 32_768
"""The result as JSON, and any text on the way to it."""
PATTERN_CHARACTERS = 1_000
PATTERN_PROGRAM = 5_000
"""Instructions of a compiled pattern: the time of a search grows with them too."""
WORK = 250_000
"""Units of work that one evaluation may cost: a node evaluated in a loop is one, and so are 16 characters of a long
text. On the slowest machine we run on that is about 100 ms. Counted and not timed, so that a replay agrees with the
first run and a busy machine changes no result."""
