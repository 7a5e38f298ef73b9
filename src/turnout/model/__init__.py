"""The words everyone speaks: events, outcomes, configuration, errors, time.

In: nothing. Out: small frozen types. Promise: imports nothing else of turnout, does no I/O.
"""
