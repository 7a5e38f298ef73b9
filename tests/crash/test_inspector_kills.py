"""kill -9 of control while records are written: none is there twice, none is missing; events and sums do not notice."""

import random
import threading
from pathlib import Path

from tests.support.api import at, call, items, token_for
from tests.support.server import BACKEND, Server, kill, until

CONFIG = f"""
sites:
  "29":
    inspector: {{sampling: all}}
    sources:
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
"""
EVENTS, BATCH = 3000, 20


def everything(server: Server, token: str, direction: str) -> list[str]:
    """Event ids of all records, from page to page."""
    found: list[str] = []
    path = f"/v2/29/inspector/{direction}?page[size]=200"
    while path:
        document = call(server, "GET", path, token).json
        found += [str(at(one, "attributes", "event_id")) for one in items(document["data"])]
        links = document["links"]
        assert isinstance(links, dict)
        path = links.get("next", "")
    return found


def test_every_event_has_one_record_whenever_control_is_killed(tmp_path: Path) -> None:
    random.seed(7)
    with Server(tmp_path / "data", CONFIG) as server:
        token = token_for(server, "admin", "29")
        ids = [f"k-{i:05d}" for i in range(EVENTS)]
        sent = threading.Event()

        def send() -> None:
            for start in range(0, EVENTS, BATCH):
                batch = [
                    {"event_name": f"n-{one[-1]}", "context": {"event_id": one}} for one in ids[start : start + BATCH]
                ]
                assert server.post({"batch": batch}, path="/events/batch")[0] == 200
                sent.wait(0.02)
            sent.set()

        sending = threading.Thread(target=send)
        sending.start()
        kills = 0
        while not sent.is_set() or kills < 3:
            until(lambda: server.pid("control"), "control to run again")
            pid = server.pid("control")
            assert pid is not None
            sent.wait(random.random())
            kill(pid)
            kills += 1
            until(lambda pid=pid: server.pid("control") not in (None, pid), "another control process")  # type: ignore[misc]
        sending.join()
        until(server.ready, "control to answer")
        for direction in ("incoming", "outgoing"):
            until(lambda direction=direction: len(everything(server, token, direction)) >= EVENTS, f"all {direction}")  # type: ignore[misc]
            assert sorted(everything(server, token, direction)) == ids, f"{direction}, after {kills} kills"
        assert server.run("audit").returncode == 0
