"""Coverage-guided fuzzing of what reads bytes from strangers: `make fuzz SECONDS=600`.

`targets.py` says what may be fed and what must hold; the tests run every target on its seeds, atheris on what it finds.
"""
