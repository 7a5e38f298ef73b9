"""Alerts and notifications over the API: the documented shapes, in the configuration, secrets kept."""

from collections.abc import Iterator

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.receivers import Hook, Mailbox
from tests.support.server import CONFIG, Server, kill, until

HOOK_URL = "https://hooks.example.org/services/hush-hush"


class Scene:
    """A server, a mail server, and a token that may do everything."""

    def __init__(self, server: Server, mailbox: Mailbox) -> None:
        self.server, self.mailbox = server, mailbox
        self.admin = token_for(server, "admin", "29")

    def do(self, method: str, path: str, body: object = None) -> Reply:
        return call(self.server, method, f"/v2/29/{path}", self.admin, body)

    def send(self, method: str, path: str, number: object = None, /, **attributes: object) -> Reply:
        return self.do(method, path, {"data": {"id": number, "attributes": attributes}})

    def number(self, kind: str) -> int:
        """Of the first source or destination."""
        found = items(self.do("GET", kind).json["data"])[0]["id"]
        assert isinstance(found, int)
        return found

    def alert(self, **attributes: object) -> int:
        """Make one; its number, once the processes know it."""
        reply = self.send("POST", "health/alerts", **attributes)
        assert reply.status == 201, reply.body
        return self.settled(reply)

    def settled(self, reply: Reply) -> int:
        """What was made is there with the next request."""
        number, link = at(reply.json, "data", "id"), at(reply.json, "data", "links", "self")
        assert isinstance(number, int)
        assert self.do("GET", str(link).removeprefix("/v2/29/")).status == 200
        return number

    def notification(self, **attributes: object) -> int:
        reply = self.send("POST", "health/notifications", **attributes)
        assert reply.status == 201, reply.body
        return self.settled(reply)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Mailbox() as mailbox:
        environment = {
            "TURNOUT_SMTP": f"smtp+plain://127.0.0.1:{mailbox.port}",
            "TURNOUT_MAIL_FROM": "turnout@example.org",
        }
        with Server(tmp_path_factory.mktemp("alerts") / "data", CONFIG, **environment) as server:
            yield Scene(server, mailbox)


def attributes(reply: Reply) -> dict[str, object]:
    found = at(reply.json, "data", "attributes")
    assert isinstance(found, dict)
    return found


def test_an_alert_is_made_read_changed_and_removed_in_the_documented_form(scene: Scene) -> None:
    archive = scene.number("destinations")
    reply = scene.send(
        "POST",
        "health/alerts",
        category="destination/delivery",
        model_id=archive,
        is_enable=True,
        parameters={"threshold": 90, "window": "PT30M"},
    )
    number = at(reply.json, "data", "id")
    assert (reply.status, reply.headers["location"]) == (201, f"/v2/29/health/alerts/{number}")
    made = attributes(reply)
    assert at(reply.json, "data", "type") == "health/alert"
    assert made["parameters"] == {"threshold": 90.0, "window": "PT30M", "min_events": 20}
    assert (made["label"], made["model_id"], made["is_enable"], made["state"]) == (
        "archive-delivery",
        archive,
        True,
        "ok",
    )
    assert (made["last_check_at"], made["last_check_value"], made["updated_at"]) == (None, None, None)
    scene.settled(reply)
    reply = scene.send("PATCH", f"health/alerts/{number}", parameters={"threshold": 75, "window": None})
    assert attributes(reply)["parameters"] == {"threshold": 75.0, "window": "PT1H", "min_events": 20}
    reply = scene.send("PATCH", "health/alerts", number, is_enable=False)
    assert (reply.status, attributes(reply)["is_enable"]) == (200, False)
    text = (scene.server.data / "config.yaml").read_text()
    assert "archive-delivery" in text
    assert text.startswith(CONFIG[:120])
    assert scene.do("DELETE", f"health/alerts/{number}").status == 204
    assert scene.do("GET", f"health/alerts/{number}").status == 404
    assert "archive-delivery" not in (scene.server.data / "config.yaml").read_text()


def test_alerts_are_listed_by_category_subject_and_state(scene: Scene) -> None:
    shop = scene.number("sources")
    quiet = scene.alert(category="source/silence", model_id=shop, label="quiet")
    drift = scene.alert(category="destination/drift", is_enable=False)

    def ids(query: str) -> list[object]:
        return [one["id"] for one in items(scene.do("GET", f"health/alerts?{query}").json["data"])]

    assert ids("") == [quiet, drift]
    assert ids("filter[category]=source/silence,source/volume") == [quiet]
    assert ids(f"filter[model_id]={shop}") == [quiet]
    assert ids("filter[enable]=false") == [drift]
    assert ids("filter[state]=firing") == []
    assert ids("page[number]=2&page[size]=1") == [drift]
    for number in (quiet, drift):
        scene.do("DELETE", f"health/alerts/{number}")


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({}, {"/data/attributes/category"}),
        ({"category": "destination/delivery"}, {"/data/attributes/model_id"}),
        ({"category": "destination/delivery", "model_id": 9999}, {"/data/attributes/model_id"}),
        ({"category": "processing/lag", "model_id": 1}, {"/data/attributes/model_id"}),
        (
            {"category": "processing/lag", "parameters": {"max_count": 0, "maxcount": 1}},
            {"/data/attributes/parameters/max_count", "/data/attributes/parameters/maxcount"},
        ),
        ({"category": "destination/issue", "parameters": {"window": "1h"}}, {"/data/attributes/parameters/window"}),
        ({"category": "destination/issue", "label": "a b"}, {"/data/attributes/label"}),
    ],
)
def test_what_is_wrong_with_an_alert_is_told_where_it_was_sent(
    scene: Scene, given: dict[str, object], pointers: set[str]
) -> None:
    reply = scene.send("POST", "health/alerts", **given)
    assert (reply.status, {at(one, "source", "pointer") for one in items(reply.json["errors"])}) == (422, pointers)


def test_a_notification_is_made_tested_changed_and_its_secrets_are_never_shown(scene: Scene) -> None:
    alert = scene.alert(category="destination/drift", label="drift")
    made = {
        "email": scene.notification(
            alert_id=alert, frequency="1d", channel="EMAIL", channel_settings={"email": {"emails": ["ops@example.org"]}}
        ),
        "slack": scene.notification(alert_id=alert, channel="SLACK", channel_settings={"slack": {"webhook": HOOK_URL}}),
        "own": scene.notification(
            alert_id=alert, channel="WEBHOOK", channel_settings={"webhook": {"url": HOOK_URL, "secret": "hush-hush"}}
        ),
    }
    reply = scene.do("GET", f"health/notifications/{made['email']}")
    assert at(reply.json, "data", "type") == "health/alert/notification"
    assert attributes(reply) == {
        "label": "email",
        "alert_id": alert,
        "frequency": "1d",
        "channel": "EMAIL",
        "channel_settings": {"email": {"emails": ["ops@example.org"]}},
        "last_notified_at": None,
        "last_error": None,
        "next_attempt_at": None,
    }
    listed = scene.do("GET", f"health/notifications?filter[alert]={alert}")
    assert {one["id"] for one in items(listed.json["data"])} == set(made.values())
    assert items(scene.do("GET", "health/notifications?filter[alert]=0").json["data"]) == []
    shown = attributes(scene.do("GET", f"health/notifications/{made['slack']}"))
    assert shown["channel_settings"] == {"slack": {"webhook": {"set": True}}}
    kept = [listed.body, (scene.server.data / "config.yaml").read_bytes()]
    kept.append(scene.do("GET", "activity-logs").body)
    assert not any(b"hush-hush" in text for text in kept)
    reply = scene.do("POST", f"health/notifications/{made['email']}/test")
    assert attributes(reply) == {"sent": True, "detail": ""}
    assert scene.mailbox.received[-1].subject == "Test: messages of the alert drift arrive here"
    with Hook(410) as hook:
        reply = scene.send(
            "PATCH", "health/notifications", made["own"], channel_settings={"webhook": {"url": hook.url}}
        )
        assert reply.status == 200, reply.body
        path = f"health/notifications/{made['own']}/test"
        assert "410_gone" in str(attributes(scene.do("POST", path))["detail"])
        assert hook.received[-1].headers["webhook-signature"].startswith("v1,")
    reply = scene.send("PATCH", f"health/notifications/{made['email']}", frequency="15m")
    assert attributes(reply)["frequency"] == "15m"
    assert scene.do("DELETE", f"health/notifications/{made['email']}").status == 204
    assert scene.do("GET", f"health/notifications/{made['email']}").status == 404
    scene.do("DELETE", f"health/alerts/{alert}")
    assert items(scene.do("GET", "health/notifications").json["data"]) == []


@pytest.mark.parametrize(
    ("channel", "settings", "pointer"),
    [
        ("EMAIL", {}, "/data/attributes/channel_settings/email/emails"),
        ("EMAIL", {"email": {"emails": ["me"]}}, "/data/attributes/channel_settings/email/emails/0"),
        ("EMAIL", {"slack": {"webhook": HOOK_URL}}, "/data/attributes/channel_settings/slack"),
        ("SLACK", {"slack": {"webhook": "nowhere"}}, "/data/attributes/channel_settings/slack/webhook"),
        ("WEBHOOK", {"webhook": {}}, "/data/attributes/channel_settings/webhook/url"),
        ("FAX", {}, "/data/attributes/channel"),
    ],
)
def test_what_is_wrong_with_a_notification_is_told_where_it_was_sent(
    scene: Scene, channel: str, settings: dict[str, object], pointer: str
) -> None:
    alert = scene.alert(category="destination/drift", label=f"drift-{channel}-{len(pointer)}")
    reply = scene.send("POST", "health/notifications", alert_id=alert, channel=channel, channel_settings=settings)
    assert (reply.status, [at(one, "source", "pointer") for one in items(reply.json["errors"])]) == (422, [pointer])
    scene.do("DELETE", f"health/alerts/{alert}")


def test_a_snooze_is_shown_and_ended_and_the_history_tells_what_happened(scene: Scene) -> None:
    alert = scene.alert(category="source/silence", model_id=scene.number("sources"), label="silent")
    path = f"health/alerts/{alert}/snooze"
    assert attributes(scene.do("POST", path, {"for": "PT4H"}))["snoozed_until"] is not None
    assert attributes(scene.do("GET", f"health/alerts/{alert}"))["snoozed_until"] is not None
    assert attributes(scene.do("POST", path, {"for": "PT0S"}))["snoozed_until"] is None
    assert scene.do("POST", path, {"for": "P99D"}).status == 422
    assert scene.do("POST", path, {"for": "4h"}).status == 422
    pid = scene.server.pid("control")
    assert pid is not None
    kill(pid)
    until(lambda: scene.server.pid("control") not in (None, pid) and scene.server.ready(), "it to be there again")
    history = f"health/alerts/{alert}/history"
    until(lambda: items(scene.do("GET", history).json["data"]), "a first check")
    (first,) = items(scene.do("GET", history).json["data"])
    assert first["type"] == "health/alert/history"
    assert (at(first, "attributes", "kind"), at(first, "attributes", "notification_id")) == ("no_data", None)
    assert attributes(scene.do("GET", f"health/alerts/{alert}"))["state"] == "no_data"
    recorded = items(scene.do("GET", "activity-logs?filter[feature]=alerts").json["data"])
    assert [at(one, "attributes", "action") for one in recorded][:2] == ["alerts.snooze"] * 2
