"""A specification on a running server: verdicts in `trace`, what arrives, environments, changes, refusals."""

import json
from collections.abc import Iterator

import pytest

from tests.support.server import BACKEND, CONFIG, KEY, Server, until

LAB = "5f5a9c52-6a0d-4b0a-9d2e-2f6c6a4b9b22"
SPECIFICATION = """
    specification:
      actions:
        production: {missing: reject, format: omit, events: accept, properties: omit}
      events:
        subscribe:
          properties:
            plan: {type: string, enum: [basic, pro], required: true}
            seats: {type: integer}
            lines: {type: array<object>}
            lines.price: {type: number}
"""
STAGING = f"      lab: {{type: web, key: {LAB}, environment: staging}}\n"
SITE = CONFIG.replace("    destinations:", f"{STAGING}    destinations:")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    configured = SITE.replace("[shop, backend]", "[shop, backend, lab]") + SPECIFICATION
    with Server(tmp_path_factory.mktemp("specification") / "data", configured) as running:
        yield running


def send(server: Server, event_id: str, name: str, token: str = BACKEND, **properties: object) -> dict[str, object]:
    """Send an event and wait for its verdict."""
    user = {"consistent_anonymous_id": "1", "consent_categories": []}
    event = {"event_name": name, "user": user, "context": {"event_id": event_id}, **properties}
    assert server.post(event, query=f"tc_s=29&token={token}")[0] == 200
    until(lambda: any(one["processed"] for one in server.trace(event_id)), f"{event_id} to be processed")
    (traced,) = server.trace(event_id)
    return traced


def codes(traced: dict[str, object]) -> list[tuple[str, str]]:
    reasons = traced["reasons"]
    assert isinstance(reasons, list)
    return sorted((reason["code"], reason["path"]) for reason in reasons)


def arrived(server: Server, event_id: str) -> dict[str, object]:
    """The event as the file destination has it; empty if it has not."""
    path = server.data / "out" / "events.ndjson"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return next((event for event in events if event["context"]["event_id"] == event_id), {})


def test_an_event_that_fits_is_valid(server: Server) -> None:
    traced = send(server, "p-1", "subscribe", plan="pro", seats="5", lines=[{"price": 1}])
    assert (traced["status"], traced["reasons"]) == ("valid", [])
    until(lambda: arrived(server, "p-1"), "it to arrive")
    assert arrived(server, "p-1")["seats"] == 5


def test_what_does_not_fit_is_taken_away_before_it_is_delivered(server: Server) -> None:
    lines = [{"price": "x", "secret": 1}, {"price": 2}]
    traced = send(server, "p-2", "subscribe", plan="pro", seats="many", colour="red", lines=lines)
    assert traced["status"] == "invalid_accepted"
    assert codes(traced) == [
        ("format", "lines.0.price"), ("format", "seats"),
        ("unspecified_property", "colour"), ("unspecified_property", "lines.0.secret"),
    ]  # fmt: skip
    until(lambda: arrived(server, "p-2"), "it to arrive")
    event = arrived(server, "p-2")
    assert event["lines"] == [{}, {"price": 2}]
    assert not {"seats", "colour"} & set(event)
    violations = event["context"]["dataquality"]["violations"]  # type: ignore[index] # an object
    assert {one["action"] for one in violations} == {"omitted"}


def test_what_lacks_a_required_property_reaches_nobody(server: Server) -> None:
    traced = send(server, "p-3", "subscribe", plan="golden")
    assert (traced["status"], traced["destinations"]) == ("invalid_rejected", [])
    assert codes(traced) == [("format", "plan"), ("missing_required", "plan")]


def test_an_event_that_nobody_declared_is_flagged(server: Server) -> None:
    assert codes(send(server, "p-4", "unheard_of", x=1)) == [("unspecified_event", "event_name")]


def test_another_environment_has_other_actions(server: Server) -> None:
    traced = send(server, "p-5", "subscribe", LAB, colour="red")
    assert (traced["status"], codes(traced)) == ("invalid_accepted", [("missing_required", "plan")])
    assert send(server, "p-6", "unheard_of", LAB, x=1)["status"] == "valid"


def test_a_change_is_effective_when_apply_returns_and_a_wrong_one_is_refused(server: Server) -> None:
    file = server.data.parent / "changed.yaml"
    whole = SITE + SPECIFICATION
    file.write_text(whole.replace("type: number", "type: numbr"))
    done = server.run("apply", "-f", str(file))
    assert done.returncode == 2
    assert b"events.subscribe.properties.\"lines.price\".type: 'numbr' is no type" in done.stderr
    assert send(server, "p-7", "subscribe", KEY)["status"] == "invalid_rejected"
    file.write_text(whole.replace("missing: reject", "missing: ignore"))
    assert server.run("apply", "-f", str(file)).returncode == 0
    assert send(server, "p-8", "subscribe", KEY)["status"] == "valid"
    assert server.audit()["closes"] is True


def test_a_specification_is_inferred_from_what_came_and_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = "    cleansing: [{label: Names, when: 'event_name = \"sub\"', operation: rename_event, to: subscribe}]\n"
    with Server(tmp_path_factory.mktemp("infer") / "data", CONFIG + rules) as running:
        for number in range(24):
            send_only(running, f"i-{number}", "sub", plan=["basic", "pro"][number % 2], lines=[{"price": number}])
        send_only(running, "i-24", "search", search_term=["t-shirt"], mail="jane@shop.example")
        asked = running.run("spec", "infer", "--site", "29", "--json")
        assert asked.returncode == 1
        told = json.loads(asked.stdout)
        assert (told["events"], told["specification"]) == (
            25,
            {
                "events": {
                    "search": {
                        "properties": {
                            "mail": {"type": "string", "pii": True},
                            "search_term": {"type": ["string", "array<string>"], "required": True},
                        }
                    },
                    "subscribe": {
                        "properties": {
                            "lines": {"type": "array<object>", "required": True},
                            "lines.price": {"type": "integer", "required": True},
                            "plan": {"type": "string", "required": True},
                        }
                    },
                }
            },
        )
        shown = running.run("spec", "infer").stdout.decode()
        assert "+ subscribe.plan string (24 of 24, such as pro, basic)" in " ".join(shown.split())
        assert "jane" not in shown
        assert running.run("spec", "infer", "--source", "shop").stdout.startswith(b"0 events seen")
        assert running.run("spec", "infer", "--accept").returncode == 0
        again = running.run("spec", "infer")
        assert (again.returncode, again.stdout) == (0, b"25 events seen, 0 differences\n")
        assert b"lines.price: {type: integer, required: true}" in running.run("spec", "export").stdout
        numbers = iter(range(1000))
        until(
            lambda: send(running, f"t-{next(numbers)}", "sub", plan={})["status"] == "invalid_accepted",
            "the accepted specification to be in use",
        )


def send_only(server: Server, event_id: str, name: str, **properties: object) -> None:
    user = {"consistent_anonymous_id": "1", "consent_categories": []}
    event = {"event_name": name, "user": user, "context": {"event_id": event_id}, **properties}
    assert server.post(event)[0] == 200
