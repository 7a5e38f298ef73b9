"""Processing: what happens to an event between the collector and its destinations (`processing.md`).

In: `Received` records from the stream `accepted`. Out: exactly one `Processed` for each, in the same order,
in the stream `processed`, each followed by those of the events derived from it. Promise: no event is lost,
skipped or repeated, whatever a step does. `build.py` makes the chain of a configuration from `steps/`,
`chain.py` runs it, `stage.py` does the I/O.
"""
