"""Erasing a person (`user-api.md` §9): out of the log, the receipts and the inspector's records.

In: jobs in `control.db`. Out: everywhere only that there was an event, from where, when, and its outcomes; and a
receipt that counts. Promise: a job is done whole however often it is interrupted, sums close as before, and nothing of
the person is left in any file of the data directory but in what destinations wrote.
"""
