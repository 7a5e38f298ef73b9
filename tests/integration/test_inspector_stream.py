"""The live stream of records: nothing twice, nothing missing, whoever comes and goes; and it ends when it has to."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from tests.support.api import at, call, items, token_for
from tests.support.server import CONFIG, Server, until
from turnout.control.access.desk import opened
from turnout.model.clock import now_ms

ALL = CONFIG.replace('"29":\n', '"29":\n    inspector: {sampling: all}\n')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("stream") / "data", ALL) as running:
        yield running


class Listener:
    """A client that reads a stream line by line."""

    def __init__(self, server: Server, token: str, query: str = "", last: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.control_port, timeout=60)
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
        self._connection.request("GET", f"/v2/29/inspector/stream?{query}", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        assert self._response.headers["Content-Type"].startswith("text/event-stream")
        assert self._response.readline() == b"retry: 2000\n"
        self.last = last

    def events(self, count: int) -> list[str]:
        """The event ids of the next so many records."""
        found: list[str] = []
        while len(found) < count:
            line = self._response.readline()
            assert line, "the stream has ended"
            if line.startswith(b"id: "):
                self.last = line[4:].strip().decode()
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:])["attributes"]["event_id"])
        return found

    def document(self) -> dict[str, object]:
        """The next message of a live view."""
        while not (line := self._response.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
            if line.startswith(b"id: "):
                self.last = line[4:].strip().decode()
        found: dict[str, object] = json.loads(line[6:])
        return found

    def ended(self) -> bool:
        """Read to the end."""
        while self._response.readline():
            pass
        self.close()
        return True

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def send(server: Server, *ids: str, name: str = "login") -> None:
    batch = [{"event_name": name, "user": {"id": "42", "email": "a@b.c"}, "context": {"event_id": one}} for one in ids]
    assert server.post({"batch": batch}, path="/events/batch")[0] == 200


def test_a_stream_begins_now_and_goes_on_where_a_broken_one_ended(server: Server) -> None:
    token = token_for(server, "viewer", "29")
    send(server, "before")
    path = "/v2/29/inspector/incoming?filter[event_id]=before"
    until(lambda: call(server, "GET", path, token).json["data"], "the first record")
    first = Listener(server, token)
    send(server, "a-1", "a-2", "a-3")
    assert first.events(2) == ["a-1", "a-2"]
    first.close()
    send(server, "a-4")
    again = Listener(server, token, last=first.last)
    assert again.events(2) == ["a-3", "a-4"]
    send(server, "a-5")
    assert again.events(1) == ["a-5"]
    again.close()


def test_a_stream_takes_the_filters_of_the_lists(server: Server) -> None:
    token = token_for(server, "admin", "29")
    one = Listener(server, token, "filter[event_name]=purchase&filter[property][user.id]=42&fields=full")
    out = Listener(server, token, "direction=outgoing&filter[event_id]=f-2,f-4")
    send(server, "f-1")
    send(server, "f-2", name="purchase")
    send(server, "f-3")
    send(server, "f-4", name="purchase")
    assert one.events(2) == ["f-2", "f-4"]
    assert out.events(2) == ["f-2", "f-4"]
    one.close()
    out.close()


def test_a_live_view_gets_few_messages_however_many_events_come_and_is_told_what_it_missed(server: Server) -> None:
    token = token_for(server, "viewer", "29")
    ids = [f"v-{i}" for i in range(2_000)]
    listener = Listener(server, token, "batch=20&filter[event_name]=view")
    seen: list[str] = []
    left_out = 0
    for start in range(0, len(ids), 100):
        send(server, *ids[start : start + 100], name="view")
        if start == 1_000:
            message = listener.document()
            shown = [str(at(one, "attributes", "event_id")) for one in items(message["data"])]
            seen += shown
            left_out += int(str(at(message, "meta", "left_out")))
            listener.close()
            listener = Listener(server, token, "batch=20&filter[event_name]=view", listener.last)
    while len(seen) + left_out < len(ids):
        message = listener.document()
        shown = [str(at(one, "attributes", "event_id")) for one in items(message["data"])]
        assert 0 < len(shown) <= 20
        places = [ids.index(one) for one in shown]
        assert places == list(range(places[0], places[0] + len(places)))
        seen += shown
        left_out += int(str(at(message, "meta", "left_out")))
    assert len(seen) + left_out == len(ids)
    assert len(set(seen)) == len(seen)
    assert seen[-1] == ids[-1]
    outgoing = Listener(server, token, "batch=1&direction=outgoing", "out_0000000000000000")
    message = outgoing.document()
    assert len(items(message["data"])) == 1
    assert at(message, "meta", "left_out") != 0
    outgoing.close()
    listener.close()


def test_many_come_and_go_and_each_gets_every_event_once(server: Server) -> None:
    token = token_for(server, "viewer", "29")
    ids = [f"m-{i}" for i in range(300)]
    got: list[list[str]] = [[] for _ in range(3)]

    def listen(place: int, first: Listener) -> None:
        listener = first
        while len(got[place]) < len(ids):
            got[place] += listener.events(min(29 + place, len(ids) - len(got[place])))
            listener.close()
            listener = Listener(server, token, "filter[event_name]=many", listener.last)
        listener.close()

    firsts = [Listener(server, token, "filter[event_name]=many") for _ in got]
    threads = [threading.Thread(target=listen, args=(place, first)) for place, first in enumerate(firsts)]
    for thread in threads:
        thread.start()
    for start in range(0, len(ids), 10):
        send(server, *ids[start : start + 10], name="many")
    for thread in threads:
        thread.join(60)
    assert got == [ids] * 3


def test_who_does_not_read_disturbs_nobody_and_is_given_everything_when_it_does(server: Server) -> None:
    token = token_for(server, "viewer", "29")
    lazy = Listener(server, token, "fields=full")
    quick = Listener(server, token, "filter[event_name]=big")
    big = {"event_name": "big", "text": "x" * 30_000}
    for i in range(200):
        server.post({**big, "context": {"event_id": f"big-{i}"}})
    assert quick.events(200) == [f"big-{i}" for i in range(200)]
    assert lazy.events(200)[-1] == "big-199"
    lazy.close()
    quick.close()


@pytest.mark.parametrize(
    ("query", "last", "status", "code"),
    [
        ("direction=sideways", "", 400, "INVALID_PARAMETER"),
        ("filter[destination]=1", "", 400, "INVALID_PARAMETER"),
        ("", "nonsense", 400, "INVALID_PARAMETER"),
        ("direction=outgoing", "in_0000000000000001", 400, "INVALID_PARAMETER"),
        ("filter[property][user.email]=a@b.c", "", 403, "MISSING_SCOPE"),
    ],
)
def test_what_can_not_be_streamed_is_told(server: Server, query: str, last: str, status: int, code: str) -> None:
    token = token_for(server, "viewer", "29")
    headers = {"Last-Event-ID": last} if last else {}
    reply = call(server, "GET", f"/v2/29/inspector/stream?{query}", token, headers=headers)
    assert (reply.status, reply.codes) == (status, [code])


def test_a_stream_ends_with_its_token(server: Server) -> None:
    token = token_for(server, "viewer", "29")
    one = Listener(server, token)
    with opened(server.data, "cli") as desk:
        me = call(server, "GET", "/v2/me", token).json["data"]
        assert isinstance(me, dict)
        desk.revoke(str(me["id"]), now_ms())
    assert one.ended()


def test_a_server_that_stops_ends_its_streams(server: Server) -> None:
    one = Listener(server, token_for(server, "viewer", "29"))
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert one.ended()
    stopping.join(60)
    assert not stopping.is_alive()
    assert "Traceback" not in server.errors
