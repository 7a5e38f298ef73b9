"""The first day with turnout, from an empty directory: every command, on real output and exit codes."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.server import free_port, until

CONFIG = """
# turnout.yaml
sites:
  "29":
    sources:
      shop:     {type: web,    environment: production, key: 7183b9d4-1031-11ee-be56-0242ac120002}
      backend:  {type: server, environment: production, key: 0c6f1a52-6a0d-4b0a-9d2e-2f6c6a4b9b11}
    destinations:
      archive:  {type: file,    sources: [shop, backend], settings: {path: out/events.ndjson}}
      orders:   {type: webhook, sources: [backend], event_names: [purchase],
                 settings: {url: "http://127.0.0.1:9000/in", headers: {X-Api-Key: "${ORDERS_KEY}"}}}
"""
BACKEND = ("--site", "29", "--key", "0c6f1a52-6a0d-4b0a-9d2e-2f6c6a4b9b11")
PURCHASE = {
    "event_name": "purchase",
    "id": "O-1",
    "type": "online",
    "status": "pending",
    "value": 16.0,
    "revenue": 16.0,
    "currency": "EUR",
    "payment_method": "card",
    "items": [{"id": "S", "quantity": 1, "product": {"id": "P", "name": "Shirt", "price": 16.0}}],
    "user": {"id": "42", "consistent_anonymous_id": "a-1", "consent_categories": ["1"]},
}


class Orders:
    """The receiver of orders: a real HTTP server. It answers `answers` in turn, then 200."""

    def __init__(self) -> None:
        self.received: list[tuple[str | None, object]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.received.append((self.headers["X-Api-Key"], body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Day:
    """A person in an empty directory, with a terminal for the server and one for the commands."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.orders = Orders()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TURNOUT_", "NO_COLOR", "FORCE_COLOR"))
        }
        self.environment |= {
            "TURNOUT_COLLECT": f"127.0.0.1:{free_port()}",
            "TURNOUT_CONTROL": f"127.0.0.1:{free_port()}",
            "ORDERS_KEY": "k-4711",
        }
        (here / "turnout.yaml").write_text(CONFIG.replace("9000", str(self.orders.port)))
        with (here / "stderr").open("wb") as stderr:
            self.serve = subprocess.Popen(
                self._turnout("serve", "--config", "turnout.yaml"), cwd=here, env=self.environment, stderr=stderr
            )
        until(lambda: self.run("status")[0] == 0, "the server to be ready")

    def close(self) -> int:
        """Ctrl-C; gives the server's exit code."""
        self.serve.send_signal(signal.SIGINT)
        code = self.serve.wait(90)
        self.orders.close()
        return code

    def run(self, *arguments: str, stdin: object = None) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `turnout …`."""
        done = subprocess.run(
            self._turnout(*arguments),
            cwd=self.here,
            env=self.environment,
            input="" if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "\x1b" not in done.stdout + done.stderr, "colour is for terminals"
        return done.returncode, done.stdout, done.stderr

    def at_a_terminal(self, *arguments: str) -> str:
        """What `turnout …` prints at a terminal."""
        terminal, inside = os.openpty()
        environment = self.environment | {"TERM": "xterm-256color"}
        command = self._turnout(*arguments)
        with subprocess.Popen(command, cwd=self.here, env=environment, stdout=inside, stderr=inside):
            os.close(inside)
            printed = b""
            try:
                while chunk := os.read(terminal, 65536):
                    printed += chunk
            except OSError:
                # How Linux tells that the other end is closed.
                os.close(terminal)
        return printed.decode()

    def json(self, *arguments: str) -> object:
        """What a command gives to machines."""
        return json.loads(self.run(*arguments, "--json")[1])

    @staticmethod
    def _turnout(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "turnout", *arguments]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    there = Day(tmp_path_factory.mktemp("day"))
    yield there
    there.close()


def purchase(event_id: str) -> dict[str, object]:
    return PURCHASE | {"context": {"event_id": event_id, "event_timestamp": 1764000000000}}


def test_check_says_that_the_example_is_fine(day: Day) -> None:
    code, out, _ = day.run("check", "turnout.yaml")
    assert (code, out) == (0, "turnout.yaml: fine. 1 sites, 2 sources, 2 destinations\n")
    assert day.json("check", "turnout.yaml") == {"problems": [], "warnings": []}


def test_send_follows_an_event_to_its_outcomes(day: Day) -> None:
    (day.here / "purchase.json").write_text(json.dumps(purchase("sent")))
    code, out, _ = day.run("send", "purchase.json", *BACKEND)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "200 {}"
    assert lines[1] == "sent  purchase  from 29/backend"
    assert lines[3:] == [
        "  status     valid",
        "  29/archive           delivered, 1 attempt",
        "  29/orders            delivered, 1 attempt",
    ]
    assert day.orders.received[-1] == ("k-4711", purchase("sent"))
    archived = (day.here / "turnout-data" / "out" / "events.ndjson").read_text().splitlines()
    assert json.loads(archived[-1])["context"]["event_id"] == "sent"


def test_send_takes_standard_input_and_the_first_source_by_default(day: Day) -> None:
    code, out, _ = day.run("send", "-", stdin={"event_name": "login", "user": {"id": "42"}})
    assert code == 0
    assert "from 29/shop" in out
    assert "29/archive           delivered, 1 attempt" in out
    assert "29/orders" not in out


def test_the_same_file_sent_twice_is_followed_twice(day: Day) -> None:
    (day.here / "twice.json").write_text(json.dumps(purchase("twice")))
    assert day.run("send", "twice.json", *BACKEND)[0] == 0
    code, out, _ = day.run("send", "twice.json", *BACKEND)
    assert code == 0
    assert out.count("twice  purchase") == 1
    assert "duplicate_event_id" in out
    traces = day.json("trace", "twice")
    assert isinstance(traces, list)
    assert len(traces) == 2


def test_a_refused_event_is_refused_by_send_seen_by_tail_and_explained_by_trace(day: Day) -> None:
    code, out, _ = day.run("send", "-", "--site", "29", "--key", "wrong", stdin=purchase("refused"))
    assert code == 1
    assert out.startswith("200 {}\n")
    assert "  reason     unknown_source_key: no source has this key" in out

    code, out, _ = day.run("tail", "--last", "1000", "--no-follow", "--rejected")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "refused" in line]
    assert line.split("  ")[1:] == ["29/", "rejected", "purchase", "refused", "unknown_source_key"]

    (found,) = json.loads(day.run("trace", "refused", "--json")[1])
    assert (found["status"], found["destinations"]) == ("rejected", [])
    assert [reason["code"] for reason in found["reasons"]] == ["unknown_source_key"]

    code, out, err = day.run("trace", "never")
    assert (code, out) == (1, "")
    assert "no event 'never': never received, or older than the replay window" in err


def test_colour_is_for_terminals_and_events_cannot_bring_their_own(day: Day) -> None:
    hostile = purchase("hostile") | {"event_name": "\x1b[2Jgone"}
    assert "\\x1b[2Jgone  from 29/backend" in day.run("send", "-", *BACKEND, stdin=hostile)[1]
    printed = day.at_a_terminal("trace", "hostile")
    assert "\x1b[32m" in printed
    assert "\x1b[2J" not in printed


def test_tail_shows_what_comes_in_while_it_runs(day: Day) -> None:
    command = [sys.executable, "-m", "turnout", "tail", "--json", "--source", "shop"]
    with subprocess.Popen(command, cwd=day.here, env=day.environment, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        # Its first look is at the end of the log: send until something is behind that.
        lines: list[str] = []
        stdout = tail.stdout
        reader = threading.Thread(target=lambda: lines.append(stdout.readline()))
        reader.start()

        def came() -> bool:
            day.run("send", "-", *BACKEND, stdin=purchase("other-source"))
            day.run("send", "-", stdin={"event_name": "login", "context": {"event_id": "live"}})
            return bool(lines)

        until(came, "a line of tail", seconds=60)
        reader.join()
        tail.send_signal(signal.SIGINT)
        assert tail.wait(90) == 0
    found = json.loads(lines[0])
    assert (found["event_id"], found["source"], found["status"]) == ("live", "29/shop", "valid")


def test_a_destination_that_fails_is_told_and_its_events_can_be_replayed(day: Day) -> None:
    day.orders.answers = [400, 400]
    for name in ("dead-1", "dead-2"):
        code, out, _ = day.run("send", "-", *BACKEND, stdin=purchase(name))
        assert code == 1
        assert "29/orders            error, 1 attempt: 400_bad_request" in out or "rejected, 1 attempt" in out

    code, out, _ = day.run("dead", "list", "--destination", "orders", "--since", "1h")
    assert code == 0
    assert [line.split("  ")[2] for line in out.splitlines()[:-1]] == ["dead-1", "dead-2"]
    assert out.splitlines()[-1] == "2 dead letters"
    listed = day.json("dead", "list")
    assert isinstance(listed, list)
    assert {(one["destination"], one["event_id"], one["attempts"]) for one in listed} == {
        ("29/orders", "dead-1", 1),
        ("29/orders", "dead-2", 1),
    }
    assert day.run("dead", "list", "--reason", "other")[1] == "0 dead letters\n"
    code, _, err = day.run("dead", "list", "--destination", "ordres")
    assert code == 2
    assert "there is no destination 'ordres'; known: 29/archive, 29/orders" in err

    assert day.run("dead", "replay", "--dry-run")[1] == "2 dead letters would be tried again\n"
    assert day.run("dead", "list")[1].endswith("2 dead letters\n")
    assert day.run("dead", "replay")[:2] == (0, "2 dead letters are tried again\n")

    def delivered() -> bool:
        return all("29/orders            delivered" in day.run("trace", name)[1] for name in ("dead-1", "dead-2"))

    until(delivered, "the replay")
    assert day.json("dead", "replay") == {"found": 0, "replayed": 0}


def test_status_shows_processes_and_destinations(day: Day) -> None:
    code, out, _ = day.run("status")
    assert code == 0
    words = [line.split() for line in out.splitlines()]
    assert words[0] == ["process", "pid", "up", "memory", "events/s"]
    assert {"collector", "worker", "control"} <= {line[0] for line in words}
    (orders,) = [line for line in words if line[0] == "29/orders"]
    assert orders[1:3] == ["0", "closed"]
    found = day.json("status")
    assert isinstance(found, dict)
    assert found["ready"] is True
    assert found["processes"]["worker"]["destinations"]["29/orders"]["drift"] == 0
    assert set(found["rates"]) == {"collected", "processed", "delivered"}


def test_audit_closes(day: Day) -> None:
    until(lambda: "pending" not in day.run("audit")[1], "everything to be settled")
    code, out, _ = day.run("audit")
    assert code == 0
    assert out.splitlines()[-1] == "the sums close"
    found = day.json("audit")
    assert isinstance(found, dict)
    assert found["closes"] is True
    for one in found["destinations"]:
        assert one["offered"] == sum(one["outcomes"].values())


def test_apply_changes_the_running_server_and_export_gives_it_back(day: Day) -> None:
    text = (day.here / "turnout.yaml").read_text().replace("shop: ", "shop2:").replace("[shop,", "[shop2,")
    (day.here / "turnout.yaml").write_text(text)
    code, out, _ = day.run("apply", "-f", "turnout.yaml")
    assert code == 0
    assert out.startswith("applied configuration ")
    assert day.run("export")[1] == text
    assert "from 29/shop2" in day.run("send", "-", stdin=purchase("renamed"))[1]


def test_a_mistake_in_the_file_is_told_with_its_place_and_changes_nothing(day: Day) -> None:
    (day.here / "wrong.yaml").write_text(
        CONFIG.replace("[purchase]", "purchase").replace("settings: {path", "settings: {pth")
    )
    code, out, _ = day.run("check", "wrong.yaml")
    assert code == 1
    assert out.splitlines() == [
        "wrong.yaml: sites.\"29\".destinations.archive.settings.pth: unknown setting (did you mean 'path'?)",
        'wrong.yaml: sites."29".destinations.archive.settings.path: is missing (for example "out/events.ndjson")',
        'wrong.yaml: sites."29".destinations.orders.event_names: must be a list (for example [one, two])',
    ]
    before = day.run("export")[1]
    code, _, err = day.run("apply", "-f", "wrong.yaml")
    assert code == 2
    assert err.count("turnout: sites.") == 3
    assert day.run("export")[1] == before


def test_nothing_but_surprises_is_in_the_servers_log(day: Day) -> None:
    lines = (day.here / "stderr").read_text().splitlines()
    collect, control = day.environment["TURNOUT_COLLECT"], day.environment["TURNOUT_CONTROL"]
    assert lines[0] == f"turnout: collecting on http://{collect}, health on http://{control}/ready"
    assert [line.rpartition("/")[0] for line in lines[1:]] == [
        f"turnout: make the first account at http://{control}/ui/welcome"
    ]


def test_ctrl_c_ends_it_cleanly(day: Day) -> None:
    assert day.close() == 0
    code, out, _ = day.run("status")
    assert code == 1
    assert "nothing runs on this data directory: start `turnout serve`" in out
    assert day.run("audit")[0] == 0
