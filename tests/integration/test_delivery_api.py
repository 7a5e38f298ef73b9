"""Delivery over the API beside traffic that fails: the documented shapes, samples, who may see what."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.partners import Partner, Town, answer
from tests.support.server import BACKEND, KEY, Server, until

SECRET = "long-and-secret-key"
CONFIG = f"""
sites:
  "29":
    sources:
      backend: {{type: server, key: {BACKEND}}}
      silent: {{type: web, key: {KEY}}}
    destinations:
      good: {{type: webhook, sources: [backend], settings: {{url: "GOOD"}}}}
      bad:
        type: webhook
        sources: [backend]
        event_names: [purchase]
        settings: {{url: "BAD?key={SECRET}", headers: {{X-Api-Key: {SECRET}}}}}
      quiet: {{type: file, sources: [silent], settings: {{path: out/none.ndjson}}}}
  "31":
    sources:
      other: {{type: server, key: b1946ac9-2490-4a5b-9d61-000000000031}}
    destinations:
      foreign: {{type: file, sources: [other], settings: {{path: out/31.ndjson}}}}
"""
USER = {"id": "42", "email": "ada@example.org"}


class Scene(NamedTuple):
    server: Server
    admin: str
    viewer: str
    numbers: dict[str, int]

    def get(self, path: str, token: str | None = None, site: str = "29") -> Reply:
        return call(self.server, "GET", f"/v2/{site}/{path}", token or self.admin)

    def attributes(self, path: str, token: str | None = None) -> object:
        reply = self.get(path, token)
        assert reply.status == 200, reply.body
        return at(reply.json, "data", "attributes")

    @property
    def issue(self) -> str:
        found = items(self.get("delivery/issues").json["data"])
        return str(found[0]["id"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    good = Partner()
    bad = Partner(answer("422 No", "Content-Type: application/json", body=f'{{"why":"{SECRET}, ada@example.org"}}'))
    config = CONFIG.replace("GOOD", good.url).replace("BAD", bad.url)
    with Town(good, bad), Server(tmp_path_factory.mktemp("delivery") / "data", config) as server:
        admin = token_for(server, "admin", "29", "31")
        found = items(call(server, "GET", "/v2/29/destinations", admin).json["data"])
        found += items(call(server, "GET", "/v2/31/destinations", admin).json["data"])
        numbers = {str(at(one, "attributes", "label")): int(str(one["id"])) for one in found}
        made = Scene(server, admin, token_for(server, "viewer", "29"), numbers)
        for number, name in enumerate(("purchase", "login", "purchase")):
            event = {"event_name": name, "user": USER, "context": {"event_id": f"e-{number}"}}
            assert server.post(event)[0] == 200
        until(lambda: offered(made) == 6, "the outcomes")
        until(lambda: len(items(made.get("inspector/outgoing").json["data"])) == 6, "the inspector's records")
        yield made


def offered(scene: Scene) -> object:
    attributes = at(scene.get("delivery/metrics").json, "data", 0, "attributes")
    return at(attributes, "offered") if at(attributes, "pending") == 0 else None


def test_health_has_the_documented_shape(scene: Scene) -> None:
    health = scene.attributes(f"integrations/{scene.numbers['bad']}/delivery/healths")
    assert isinstance(health, dict)
    trends = health.pop("trends")

    def count(total: int) -> dict[str, object]:
        return {"total": total, "increase_rate": None}

    assert health == {
        "connector_type": "webhook",
        "total": count(2),
        "success": {"immediate": count(0), "retry": count(0)},
        "fail": {"rejected": count(0), "error": count(2)},
        "filtered": {"consent": count(0), "condition": count(0), "other": count(1)},
        "pending": count(0),
    }
    dataset = at(trends, "fail", "dataset")
    assert isinstance(dataset, list)
    assert dataset[0] == ["dateTime", "fail"]
    assert 31 <= len(dataset) - 1 <= 32
    assert sum(row[1] for row in dataset[1:]) == 2
    assert all(row[0] % 86_400_000 == 0 for row in dataset[1:])
    alias = scene.attributes(f"destinations/{scene.numbers['bad']}/delivery/healths")
    assert alias == {**health, "trends": trends}


def test_trends_have_three_columns_unless_all_are_asked_for(scene: Scene) -> None:
    path = f"integrations/{scene.numbers['bad']}/delivery/trends?granularity=3600000"
    documented, whole = (at(scene.attributes(path + more), "datasets") for more in ("", "&columns=all"))
    assert at(documented, 0) == ["dateTime", "success", "fail"]
    assert at(whole, 0) == ["dateTime", "success", "fail", "filtered", "pending"]
    assert isinstance(whole, list)
    assert [sum(row[column] for row in whole[1:]) for column in (1, 2, 3, 4)] == [0, 2, 1, 0]


@pytest.mark.parametrize("label", ["quiet", "foreign", "none"])
@pytest.mark.parametrize("what", ["healths", "trends", "issues"])
@pytest.mark.parametrize("kind", ["integrations", "destinations"])
def test_without_data_the_documented_operations_answer_404(scene: Scene, kind: str, what: str, label: str) -> None:
    reply = scene.get(f"{kind}/{scene.numbers.get(label, 4_000)}/delivery/{what}")
    assert (reply.status, reply.json["detail"]) == (404, "No data found")
    assert at(reply.json, "errors", 0, "detail") == "No data found"


def test_issues_say_why_and_what_to_do(scene: Scene) -> None:
    attributes = scene.attributes(f"integrations/{scene.numbers['bad']}/delivery/issues")
    (issue,) = items(at(attributes, "error"))
    assert at(attributes, "rejected") == []
    assert (issue["reason"], issue["events_count"]) == ("422_unprocessable_content", 2)
    assert (issue["event_types"], issue["replayable_count"], issue["retryable"]) == (["purchase"], 2, False)
    assert issue["stream_hit"] == issue["stream_hit_id"] == scene.issue
    assert "does not accept a value" in str(issue["hint"])
    only = scene.get(f"integrations/{scene.numbers['bad']}/delivery/issues?filter[type]=rejected")
    assert only.status == 404
    one = scene.attributes(f"delivery/issues/{scene.issue}")
    assert (at(one, "status"), at(one, "events_count"), at(one, "title")) == ("error", 2, "Values not accepted")
    assert int(str(at(one, "first_seen"))) % 60_000 == 0
    assert int(str(at(one, "last_seen"))) >= int(str(at(one, "first_seen")))


def test_details_show_the_event_the_request_and_the_answer_without_secrets(scene: Scene) -> None:
    details = scene.attributes(f"integrations/delivery/issues/{scene.issue}/details")
    assert (at(details, "status"), at(details, "event_id"), at(details, "attempt")) == ("error", "e-2", 1)
    assert at(details, "event", "user") == USER
    assert at(details, "request", "method") == "POST"
    assert str(at(details, "request", "url")).endswith("/in?key=***")
    assert at(details, "request", "data", "context", "event_id") == "e-2"
    assert at(details, "response", "statusCode") == 422
    assert at(details, "response", "data") == {"why": "***, ada@example.org"}
    samples = scene.get(f"delivery/issues/{scene.issue}/samples")
    assert [at(one, "attributes", "event_id") for one in items(samples.json["data"])] == ["e-2", "e-0"]
    assert SECRET.encode() not in samples.body


def test_without_the_scope_bodies_are_masked_and_with_it_the_look_is_recorded(scene: Scene) -> None:
    path = f"integrations/delivery/issues/{scene.issue}/details"
    seen = scene.get(path, scene.viewer)
    assert seen.status == 200
    assert b"ada@example.org" not in seen.body
    assert [at(seen.json, "data", "attributes", *where) for where in (("request", "body"), ("response", "body"))] == [
        "***",
        "***",
    ]
    assert scene.get(path).status == 200
    activity = items(scene.get("activity-logs?filter[action]=issue.view").json["data"])
    assert at(activity[0], "attributes", "subject_id") == scene.issue


@pytest.mark.parametrize("path", ["integrations/delivery/issues/{}/details", "delivery/issues/{}"])
def test_an_issue_of_another_site_is_not_there(scene: Scene, path: str) -> None:
    for issue in (scene.issue, "iss_1_e_x_00000000", "other"):
        assert scene.get(path.format(issue), site="31").status == 404
    assert scene.get(path.format("iss_1_e_x_00000000")).status == 404


def test_metrics_answer_for_slices_and_with_zeros_for_nothing(scene: Scene) -> None:
    def ids(query: str) -> dict[str, object]:
        found = items(scene.get(f"delivery/metrics?compare=none&{query}").json["data"])
        return {str(one["id"]): at(one, "attributes", "offered") for one in found}

    good, bad = scene.numbers["good"], scene.numbers["bad"]
    assert ids("group_by=destination") == {str(good): 3, str(bad): 3}
    assert ids("group_by=destination,reason") == {
        f"{good}/": 3,
        f"{bad}/422_unprocessable_content": 2,
        f"{bad}/event_name": 1,
    }
    assert ids("filter[event_name]=login") == {"all": 2}
    assert ids("filter[status]=filtered&group_by=status") == {"filtered": 1}
    assert ids("group_by=environment") == {"production": 6}
    assert ids("filter[environment]=staging") == {"all": 0}
    assert ids(f"filter[destination]={scene.numbers['quiet']}") == {str(scene.numbers["quiet"]): 0}
    assert ids("filter[rangeType]=relative&filter[from]=172800&filter[to]=86400") == {"all": 0}
    nothing = at(scene.get("delivery/metrics?end=2020-01-01T00:00:00Z").json, "data", 0, "attributes")
    assert (at(nothing, "delivered_rate"), at(nothing, "weather")) == (None, "none")
    assert at(nothing, "compare", "delivered") is None
    compared = at(scene.get("delivery/metrics").json, "data", 0, "attributes")
    assert (at(compared, "delivered_rate"), at(compared, "weather")) == (0.6, "rainy")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z", "PERIOD_TOO_LONG"),
        ("granularity=1000", "INVALID_PARAMETER"),
        ("group_by=weather", "INVALID_PARAMETER"),
        ("group_by=status,reason,source", "INVALID_PARAMETER"),
        ("granularity=60000&start=2026-03-01T00:00:00Z&end=2026-03-20T00:00:00Z", "INVALID_PARAMETER"),
    ],
)
def test_what_cannot_be_asked_says_so(scene: Scene, query: str, code: str) -> None:
    reply = scene.get(f"delivery/metrics?{query}")
    assert (reply.status, reply.codes) == (400, [code])


def test_figures_of_a_removed_destination_stay(scene: Scene, tmp_path: Path) -> None:
    text = scene.server.configured.read_text()
    without = tmp_path / "without.yaml"
    before, _, after = text.partition("      bad:\n")
    without.write_text(before + after[after.index("      quiet:") :])
    number = scene.numbers["bad"]
    assert scene.server.run("apply", "--file", str(without)).returncode == 0
    try:
        until(lambda: scene.get(f"destinations/{number}").status == 404, "the configuration")
        health = scene.attributes(f"integrations/{number}/delivery/healths")
        assert (at(health, "connector_type"), at(health, "total", "total")) == (None, 2)
    finally:
        assert scene.server.run("apply", "--file", str(scene.server.configured)).returncode == 0
