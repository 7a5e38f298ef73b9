"""The Python client: sends events of an application to a collector without blocking or breaking the application.

Comes in: `track(...)`, from any thread or coroutine. Goes out: `POST {url}/events/batch`, from one background thread.
Promised: an event that `track` took is sent until the server has answered 200, in order, with one id; what can't
be kept or sent is counted in `dropped`, by reason. With a spool, events survive the death of the application.
Standard library only, and nothing else of turnout. Decide: `events`, `answers`, `queue`. Do I/O: `spool`,
`transport`, `sender`.
"""

from turnout.client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
