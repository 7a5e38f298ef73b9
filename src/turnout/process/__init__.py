"""Processing: what happens to an event between the collector and its destinations (`processing.md`).

In: `Received` records from the stream `accepted`. Out: exactly one `Processed` for each, in the same order,
in the stream `processed`. Promise: no event is lost, skipped or repeated, whatever a step does.
`chain.py` decides, `check.py` and `catalogue.py` are its first step, `stage.py` does the I/O.
"""
