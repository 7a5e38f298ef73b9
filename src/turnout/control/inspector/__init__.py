"""The inspector: records of what came in and what went out, kept to be looked at (`config-api.md` C4).

In: the log, and what the worker notes of its attempts. Out: searches over the last days, newest first.
Promise: each event is looked at once, whatever crashes; what is not kept is counted; the files stay within their
budget. The figures are elsewhere and exact: nothing here is needed to deliver an event or to account for it.
"""
