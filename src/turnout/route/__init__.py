"""Routing: which destination wants which processed event.

In: a destination's configuration and a processed record. Out: a code, or "send it". Promise: pure functions,
no I/O, the same answer every time.
"""
