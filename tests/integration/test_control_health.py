"""Health and figures of a running server: what it says agrees with what was really sent."""

import json
import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import BACKEND, CONFIG, KEY, Server, free_port, until
from turnout.control import factsfile
from turnout.model.clock import now_ms

UP = {
    "turnout_process_up{process=collector}",
    "turnout_process_up{process=worker}",
    "turnout_process_up{process=control}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # The webhook's port stays closed: a partner that is down all the time.
    down = f"""
      down:
        type: webhook
        sources: [shop]
        delivery: {{max_attempts: 1, backoff_s: 0}}
        settings: {{url: "http://127.0.0.1:{free_port()}/"}}
"""
    with Server(tmp_path_factory.mktemp("health") / "data", CONFIG.rstrip() + down) as running:
        yield running


def figures(server: Server) -> dict[str, float]:
    """Every sample of `/metrics`, by name{label=value,…}."""
    status, text = server.get("/metrics")
    assert status == 200
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def reach(server: Server, name: str, value: float) -> dict[str, float]:
    """Wait until a figure has a value; gives all of them then."""
    until(lambda: figures(server).get(name) == value, f"{name} to be {value}, in {figures(server)}")
    return figures(server)


def event(event_id: str, name: str = "login") -> dict[str, object]:
    user = {"id": "42", "consistent_anonymous_id": "a-1", "consent_categories": ["1"]}
    return {"event_name": name, "user": user, "context": {"event_id": event_id, "event_timestamp": 1764000000000}}


def test_both_ports_tell_that_the_process_lives(server: Server) -> None:
    for port in (server.port, server.control_port):
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/healthy")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok")
        connection.close()


def test_ready_says_so_in_json(server: Server) -> None:
    status, body = server.get("/ready")
    found = json.loads(body)
    assert status == 200
    assert (found["ready"], found["problems"]) == (True, [])


def test_the_figures_are_those_of_what_was_sent(server: Server) -> None:
    shop = f"tc_s=29&token={KEY}"
    before = figures(server)

    def grown(after: dict[str, float], name: str) -> float:
        return after[name] - before.get(name, 0)

    bodies = [json.dumps(event(f"good-{i}")).encode() for i in range(20)]
    bodies += [b"{", b"x" * 40_000, json.dumps({"batch": [event("b-1"), event("b-2"), 5]}).encode()]
    for body in bodies[:20]:
        assert server.post(body)[0] == 200
    for i in range(3):
        assert server.post(event(f"shop-{i}"), query=shop)[0] == 200
    assert server.post(bodies[20])[0] == 400
    assert server.post(bodies[21])[0] == 400
    assert server.post(bodies[22], path="/events/batch")[0] == 200
    for i in range(4):
        assert server.post(event(f"wrong-{i}"), query="tc_s=29&token=wrong")[0] == 200

    # Each process tells its own, twice a second: wait for what comes last in each.
    reach(server, "turnout_collected_events_total{source=29/,status=rejected}", 4)
    reach(server, "turnout_processed_events_total{source=29/,status=rejected}", 4)
    reach(server, "turnout_outcomes{destination=29/down,outcome=error}", 3)
    after = reach(server, "turnout_outcomes{destination=29/archive,outcome=delivered}", 25)
    assert after["turnout_process_lag_events{}"] == 0

    requests = {name: grown(after, name) for name in after if name.startswith("turnout_requests_total")}
    assert {name: count for name, count in requests.items() if "endpoint=events" in name} == {
        "turnout_requests_total{answer=200,endpoint=events}": 27,
        "turnout_requests_total{answer=400,endpoint=events}": 2,
        "turnout_requests_total{answer=200,endpoint=events/batch}": 1,
    }
    collected = {
        "29/backend,status=valid": 22,
        "29/backend,status=rejected": 3,
        "29/shop,status=valid": 3,
        "29/,status=rejected": 4,
    }
    for labels, count in collected.items():
        assert grown(after, f"turnout_collected_events_total{{source={labels}}}") == count, labels
        assert grown(after, f"turnout_processed_events_total{{source={labels}}}") == count, labels
    refusals = {"invalid_json": 1, "payload_too_large": 1, "event_not_object": 1, "unknown_source_key": 4}
    for reason, count in refusals.items():
        assert grown(after, f"turnout_refusals_total{{reason={reason}}}") == count, reason
    assert grown(after, "turnout_received_bytes_total{}") >= sum(map(len, bodies[:20]))
    commits = grown(after, "turnout_commit_seconds_count{}")
    # Every one of the 30 requests waited for its answer, so none shared a commit with another.
    assert commits >= 30
    assert after["turnout_commit_seconds_bucket{le=+Inf}"] == after["turnout_commit_seconds_count{}"]
    assert grown(after, "turnout_commit_seconds_sum{}") > 0
    assert grown(after, "turnout_attempts_total{destination=29/archive}") == 25
    assert grown(after, "turnout_attempts_total{destination=29/down}") == 3
    assert grown(after, "turnout_dead_letters{destination=29/down}") == 3
    for ref in ("29/archive", "29/down"):
        reach(server, f"turnout_destination_lag_events{{destination={ref}}}", 0)
        assert after[f"turnout_ledger_events{{destination={ref}}}"] == 0
        assert after[f"turnout_drift_events{{destination={ref}}}"] == 0
        assert after[f"turnout_breaker_state{{destination={ref}}}"] == 0
    assert {name for name in after if name.startswith("turnout_process_up")} == UP
    assert all(after[name] == 1 for name in UP)
    assert all(value > 10 << 20 for name, value in after.items() if "resident_memory_bytes" in name)
    assert after["turnout_log_damage{}"] == 0


def test_a_failing_destination_is_a_warning_and_its_breaker_a_figure(server: Server) -> None:
    for i in range(12):
        server.post(event(f"down-{i}"), query=f"tc_s=29&token={KEY}")
    until(lambda: figures(server)["turnout_breaker_state{destination=29/down}"] > 0, "the breaker to open")
    until(lambda: b"29/down" in server.get("/ready")[1], "the warning")
    status, body = server.get("/ready")
    assert status == 200
    assert json.loads(body)["problems"] == []
    assert server.run("status").returncode == 0


def test_events_leave_no_line_in_the_logs(server: Server) -> None:
    body = json.dumps({"batch": [event(f"many-{i}") for i in range(100)]}).encode()
    before = server.errors
    processed = sum(value for name, value in figures(server).items() if "processed_events" in name)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    good, wrong = f"tc_s=29&token={BACKEND}", "tc_s=29&token=wrong"
    headers = {"Content-Type": "application/json"}
    for i in range(500):
        sent = json.dumps(event(f"log-{i}")).encode() if i % 5 else b"{"
        connection.request("POST", f"/events?{good if i % 2 else wrong}", sent, headers)
        connection.getresponse().read()
    for _ in range(5):
        connection.request("POST", f"/events/batch?{good}", body, headers)
        connection.getresponse().read()
    connection.close()

    def seen() -> float:
        now = figures(server)
        suppressed = sum(value for name, value in now.items() if "refusals_unrecorded" in name)
        return sum(value for name, value in now.items() if "processed_events" in name) + suppressed - processed

    until(lambda: seen() >= 1_000, "all of them to be processed")
    until(lambda: figures(server)["turnout_destination_lag_events{destination=29/archive}"] == 0, "delivery")
    assert server.errors == before


@pytest.mark.parametrize("process", ["worker", "collector"])
def test_a_process_that_does_not_answer_makes_it_not_ready(server: Server, process: str) -> None:
    pid = server.pid(process)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: server.get("/ready")[0] == 503, "/ready to say no")
        assert json.loads(server.get("/ready")[1])["problems"] == [f"{process}: not running, or not answering"]
        found = figures(server)
        assert (found["turnout_ready{}"], found[f"turnout_process_up{{process={process}}}"]) == (0, 0)
        shown = server.run("status")
        assert shown.returncode == 1
        assert f"problem: {process}: not running, or not answering" in shown.stdout.decode()
    finally:
        os.kill(pid, signal.SIGCONT)
    until(server.ready, "/ready to say yes again")


def test_facts_that_a_killed_server_left_do_not_make_the_next_one_ready(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with server:
        processes = ("collector", "worker", "control")
        until(lambda: all(server.pid(name) for name in processes), "the facts of every process")
        server.kill_everything()
        left = factsfile.read(server.data)
        assert set(left) == {"collector", "worker", "control"}
        for facts in left.values():
            # As if it had been a moment ago, however long the next start takes.
            facts.beat_ms = now_ms() + 60_000
            factsfile.publish(server.data, facts)
        server.start()
        assert {name: facts.pid for name, facts in factsfile.read(server.data).items()}.items().isdisjoint(
            {name: facts.pid for name, facts in left.items()}.items()
        )
        assert server.post(event("first"))[0] == 200


def test_a_log_that_takes_nothing_makes_it_not_ready_also_when_nobody_sends(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    server = Server(tmp_path / "data", TURNOUT_RESERVE_BYTES=str(free * 2))
    try:
        server.launch()
        until(lambda: b"reserve" in _answer(server, "/ready"), "/ready to name the reason")
        problems = json.loads(_answer(server, "/ready"))["problems"]
        assert any("are kept in reserve" in problem for problem in problems)
        assert server.post(event("full"))[0] == 503
        until(
            lambda: figures(server).get("turnout_requests_total{answer=503,endpoint=events}") == 1,
            "the refused request",
        )
        assert server.errors.count("log not writable") <= 1
    finally:
        server.stop()


def test_damage_of_the_log_is_told_everywhere(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with server:
        assert server.post(event("before"))[0] == 200
        until(lambda: figures(server).get("turnout_outcomes{destination=29/archive,outcome=delivered}") == 1, "it")
    (segment, *_) = sorted((tmp_path / "data" / "log" / "accepted").glob("0*.db"))
    segment.write_bytes(b"this was a database")
    with server:
        until(lambda: figures(server)["turnout_log_damage{}"] == 1, "the damage to be counted")
        warnings = json.loads(server.get("/ready")[1])["warnings"]
        assert len(warnings) == 1, warnings
        assert "damaged.db" in warnings[0]
        shown = server.run("status")
        assert shown.returncode == 0
        assert "damaged.db" in shown.stdout.decode()
        assert server.errors.count("log damaged") >= 1
        assert server.post(event("after"))[0] == 200


def _answer(server: Server, path: str) -> bytes:
    try:
        return server.get(path)[1]
    except OSError:
        return b""
