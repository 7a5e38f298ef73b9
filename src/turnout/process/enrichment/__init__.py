"""Stores of what events said before, and what later events get from them (`processing.md` §6).

In: an event, the stores. Out: the event with more in it, and why not. Promise: a store that can't be used costs
events their enrichment, never their way.
"""
