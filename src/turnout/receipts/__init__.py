"""The receipts: what became of every event at every destination.

In: the deliverers' steps. Out: trace, audit, figures, the retry ledger, dead letters. Promise: a destination's cursor,
outcomes, counters, ledger and dead letters change in one transaction, so the sums close after any crash.
"""
