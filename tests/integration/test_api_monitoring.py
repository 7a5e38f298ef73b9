"""What came in, by event name and by source: the sums are those of what was sent."""

from collections.abc import Iterator

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import BACKEND, KEY, Server, until
from turnout.control.api.data_quality import weather

CONFIG = f"""
sites:
  "29":
    sources:
      backend: {{type: server, label: Back-end, key: {BACKEND}}}
      shop: {{type: web, key: {KEY}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/all.ndjson}}}}
      carts: {{type: file, sources: [backend], event_names: [cart], settings: {{path: out/carts.ndjson}}}}
"""
EVENTS = "/v2/29/monitoring/collection/events"
QUALITY = "/v2/29/monitoring/sources-data-quality"


class Scene:
    """From the back-end: 6 carts, one of them invalid; 2 events without a name. From the shop nothing."""

    def __init__(self, server: Server) -> None:
        self.server, self.viewer = server, token_for(server, "viewer", "29")
        batch: list[dict[str, object]] = [{"event_name": "cart", "value": n} for n in range(4)]
        batch += [{"event_name": "cart", "user": {"email_md5": "NOT"}}, {"event_name": "Cart seen"}, {}, {}]
        assert server.post({"batch": batch}, "/events/batch")[0] == 200
        until(lambda: self.total() == 8, "all to be counted")

    def get(self, path: str) -> Reply:
        reply = call(self.server, "GET", path, self.viewer)
        assert reply.status == 200, reply.body
        return reply

    def total(self) -> int:
        found = [at(one, "attributes", "collected") for one in items(self.get(QUALITY).json["data"])]
        return sum(n for n in found if isinstance(n, int))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Server(tmp_path_factory.mktemp("monitoring") / "data", CONFIG) as server:
        yield Scene(server)


def test_event_names_are_listed_by_how_often_they_came_with_what_they_are_linked_to(scene: Scene) -> None:
    found = items(scene.get(EVENTS).json["data"])
    counts = [(one["id"], at(one, "attributes", "collected"), at(one, "attributes", "normalized")) for one in found]
    assert counts == [("29-cart", 5, 5), ("29-", 2, 0), ("29-Cart seen", 1, 1)]
    assert found[0]["type"] == "events/definition"
    linked = {name: at(found[0], "relationships", name, "data") for name in ("sources", "destinations")}
    assert linked == {
        "sources": [{"type": "integrations", "id": "1"}],
        "destinations": [{"type": "integrations", "id": "3"}, {"type": "integrations", "id": "4"}],
    }
    assert at(found[2], "relationships", "destinations", "data") == [{"type": "integrations", "id": "3"}]
    assert "stats" not in str(found)
    assert [one["id"] for one in items(scene.get(f"{EVENTS}?filter[search]=CART").json["data"])] == [
        "29-cart",
        "29-Cart seen",
    ]


def test_tables_and_what_events_are_linked_to_come_when_they_are_asked_for(scene: Scene) -> None:
    include = "stats.normalized,sources.connector,destinations"
    reply = scene.get(f"{EVENTS}?include={include}&filter[rangeType]=relative&filter[from]=600&granularity=60000")
    table = at(reply.json, "data", 0, "attributes", "stats", "normalized")
    assert isinstance(table, list)
    assert table[0] == ["dateTime", "collected", "normalized"]
    assert sum(row[1] for row in table[1:]) == sum(row[2] for row in table[1:]) == 5
    assert len(table) in (11, 12)
    kinds = [(one["type"], one["id"]) for one in items(reply.json["included"])]
    assert kinds == [("integrations", 1), ("dms/connector", "server"), ("integrations", 3), ("integrations", 4)]
    assert at(reply.json, "included", 0, "attributes") == {"label": "Back-end", "template": "server"}
    text = scene.get(f"{EVENTS}?include=stats.normalized&granularity=3600000&time_format=text")
    last = at(text.json, "data", 0, "attributes", "stats", "normalized", -1, 0)
    assert str(last).endswith(":00:00.000000000")


def test_the_quality_of_a_source_tells_what_is_wrong_and_where_to_look(scene: Scene) -> None:
    backend, shop = items(scene.get(QUALITY).json["data"])
    attributes = backend["attributes"]
    assert (backend["type"], backend["id"]) == ("monitoring/source-data-quality", 1)
    assert at(attributes, "statuses") == {"invalid_accepted": 1, "rejected": 2, "valid": 5}
    assert (at(attributes, "valid_rate"), at(attributes, "weather")) == (0.625, "stormy")
    by_name = {one["name"]: one for one in items(at(attributes, "events"))}
    (flagged,) = items(by_name["cart"]["anomalies"])
    assert (flagged["level"], flagged["count"], flagged["message"]) == ("warning", 1, "invalid_format")
    (refused,) = items(by_name[""]["anomalies"])
    assert (refused["level"], refused["count"], refused["message"]) == ("error", 2, "missing_event_name")
    until(lambda: len(items(scene.get(str(flagged["sample"])).json["data"])) == 1, "the sample to be found")
    assert (at(shop, "attributes", "collected"), at(shop, "attributes", "weather")) == (0, "none")
    assert [one["id"] for one in items(scene.get(f"{QUALITY}?source=2").json["data"])] == [2]


def test_a_period_without_events_is_empty(scene: Scene) -> None:
    period = "start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z"
    assert items(scene.get(f"{EVENTS}?{period}").json["data"]) == []
    assert at(scene.get(f"{QUALITY}?{period}").json, "data", 0, "attributes", "collected") == 0


@pytest.mark.parametrize(
    ("rate", "sky"),
    [
        (None, "none"),
        (1.0, "sunny"),
        (0.9999, "cloudy"),
        (0.95, "cloudy"),
        (0.94, "rainy"),
        (0.9, "rainy"),
        (0.89, "stormy"),
    ],
)
def test_the_weather_of_a_source_is_as_documented(rate: float | None, sky: str) -> None:
    assert weather(rate) == sky
