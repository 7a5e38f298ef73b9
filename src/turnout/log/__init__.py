"""The log: durable, ordered streams of records between the stages.

In: records as bytes. Out: the same records, in order, to as many readers as like to. Promise: once
`append` returns, no crash loses them. `interface.py` says exactly what may be lost, repeated and when.
"""
