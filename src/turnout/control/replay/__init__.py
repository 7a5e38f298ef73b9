"""Replays (`config-api.md` C6): dead letters are sent again, so many a second, and their fate is followed.

In: what was chosen, as items in `control.db`. Out: entries of the retry ledger. Promise: an item is moved at most once,
whatever crashes; what becomes of it is what the receipts say.
"""
