"""Mapping: an event in, the event that somebody wants out (`processing.md` §4.3, §8).

In: rows of changes as the configuration has them, compiled once. Out: the changed event. Promise: no I/O, no clock but
the one handed in; a value that cannot be computed costs that value and a warning, never the event. Cleansing changes
events for everybody with it (`changes.py`), a destination its own copy of them (`partner.py`).
"""
