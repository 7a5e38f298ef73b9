"""What events must look like: the standard events, what a site adds to them, and their other writings.

In: the catalogue and a site's `Specification`. Out: for each event name a tree of shapes, which the process stage
compiles into checks; JSON Schema; a specification inferred from events. Promise: no I/O.
"""
