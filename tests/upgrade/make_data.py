"""Makes the data directory that a release leaves behind, to be committed once per format: `data-1` is format 1.

    python -m tests.upgrade.make_data tests/upgrade/data-1

A real server takes the events below and is stopped cleanly. Two destinations: a file, and a webhook that nobody
answers, so that there are deliveries, waiting events (due a minute later) and dead letters. Run it only for a new
format; never again for an old one, whose data is what that release really wrote.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.server import BACKEND, KEY, Server, until

CONFIG = f"""sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
      hook: {{type: webhook, sources: [backend], event_names: [purchase, refund],
             settings: {{url: "http://127.0.0.1:${{HOOK_PORT}}/in"}}, delivery: {{backoff_s: 60}}}}
      gone: {{type: webhook, sources: [shop], settings: {{url: "http://127.0.0.1:${{HOOK_PORT}}/in"}},
             delivery: {{max_attempts: 1}}}}
"""
NOBODY = "9"
"""The discard port: refuses connections."""
EVENTS = [("shop", "page_view", f"shop-{number}") for number in range(6)] + [
    ("backend", name, f"{name}-{number}") for number in range(3) for name in ("purchase", "login")
]
"""Source, name and id; the same for every format, because the test expects them."""
SEGMENT_BYTES = 3_600


def make(place: Path) -> None:
    """Write the directory."""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        with Server(data, CONFIG, TURNOUT_SEGMENT_BYTES=str(SEGMENT_BYTES), HOOK_PORT=NOBODY) as server:
            for source, name, event_id in EVENTS:
                event = {"event_name": name, "context": {"event_id": event_id}, "value": 9.99, "currency": "EUR"}
                key = KEY if source == "shop" else BACKEND
                assert server.post(event, query=f"tc_s=29&token={key}")[0] == 200
            assert server.post(b"no json")[0] == 400
            until(lambda: server.audit()["unprocessed"] == 0, "everything to be processed")
            until(lambda: not any(one["lag"] for one in destinations(server)), "everything to be reached")
        keep(data, place)


def destinations(server: Server) -> list[dict[str, object]]:
    found = server.audit()["destinations"]
    assert isinstance(found, list)
    return found


def keep(data: Path, place: Path) -> None:
    """Copy what an upgrade finds, without the archive: no file of this server's format."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(
        data, place, ignore=shutil.ignore_patterns("run", "out", "*.lock", "*-shm", "*.segment*", "*.working.yaml")
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
