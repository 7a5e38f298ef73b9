"""turnout collects tracking events over HTTP, keeps them safe and routes them to destinations.

A 200 means: the event is on disk and will end in exactly one recorded outcome per destination.
Start reading at `model/`, then `app/worker.py`, then `log/interface.py`.
"""

__version__ = "0.1.0"
