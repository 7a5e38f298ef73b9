"""Destinations: one file translates events for one kind of partner.

In: processed events. Out: one `Result` per event. Promise: a file here knows its partner's format and
limits and nothing about queues, retries, cursors or configuration storage. `registry.py` finds the files.
"""
