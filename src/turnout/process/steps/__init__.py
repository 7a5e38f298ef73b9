"""The steps of the chain: one file, one step (`processing.md` §1).

In: a `Draft`. Out: the same, changed in place. Promise: a step does no I/O and asks no clock, so that a replay
comes to the same result.
"""
