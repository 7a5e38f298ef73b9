"""Delivering: processed events in, one outcome per event and destination out.

In: stream `processed`, a cursor per destination. Out: attempts at partners, steps in the receipts. Promise: one
destination that is down, slow or wrong delays no other; what can't be delivered now is tried again, and what is
given up is kept as a dead letter. `retry.py` and `breaker.py` decide; the rest is the shell.
"""
