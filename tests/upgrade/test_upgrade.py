"""A data directory that an earlier release left opens: every record, trace, sum and owed delivery is there.

`data-N` is what the release with format N wrote (`make_data.py`); it is never made again.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.server import BACKEND, Server, until
from tests.upgrade.make_data import EVENTS
from turnout.app import GROUPS
from turnout.log.sqlite import SqliteLog
from turnout.model.event import ACCEPTED, PROCESSED, decode_processed, decode_received
from turnout.receipts.audit import audit
from turnout.receipts.store import Store
from turnout.receipts.trace import trace
from turnout.testing.log_suite import drain

RELEASES = sorted(Path(__file__).parent.glob("data-*"))
IDS = [event_id for _, _, event_id in EVENTS]


@pytest.fixture(params=RELEASES, ids=lambda place: place.name)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "data"))


@pytest.fixture
def log(data: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(data / "log", GROUPS, reserve_bytes=0)
    yield log
    assert log.damage() == []
    log.close()


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    store = Store(data / "state.db")
    yield store
    store.close()


def test_there_is_old_data() -> None:
    assert [place.name for place in RELEASES][:1] == ["data-1"]


def test_every_record_is_read(log: SqliteLog) -> None:
    received = [decode_received(data) for data in drain(log.subscribe(ACCEPTED, None))]
    processed = [decode_processed(data) for data in drain(log.subscribe(PROCESSED, None))]
    assert [one.event_id for one in received if one.status == "valid"] == IDS
    assert [one.event_id for one in processed] == [one.event_id for one in received]
    assert [one.reasons[0].code for one in received if one.status == "rejected"] == ["invalid_json"]
    assert log.subscribe(ACCEPTED, "process").lag() == 0


def test_the_write_end_goes_on_behind_the_last_record(log: SqliteLog) -> None:
    end = log.end(ACCEPTED)
    assert log.append(ACCEPTED, [b"next"]) >= end
    assert drain(log.subscribe(ACCEPTED, None))[-1] == b"next"


def test_the_sums_close(log: SqliteLog, store: Store) -> None:
    report = audit(log, store)
    assert report.closes
    outcomes = {one.destination: one.outcomes for one in report.destinations}
    names = Counter((source, name) for source, name, _ in EVENTS)
    assert outcomes["29/archive"] == {"delivered": len(EVENTS)}
    assert outcomes["29/hook"] == {"pending": names["backend", "purchase"], "filtered": names["backend", "login"]}
    assert outcomes["29/gone"] == {"error": names["shop", "page_view"]}


def test_events_can_be_traced(log: SqliteLog, store: Store) -> None:
    found = {event_id: trace(log, store, event_id) for event_id in IDS}
    assert all(len(traces) == 1 for traces in found.values())
    fates = {fate.destination: fate for fate in found["purchase-0"][0].destinations}
    assert fates["29/archive"].outcome == "delivered"
    assert fates["29/hook"].outcome == "pending"
    assert fates["29/hook"].attempts >= 1


def test_a_server_goes_on_with_it(data: Path) -> None:
    """What waited is delivered, what died can be replayed, and new events follow."""
    received: list[str] = []

    class Partner(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append(event["context"]["event_id"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Partner) as partner:
        thread = Thread(target=partner.serve_forever)
        thread.start()
        config = (data / "config.yaml").read_text()
        settings = {"HOOK_PORT": str(partner.server_port), "TURNOUT_REPLAY_DAYS": "36500"}
        try:
            with Server(data, config, **settings) as server:
                new = {"event_name": "purchase", "context": {"event_id": "new"}, "value": 1, "currency": "EUR"}
                assert server.post(new, query=f"tc_s=29&token={BACKEND}")[0] == 200
                assert server.run("dead", "replay", "--destination", "29/gone").returncode == 0
                expected = {"new", *(one for one in IDS if one.startswith(("purchase", "shop")))}
                until(lambda: set(received) == expected, "every event that was owed")
                until(lambda: server.trace("purchase-0")[0]["destinations"], "the trace")
                assert server.audit()["closes"]
                assert len(server.trace("shop-0")) == 1
        finally:
            partner.shutdown()
            thread.join()
