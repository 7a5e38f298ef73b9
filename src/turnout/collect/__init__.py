"""Collecting: requests in, one durable record per event out, and the documented answer.

In: HTTP/1.1 from anybody. Out: `Received` records in the stream `accepted`. Promise: a 200 is sent only after the
records it stands for are durable; what is refused leaves a record with its reason. `endpoint.py` and the modules
below it decide and do no I/O; `connection.py` and `server.py` are the shell.
"""
