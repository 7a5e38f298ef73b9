"""Every operation that changes something leaves a line in the activity log: the whole table, one after the other.

A new operation needs a row here: how to do it, and what the record calls it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pytest

from tests.support.api import at, call, items, path_of, token_for
from tests.support.server import CONFIG, Server, until
from turnout.control.api.table import OPERATIONS

ORDERS = """
      orders: {type: webhook, sources: [backend], settings: {url: "http://127.0.0.1:9/"}, delivery: {max_attempts: 1}}
"""


class Step(NamedTuple):
    """How to do an operation, and what it is called. `made`: the parameter of later paths that its id fills.

    `path`: parameters that are called otherwise, and which made thing they mean. `body` may depend on what was made.
    """

    action: str
    body: object | Callable[[Mapping[str, str]], object] = None
    made: str = ""
    query: str = ""
    path: Mapping[str, str] = {}


def resource(**attributes: object) -> dict[str, object]:
    return {"data": {"attributes": attributes}}


def linkage(made: str) -> Callable[[Mapping[str, str]], object]:
    return lambda known: {"data": [{"type": "integrations", "id": known[made]}]}


DEAD = ["dead-0", "dead-1", "dead-2"]
"""Events that `orders` could not take: at one a second their replay lasts until it is cancelled."""
FILE = {"label": "x", "template": "file", "settings": {"path": "out/x.ndjson"}}
STEPS = {
    "create_replay": Step(
        "replays.create", resource(destinations=[4], event_ids=DEAD, rate_per_second=1), made="replay_id"
    ),
    "change_replay": Step("replays.change", resource(state="cancelled")),
    "replay_attempt": Step("replays.create"),
    "create_source": Step("sources.create", resource(label="x", template="server"), made="source"),
    "change_source": Step("sources.update", resource(label="y"), path={"id": "source"}),
    "change_source_in_body": Step(
        "sources.update", lambda known: {"data": {"id": known["source"], "attributes": {"label": "z"}}}
    ),
    "add_source_key": Step("sources.add_key", path={"id": "source"}, made="key_id"),
    "revoke_source_key": Step("sources.revoke_key", path={"id": "source"}),
    "rotate_source_key": Step("sources.rotate_key", {}, path={"id": "source"}),
    "create_destination": Step("destinations.create", resource(**FILE), made="destination"),
    "change_destination": Step("destinations.update", resource(label="y"), path={"id": "destination"}),
    "change_destination_in_body": Step(
        "destinations.update", lambda known: {"data": {"id": known["destination"], "attributes": {"label": "z"}}}
    ),
    "add_sources_to_destination": Step("destinations.link", linkage("source"), path={"id": "destination"}),
    "remove_sources_from_destination": Step("destinations.link", linkage("source"), path={"id": "destination"}),
    "replace_sources_of_destination": Step("destinations.link", linkage("source"), path={"id": "destination"}),
    "remove_destinations_from_source": Step("sources.link", linkage("destination"), path={"id": "source"}),
    "add_destinations_to_source": Step("sources.link", linkage("destination"), path={"id": "source"}),
    "replace_destinations_of_source": Step("sources.link", {"data": []}, path={"id": "source"}),
    "duplicate_destination": Step(
        "destinations.create", {"settings": {"path": "out/y.ndjson"}}, path={"id": "destination"}
    ),
    "delete_destination": Step("destinations.delete", path={"id": "destination"}),
    "delete_source": Step("sources.delete", path={"id": "source"}),
    "create_integration": Step("destinations.create", resource(**FILE), made="either"),
    "change_integration": Step("destinations.update", resource(label="y"), path={"id": "either"}),
    "change_integration_in_body": Step(
        "destinations.update", lambda known: {"data": {"id": known["either"], "attributes": {"label": "z"}}}
    ),
    "delete_integration": Step("destinations.delete", path={"id": "either"}),
    "apply_configuration": Step("configuration.apply", resource(text=CONFIG)),
    "restore_version": Step("configuration.restore"),
    "replay_dead_letters": Step("dead_letters.replay", resource()),
    "test_event": Step("destinations.test", resource(event={"event_name": "x"}), path={"id": "tried"}),
    "create_token": Step("tokens.create", resource(role="viewer"), made="token_id"),
    "change_token": Step("tokens.update", resource(name="x")),
    "rotate_token": Step("tokens.rotate"),
    "revoke_token": Step("tokens.revoke"),
    "create_user": Step("accounts.create", resource(email="ada@example.org", role="viewer"), made="account_id"),
    "change_user": Step("accounts.update", resource(first_name="Ada")),
    "link_user": Step("accounts.link"),
    "remove_user": Step("accounts.delete"),
    "create_user_of_site": Step("accounts.create", resource(email="bob@example.org", role="viewer"), made="account_id"),
    "remove_user_of_site": Step("accounts.delete"),
    "create_alert": Step("alerts.create", resource(category="destination/drift"), made="alert"),
    "change_alert": Step("alerts.update", resource(is_enable=False), path={"id": "alert"}),
    "change_named_alert": Step(
        "alerts.update", lambda known: {"data": {"id": known["alert"], "attributes": {"is_enable": True}}}
    ),
    "snooze_alert": Step("alerts.snooze", {"for": "PT1H"}, path={"id": "alert"}),
    "create_notification": Step(
        "alerts.create_notification",
        lambda known: resource(
            alert_id=int(known["alert"]), channel="EMAIL", channel_settings={"email": {"emails": ["ops@example.org"]}}
        ),
        made="notification",
    ),
    "change_notification": Step("alerts.update_notification", resource(frequency="1d"), path={"id": "notification"}),
    "change_named_notification": Step(
        "alerts.update_notification",
        lambda known: {"data": {"id": known["notification"], "attributes": {"frequency": "1w"}}},
    ),
    "test_notification": Step("alerts.test_notification", path={"id": "notification"}),
    "delete_notification": Step("alerts.delete_notification", path={"id": "notification"}),
    "change_inspector_settings": Step("inspector.update", resource(sampling="all")),
    "delete_alert": Step("alerts.delete", path={"id": "alert"}),
    "create_erasure": Step("erasures.create", resource(user_ids=["42"])),
    "delete_user": Step("erasures.create", query="?user_id=42"),
}
UNRECORDED = {"validate_payload", "preview_event", "try_event", "try_formula"}
"""What only computes an answer, though it has a body."""
OF_ALL_SITES = {"create_site"}
"""What a token of one site can't do: its record is with the new site."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("recorded") / "data", CONFIG + ORDERS) as running:
        for event_id in DEAD:
            event = {"event_name": "x", "context": {"event_id": event_id}, "user": {"consent_categories": []}}
            assert running.post(event)[0] == 200
        until(lambda: running.run("dead", "list", "--json").stdout.count(b'"dead-') == len(DEAD), "the dead letters")
        yield running


def test_every_operation_that_changes_something_has_a_row() -> None:
    changing = {one.name for one in OPERATIONS if one.method != "GET"}
    assert set(STEPS) | UNRECORDED | OF_ALL_SITES == changing


def test_every_operation_that_changes_something_is_recorded(server: Server) -> None:
    admin = token_for(server, "admin", "29")
    numbers = items(call(server, "GET", "/v2/29/destinations", admin).json["data"])
    known = {"tried": str(numbers[0]["id"]), "hit_id": attempt_of(server, admin, DEAD[-1])}
    by_name = {one.name: one for one in OPERATIONS}
    for name, step in STEPS.items():
        before = newest(server, admin)
        parts = known | {part: known[made] for part, made in step.path.items()}
        body = step.body(known) if callable(step.body) else step.body
        reply = call(server, by_name[name].method, path_of(by_name[name], "29", **parts) + step.query, admin, body)
        assert reply.status < 300, (name, reply.body)
        if step.made:
            known[step.made] = str(at(reply.json, "data", "id"))
        after = newest(server, admin)
        assert after["id"] != before["id"], name
        assert (name, at(after, "attributes", "action")) == (name, step.action)


def test_a_new_site_is_recorded_with_the_site(server: Server) -> None:
    everywhere = token_for(server, "admin", "*")
    assert call(server, "POST", "/v2/sites", everywhere, {"data": {"id": "31"}}).status == 201
    assert at(newest(server, everywhere, "31"), "attributes", "action") == "sites.create"


def newest(server: Server, token: str, site: str = "29") -> dict[str, object]:
    return items(call(server, "GET", f"/v2/{site}/activity-logs?page[size]=1", token).json["data"])[0]


def attempt_of(server: Server, token: str, event_id: str) -> str:
    """The record of an event's attempt, once there is one."""
    path = f"/v2/29/inspector/outgoing?filter[event_id]={event_id}&filter[status]=error"
    until(lambda: items(call(server, "GET", path, token).json["data"]), "the attempt's record")
    return str(items(call(server, "GET", path, token).json["data"])[0]["id"])
