"""Routing: which destination wants which processed event.

In: a destination's configuration and a processed record; its content only if `plan.py` leaves it to `gate.py`, which
knows consent and filter. Out: a code, or "send it". Promise: no I/O, the same answer every time, and what can't be
judged is not sent.
"""
