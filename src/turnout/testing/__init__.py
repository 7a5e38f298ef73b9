"""What helps to test turnout and what is built on it: contract suites and stand-ins.

In: an engine or a destination type. Out: tests. Promise: product code without pytest imports, so that whoever
writes a destination can run the same suite over it.
"""
