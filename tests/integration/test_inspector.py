"""The inspector over HTTP beside a running server: filters and operators, pages, masking, counts, recorded looks."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import CONFIG, KEY, Server, until
from turnout.control.inspector.conditions import OPERATORS
from turnout.model.clock import now_ms

OTHER = """
  "31":
    sources:
      other: {type: server, key: b1946ac9-2490-4a5b-9d61-000000000031}
"""
SENT: list[tuple[str, str, dict[str, object]]] = [
    ("p-1", "purchase", {"id": "o-1", "value": 120, "currency": "EUR", "user": {"id": 42, "email": "ada@example.org"}}),
    ("p-2", "purchase", {"id": "o-2", "value": 20.5, "currency": "USD", "user": {"id": "42"}, "coupon": "SPRING-24"}),
    ("l-1", "login", {"user": {"id": "7", "consistent_anonymous_id": "anon-7"}, "method": "", "test_code": "T1"}),
    ("s-1", "search", {"search_term": "Größe 44", "items": [{"id": "sku-1"}, {"id": "sku-2", "variant": "red"}]}),
]
"""By event id: the name, and the event's own properties."""


class Scene:
    """A server that some events were sent to, and tokens to look at them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.admin = token_for(server, "admin", "29")
        self.viewer = token_for(server, "viewer", "29")

    def get(self, path: str, token: str | None = None) -> Reply:
        return call(self.server, "GET", f"/v2/29/{path}", token or self.admin)

    def ids(self, query: str, token: str | None = None, path: str = "inspector/incoming") -> list[object]:
        """Event ids of what a search finds, newest first."""
        reply = self.get(f"{path}?{query}", token)
        assert reply.status == 200, reply.body
        return [at(one, "attributes", "event_id") for one in items(reply.json["data"])]

    def number(self, kind: str, label: str) -> int:
        found = items(self.get(kind).json["data"])
        number = next(one["id"] for one in found if at(one, "attributes", "label") == label)
        assert isinstance(number, int)
        return number


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Server(tmp_path_factory.mktemp("inspector") / "data", CONFIG + OTHER) as server:
        scene = Scene(server)
        for event_id, name, properties in SENT:
            device = {"ip": "203.0.113.77", "lang": "fr", "cookie": "c-1"}
            context = {"event_id": event_id, "event_timestamp": 1_764_000_000_000, "device": device}
            assert server.post({"event_name": name, "context": context, **properties})[0] == 200
        server.post(b'{"event_name": "purchase", oops}')
        server.post({"event_name": "login"}, query="tc_s=29&token=no-such-key")
        batch = {"batch": [{"event_name": "view", "context": {"event_id": "b-0"}}, {"context": {"event_id": "b-1"}}]}
        server.post(batch, path="/events/batch", query=f"tc_s=29&token={KEY}")
        server.post(
            {"event_name": "login", "context": {"event_id": "theirs"}},
            query="tc_s=31&token=b1946ac9-2490-4a5b-9d61-000000000031",
        )
        until(lambda: len(scene.ids("")) == 8, "all records")
        yield scene


def one(scene: Scene, query: str, token: str | None = None) -> dict[str, object]:
    """The attributes of the only record that a search finds."""
    (found,) = items(scene.get(f"inspector/incoming?{query}", token).json["data"])
    attributes = found["attributes"]
    assert isinstance(attributes, dict)
    return attributes


def test_every_request_leaves_a_record_refused_ones_too(scene: Scene) -> None:
    broken = one(scene, "filter[reason]=invalid_json&fields=full")
    assert (broken["status"], at(broken, "transport", "http_status")) == ("rejected", 400)
    assert broken["raw"] == '{"event_name": "purchase", oops}'
    unknown = one(scene, "filter[source]=none&filter[reason]=unknown_source_key")
    assert (unknown["event_name"], at(unknown, "transport", "http_status")) == ("login", 200)
    element = one(scene, "filter[event_id]=b-1")
    assert (element["status"], at(element, "transport", "batch_index")) == ("rejected", 1)
    assert at(element, "transport", "endpoint") == "events/batch"


FILTERS = [
    ("filter[event_name]=purchase", ["p-2", "p-1"]),
    ("filter[event_name]=purchase,search", ["s-1", "p-2", "p-1"]),
    ("filter[event_name]=purchase&filter[event_name]=search", ["s-1", "p-2", "p-1"]),
    ("filter[event_name][prefix]=pur", ["p-2", "p-1"]),
    ("filter[event_name][prefix]=x", []),
    ("filter[event_id]=p-1", ["p-1"]),
    ("filter[event_id]=theirs", []),
    ("filter[source]={shop}", ["b-1", "b-0"]),
    ("filter[source]={backend}&filter[event_name]=login", ["l-1"]),
    ("filter[source]=9999", []),
    ("filter[status]=rejected&filter[source]={shop}", ["b-1"]),
    ("filter[environment]=staging", []),
    ("filter[environment]=production&filter[event_name]=login", ["l-1"]),
    ("filter[test_code]=T1", ["l-1"]),
    ("filter[test_code]=*", ["l-1"]),
    ("filter[user_id]=42", ["p-2", "p-1"]),
    ("filter[anonymous_id]=anon-7", ["l-1"]),
    ("filter[q]=größe", ["s-1"]),
    ("filter[q]=spring 42", ["p-2"]),
    ("filter[q]=firefox", []),
    ("start=2020-01-01T00:00:00Z&end=2021-01-01T00:00:00Z", []),
    ("start=2020-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&filter[event_id]=p-1", ["p-1"]),
    ("filter[rangeType]=relative&filter[from]=3600&filter[event_id]=p-1", ["p-1"]),
    ("filter[rangeType]=relative&filter[from]=7200&filter[to]=3600", []),
    ("filter[from]=2020-01-01T00:00:00Z&filter[to]=2021-01-01T00:00:00Z", []),
    ("filter[property][user.id]=42", ["p-2", "p-1"]),
    ("filter[property][user.id]=42&filter[property][currency]=EUR", ["p-1"]),
    ("filter[property][currency]=EUR&filter[property][currency]=USD", ["p-2", "p-1"]),
    ("filter[property][value][eq]=120.0", ["p-1"]),
    ("filter[property][currency][neq]=EUR&filter[event_name]=purchase", ["p-2"]),
    ("filter[property][value][gt]=20.5", ["p-1"]),
    ("filter[property][value][gte]=20.5", ["p-2", "p-1"]),
    ("filter[property][value][lt]=120", ["p-2"]),
    ("filter[property][value][lte]=120", ["p-2", "p-1"]),
    ("filter[property][currency][in]=EUR,GBP", ["p-1"]),
    ("filter[property][items.id][contains]=ku-2", ["s-1"]),
    ("filter[property][items.0.id]=sku-2", []),
    ("filter[property][coupon][not_contains]=SPRING&filter[event_name]=purchase", ["p-1"]),
    ("filter[property][coupon][starts_with]=SPR", ["p-2"]),
    ("filter[property][coupon][ends_with]=-24", ["p-2"]),
    ("filter[property][coupon][matches]=^SPRING-[0-9]%2B$", ["p-2"]),
    ("filter[property][items.variant][exists]=true", ["s-1"]),
    ("filter[property][coupon][exists]=false&filter[event_name]=purchase", ["p-1"]),
    ("filter[property][method][empty]=true&filter[event_id]=l-1", ["l-1"]),
    ("filter[property][user.email]=ada@example.org", ["p-1"]),
    ("filter[view]=raw&filter[property][currency]=USD", ["p-2"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_a_filter_finds_what_it_says(scene: Scene, query: str, expected: list[str]) -> None:
    numbers = {"shop": scene.number("sources", "shop"), "backend": scene.number("sources", "backend")}
    asked = quote(query.format(**numbers), safe="=&[]%")
    assert scene.ids(asked) == expected


def test_every_operator_is_tried_over_http() -> None:
    assert all(any(f"][{operator}]=" in query for query, _ in FILTERS) for operator in OPERATORS)


def test_a_record_shows_what_came_what_became_of_it_and_no_address(scene: Scene) -> None:
    until(lambda: at(one(scene, "filter[event_id]=p-1"), "deliveries", "delivered") == 1, "the delivery")
    (found,) = items(scene.get("inspector/incoming?filter[event_id]=p-1&fields=full").json["data"])
    attributes = found["attributes"]
    assert at(attributes, "event_timestamp") == "2025-11-24T16:00:00.000Z"
    assert at(attributes, "transport", "ip") == "203.0.113.0"
    assert at(attributes, "normalized", "context", "device", "ip") == "203.0.113.0"
    assert at(attributes, "normalized", "user", "email") == "ada@example.org"
    assert at(attributes, "deliveries") == {"delivered": 1, "filtered": 0, "pending": 0, "rejected": 0, "error": 0}
    backend = scene.number("sources", "backend")
    assert at(found, "relationships", "source", "data") == {"type": "integrations", "id": str(backend)}
    links = found["links"]
    assert isinstance(links, dict)
    single = call(scene.server, "GET", links["self"], scene.admin)
    assert single.json["data"] == found
    hits = items(at(call(scene.server, "GET", links["trace"], scene.admin).json, "data", "attributes", "hits"))
    assert [hit["id"] for hit in hits] == [found["id"]]


def test_personal_data_is_for_who_may_see_it_also_by_search(scene: Scene) -> None:
    masked = one(scene, "filter[event_id]=p-1&fields=full", scene.viewer)
    assert at(masked, "normalized", "user") == {"id": "42", "email": "***"}
    assert at(masked, "normalized", "context", "device", "cookie") == "***"
    assert masked["raw"] is None or masked["raw"] == "***"
    for query in ("filter[property][user.email]=ada@example.org", "filter[property][user][exists]=true",
                  "filter[view]=raw&filter[property][currency]=EUR", "filter[view]=raw&filter[q]=ada"):  # fmt: skip
        for path in ("inspector/incoming", "inspector/facets"):
            if path.endswith("facets") and "view" in query:
                continue
            reply = scene.get(f"{path}?{query}", scene.viewer)
            assert (reply.status, reply.codes) == (403, ["MISSING_SCOPE"])
    assert scene.ids("filter[q]=oops", scene.viewer) == []
    assert scene.ids("filter[user_id]=42", scene.viewer) == ["p-2", "p-1"]


def test_words_in_what_is_masked_are_not_found_by_who_may_not_see_it(scene: Scene) -> None:
    assert scene.ids("filter[q]=ada") == ["p-1"]
    assert scene.ids("filter[q]=ada", scene.viewer) == []
    assert scene.ids("filter[q]=eur", scene.viewer) == ["p-1"]


def test_every_look_at_personal_data_is_recorded_and_no_other(scene: Scene) -> None:
    def views() -> list[object]:
        found = items(scene.get("activity-logs?filter[feature]=inspector&page[size]=200").json["data"])
        return [at(entry, "attributes", "action") for entry in found]

    before = views()
    (record,) = items(scene.get("inspector/incoming?filter[event_id]=p-1").json["data"])
    path = f"inspector/incoming/{record['id']}"
    scene.get(path, scene.viewer)
    scene.get("inspector/incoming?fields=full", scene.viewer)
    scene.get("inspector/incoming?filter[property][currency]=EUR")
    scene.get("inspector/facets")
    assert views() == before
    scene.get(path)
    scene.get("inspector/incoming?fields=full")
    scene.get("inspector/incoming?filter[property][user.email]=ada@example.org")
    scene.get("inspector/facets?filter[q]=ada")
    assert views()[: -len(before) or None] == ["incoming.search"] * 3 + ["incoming.view"]


def test_pages_lead_to_each_other_both_ways(scene: Scene) -> None:
    def page(path: str) -> tuple[list[object], dict[str, str]]:
        document = call(scene.server, "GET", path, scene.admin).json
        links = document["links"]
        assert isinstance(links, dict)
        return [at(one, "attributes", "event_id") for one in items(document["data"])], links

    everything = scene.ids("")
    seen: list[object] = []
    links = {"next": "/v2/29/inspector/incoming?page[size]=3"}
    back: list[list[object]] = []
    while "next" in links:
        found, links = page(links["next"])
        seen += found
        back.append(found)
    assert seen == everything
    for expected in back[-2::-1]:
        found, links = page(links["prev"])
        assert found == expected
    assert "prev" not in links


def test_facets_count_what_the_same_filters_find(scene: Scene) -> None:
    facets = at(scene.get("inspector/facets").json, "data", "attributes")
    assert (at(facets, "counted"), at(facets, "partial")) == (8, False)
    names = {str(one["value"]): one["count"] for one in items(at(facets, "event_name"))}
    assert names == {"purchase": 2, "login": 2, "": 2, "search": 1, "view": 1}
    sources = {str(one["value"]): one["count"] for one in items(at(facets, "source"))}
    backend, shop = scene.number("sources", "backend"), scene.number("sources", "shop")
    assert sources == {str(backend): 5, str(shop): 2, "none": 1}
    reasons = {str(one["value"]) for one in items(at(facets, "reason"))}
    assert {"invalid_json", "unknown_source_key", "missing_event_name"} <= reasons
    filtered = at(scene.get("inspector/facets?filter[event_name]=login").json, "data", "attributes")
    assert at(filtered, "counted") == 2


def facets(scene: Scene, query: str, token: str | None = None) -> dict[str, object]:
    attributes = at(scene.get(f"inspector/facets?{query}", token).json, "data", "attributes")
    assert isinstance(attributes, dict)
    return attributes


def test_facets_of_what_is_in_an_event_count_what_the_search_finds(scene: Scene) -> None:
    found = facets(scene, "filter[user_id]=42&facet=event_name,status")
    assert found == {
        "counted": 2,
        "partial": False,
        "event_name": [{"value": "purchase", "count": 2}],
        "status": [{"value": "invalid_accepted", "count": 2}],
    }


def test_the_most_frequent_values_of_a_property_are_told(scene: Scene) -> None:
    def values(query: str, token: str | None = None) -> dict[object, object]:
        found = facets(scene, f"facet=property&{query}", token)
        assert found.keys() == {"counted", "partial", "property"}
        return {one["value"]: one["count"] for one in items(at(found, "property", "values"))}

    assert values("path=currency") == {"EUR": 1, "USD": 1}
    assert values("path=user.id") == {"42": 2, "7": 1}
    assert values("path=items.id&filter[event_name]=search") == {"sku-1": 1, "sku-2": 1}
    assert values("path=currency&filter[property][value][gt]=100") == {"EUR": 1}
    assert values("path=nowhere") == values("path=currency&direction=outgoing&filter[status]=error") == {}
    assert values("path=user.email") == {"ada@example.org": 1}
    for path, status, code in (
        ("context.device.lang", 400, "PROPERTY_NOT_SEARCHABLE"),
        ("", 400, "INVALID_PARAMETER"),
        ("user.email", 403, "MISSING_SCOPE"),
    ):
        reply = scene.get(f"inspector/facets?facet=property&path={path}", scene.viewer)
        assert (reply.status, reply.codes) == (status, [code])


def test_a_list_says_how_many_there_are_when_asked(scene: Scene) -> None:
    def total(query: str, path: str = "inspector/incoming") -> object:
        return at(scene.get(f"{path}?include=total&page[size]=1&{query}").json, "meta", "total")

    assert total("") == len(scene.ids(""))
    for query in (
        "filter[event_name]=purchase",
        "filter[status]=rejected",
        "filter[user_id]=42",
        "filter[test_code]=*",
        "filter[event_name][prefix]=x",
        "filter[property][value][gt]=100",
        "end=2021-01-01T00:00:00Z",
    ):
        assert total(query) == len(scene.ids(query)), query
    until(lambda: total("filter[status]=delivered", "inspector/outgoing") == 5, "the deliveries")
    assert "total" not in str(scene.get("inspector/incoming").json["meta"])
    assert "prev" in str(scene.get(f"inspector/incoming?include=total&page[after]={10**6}").json["links"])


@pytest.mark.parametrize("query", ["", "filter[event_name]=purchase,login", "filter[property][user.id][exists]=true"])
@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_a_histogram_counts_what_the_list_shows(scene: Scene, direction: str, query: str) -> None:
    listed = items(scene.get(f"inspector/{direction}?{query}&page[size]=200").json["data"])
    now = now_ms()
    for period in ("", "&filter[rangeType]=relative&filter[from]=600", "&buckets=1"):
        reply = scene.get(f"inspector/histogram?direction={direction}&{query}{period}")
        assert reply.status == 200, reply.body
        attributes = at(reply.json, "data", "attributes")
        width, dataset = at(attributes, "bucket_ms"), at(attributes, "dataset")
        assert isinstance(width, int)
        assert isinstance(dataset, list)
        columns, rows = dataset[0], dataset[1:]
        assert columns[0] == "dateTime"
        assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + 1, width))
        assert rows[0][0] % width == 0
        assert rows[-1][0] <= now + 30_000
        statuses = Counter(str(at(one, "attributes", "status")) for one in listed)
        sums = {name: sum(row[place] for row in rows) for place, name in enumerate(columns) if place}
        assert {name: n for name, n in sums.items() if n} == statuses
        assert at(attributes, "counted") == len(listed)
        assert at(reply.json, "meta") == {"truncated": False, "sampled": False, "left_out": 0}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("start=2026-03-01T00:00:00Z&end=2026-02-01T00:00:00Z", "INVALID_PARAMETER"),
        ("start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z", "PERIOD_TOO_LONG"),
        ("buckets=0", "INVALID_PARAMETER"),
        ("buckets=201", "INVALID_PARAMETER"),
        ("filter[attempt]=1", "INVALID_PARAMETER"),
        ("filter[from]=yesterday", "INVALID_PARAMETER"),
    ],
)
def test_what_no_histogram_can_show_is_told(scene: Scene, query: str, code: str) -> None:
    reply = scene.get(f"inspector/histogram?{query}")
    assert (reply.status, reply.codes) == (400, [code])


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        (
            "filter[property][context.device.lang]=fr",
            "PROPERTY_NOT_SEARCHABLE",
            "filter[property][context.device.lang]",
        ),
        ("filter[property][value][near]=1", "INVALID_PARAMETER", "filter[property][value][near]"),
        ("filter[property][value][matches]=(?=x)", "INVALID_PARAMETER", "filter[property][value][matches]"),
        ("filter[property][value][exists]=1", "INVALID_PARAMETER", "filter[property][value][exists]"),
        ("filter[property][]=1", "INVALID_PARAMETER", "filter[property][]"),
        ("filter[property]=1", "INVALID_PARAMETER", "filter[property]"),
        ("filter[property][a][b][c]=1", "INVALID_PARAMETER", "filter[property][a][b][c]"),
        ("&".join(f"filter[property][p{i}]=1" for i in range(11)), "INVALID_PARAMETER", "filter[property]"),
        ("filter[q]=...", "INVALID_PARAMETER", "filter[q]"),
        ("filter[destination]=1", "INVALID_PARAMETER", "filter[destination]"),
        ("page[after]=x", "INVALID_PARAMETER", "page[after]"),
        ("filter[view]=sent", "INVALID_PARAMETER", "filter[view]"),
    ],
)
def test_what_can_not_be_searched_for_is_told(scene: Scene, query: str, code: str, parameter: str) -> None:
    reply = scene.get(f"inspector/incoming?{quote(query, safe='=&[]')}")
    assert (reply.status, reply.codes) == (400, [code])
    assert at(items(reply.json["errors"])[0], "source", "parameter") == parameter


def test_a_source_has_its_own_inspector(scene: Scene) -> None:
    shop = scene.number("sources", "shop")
    assert scene.ids("", path=f"sources/{shop}/inspector") == ["b-1", "b-0"]
    assert scene.ids("filter[status]=rejected", path=f"sources/{shop}/inspector") == ["b-1"]
    assert scene.get("sources/9999/inspector").status == 404


def test_a_record_of_another_site_or_of_no_one_is_not_there(scene: Scene) -> None:
    theirs = token_for(scene.server, "admin", "31")
    (record,) = items(call(scene.server, "GET", "/v2/31/inspector/incoming", theirs).json["data"])
    for path in (record["id"], "in_9999999999999999", "in_x", "out_0000000000000000", "%20"):
        assert scene.get(f"inspector/incoming/{path}").status == 404


def test_attempts_are_listed_and_searched_like_events(scene: Scene) -> None:
    archive = scene.number("destinations", "archive")
    for query in ("", "filter[http_status]=500", "filter[attempt]=2", "filter[replay]=rpl_1", "filter[view]=sent",
                  f"filter[destination]={archive}", "filter[property][value][gt]=1", "fields=full"):  # fmt: skip
        for path in ("inspector/outgoing", f"destinations/{archive}/inspector"):
            reply = scene.get(f"{path}?{query}")
            assert reply.status == 200, reply.body


def test_hostile_events_are_shown_and_found_like_others(scene: Scene) -> None:
    sent: dict[str, dict[str, object]] = {
        "h-many": {f"p{i}": i for i in range(1900)},
        "h-long": {"text": "x" * 30_000 + " needle"},
        "h-odd": {"a.b": {"": {"]": "odd"}}, "text": '\x00\u202e<script>alert(1)</script> OR " NEAR('},
        "<h>/..?#": {},
    }
    for event_id, event in sent.items():
        assert scene.server.post({"event_name": "hostile", "context": {"event_id": event_id}, **event})[0] == 200
    for body in (b'{"event_name": "hostile", "a": "\xff\xfe"}', b"[" * 900 + b"]" * 900, b"\x00" * 100):
        assert scene.server.post(body, query="tc_s=29&token=nobody")[0] in (200, 400)
    until(lambda: len(scene.ids("filter[event_name]=hostile")) == 4, "the hostile events")
    for query, expected in {
        "filter[property][p1899]=1899": ["h-many"],
        "filter[property][p1899][gte]=1899": ["h-many"],
        "filter[q]=needle": ["h-long"],
        "filter[q]=alert script": ["h-odd"],
        'filter[q]=" OR near(': ["h-odd"],
        "filter[event_id]=<h>/..?#": ["<h>/..?#"],
        "filter[property][a.b..]]=odd": None,
    }.items():
        reply = scene.get(f"inspector/incoming?{quote(query, safe='=&[]')}")
        if expected is None:
            assert reply.status == 400
        else:
            assert [at(one, "attributes", "event_id") for one in items(reply.json["data"])] == expected, query
    many = scene.get("inspector/incoming?filter[event_id]=h-many&fields=full").json
    paths = at(many, "meta", "unindexed_paths")
    assert isinstance(paths, list)
    assert len(paths) == 100
    assert "p0" not in paths
    record = scene.get(f"inspector/incoming/{at(many, 'data', 0, 'id')}").json
    assert at(record, "meta", "unindexed_paths") == paths
    assert "unindexed" not in str(scene.get("inspector/incoming?fields=full&filter[event_id]=p-1").json["meta"])
    until(lambda: len(scene.ids("filter[source]=none")) >= 3, "the refused ones")
    for token in (scene.admin, scene.viewer):
        full = scene.get("inspector/incoming?fields=full&page[size]=200", token)
        assert (full.status, len(items(full.json["data"]))) == (200, len(scene.ids("page[size]=200")))


def test_how_a_site_is_sampled_can_be_seen_and_changed(scene: Scene) -> None:
    def patch(**attributes: object) -> Reply:
        body = {"data": {"type": "inspector/settings", "attributes": attributes}}
        return call(scene.server, "PATCH", "/v2/29/inspector/settings", scene.admin, body)

    assert at(scene.get("inspector/settings").json, "data", "attributes", "sampling") == "auto"
    assert at(patch(sampling="quota").json, "data", "attributes", "sampling") == "quota"
    assert at(scene.get("inspector/settings").json, "data", "attributes", "sampling") == "quota"
    assert b"inspector" in scene.server.run("export").stdout
    # In one request, so in one minute.
    scene.server.post({"batch": [{"event_name": "flood"}] * 300}, path="/events/batch")
    until(lambda: at(scene.get("inspector/incoming").json, "meta", "left_out") == 264, "the quota to apply")
    assert at(scene.get("inspector/incoming").json, "meta", "sampled") is True
    assert len(scene.ids("filter[event_name]=flood&page[size]=200")) == 36
    assert patch(sampling="auto").status == 200
    assert (patch(sampling="some").status, patch(bytes=1).status) == (422, 422)
    assert call(scene.server, "GET", "/v2/29/inspector/settings", scene.viewer).status == 403


def test_records_are_there_after_a_restart_and_once(scene: Scene) -> None:
    before = scene.ids("page[size]=200")
    scene.server.stop()
    scene.server.start()
    scene.server.post({"event_name": "login", "context": {"event_id": "after"}})
    until(lambda: scene.ids("filter[event_id]=after"), "the event after the restart")
    assert scene.ids("page[size]=200") == ["after", *before]
    assert scene.ids(urlencode({"filter[event_id]": "after"})) == ["after"]
