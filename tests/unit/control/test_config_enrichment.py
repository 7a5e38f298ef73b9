"""`stores` and `enrichments` in `turnout.yaml`: what they become, and every way to get them wrong."""

import msgspec
import pytest

from turnout.control.configfile import load
from turnout.model.config import Snapshot
from turnout.model.enrichment import Api, DataStore, Enrichment, Row
from turnout.model.errors import ConfigError

SOURCES = {
    "shop": {"type": "web", "key": "k1"},
    "app": {"type": "mobile", "key": "k2"},
    "lab": {"type": "web", "key": "k3", "environment": "staging"},
}
STORE = {"key": "user.id", "event_name": "add_to_cart", "consent": "3"}
RULE = {"label": "Cart", "store": "carts", "key": "user.id", "properties": [{"property": "items"}]}


def loaded(stores: object, enrichments: object) -> Snapshot:
    site = {"sources": SOURCES, "stores": stores, "enrichments": enrichments}
    return load(msgspec.json.encode({"sites": {"29": site}}).decode(), {})


def test_what_is_left_out_has_its_default() -> None:
    found = loaded({"carts": STORE}, [RULE])
    both = frozenset({"29/shop", "29/app"})
    assert found.stores == {
        "29/carts": DataStore(
            site="29", name="carts", key="user.id", event_name="add_to_cart", sources=both, consent="3"
        )
    }
    assert found.enrichments == (
        Enrichment(
            site="29", label="Cart", store="29/carts", key="user.id", rows=(Row("items", "items"),), sources=both
        ),
    )


def test_what_is_given_is_taken() -> None:
    store = {**STORE, "properties": ["items"], "filter": "value > 1", "retention_days": 730, "sources": ["lab"]}
    rule = {
        **RULE,
        "properties": [{"property": "basket", "from": "items", "override": True}],
        "event_names": ["purchase"],
        "when": "value > 2",
        "placement": "custom",
        "path": "extra",
        "environment": "staging",
        "status": "inactive",
    }
    found = loaded({"carts": store}, [rule])
    assert found.stores["29/carts"].keep_ms == 730 * 86_400_000
    assert found.stores["29/carts"].sources == {"29/lab"}
    (one,) = found.enrichments
    assert (one.rows, one.path, one.status) == ((Row("basket", "items", True),), "extra", "inactive")
    assert one.sources == {"29/lab"}


@pytest.mark.parametrize(
    ("stores", "rules", "path", "message"),
    [
        ({"carts": {"key": "a", "event_name": "x"}}, [], "stores.carts.consent", "is missing"),
        ({"carts": {"key": "a", "consent": "3"}}, [], "stores.carts.consent", "no effect without event_name"),
        ({"carts": {"key": "a", "filter": "b > 1"}}, [], "stores.carts.filter", "no effect without event_name"),
        ({"carts": {"key": "a..b"}}, [], "stores.carts.key", "is no path"),
        ({"carts": {**STORE, "properties": ["x."]}}, [], "stores.carts.properties[0]", "is no path"),
        ({"carts": {**STORE, "retention_days": 731}}, [], "stores.carts.retention_days", ""),
        ({"carts": {**STORE, "filter": "value >"}}, [], "stores.carts.filter", "column"),
        ({"carts": {**STORE, "sources": ["shopp"]}}, [], "stores.carts.sources[0]", "there is no source"),
        ({"carts": {**STORE, "ttl": 3}}, [], "stores.carts.ttl", ""),
        ({"-": STORE}, [], 'stores."-"', "is no usable name"),
        ({"carts": STORE}, [{**RULE, "store": "cart"}], "enrichments[0].store", "there is no store 'cart'"),
        ({"carts": STORE}, [RULE, RULE], "enrichments[1].label", "another enrichment's label"),
        ({"carts": STORE}, [{**RULE, "path": "x"}], "enrichments[0].path", "goes with placement: custom"),
        ({"carts": STORE}, [{**RULE, "placement": "custom"}], "enrichments[0].path", "goes with placement: custom"),
        ({"carts": STORE}, [{**RULE, "properties": []}], "enrichments[0].properties", ""),
        (
            {"carts": STORE},
            [{**RULE, "properties": [{"property": "a.."}]}],
            "enrichments[0].properties[0].property",
            "",
        ),
        (
            {"carts": STORE},
            [{**RULE, "properties": [{"property": "user"}]}],
            "enrichments[0].properties[0].property",
            "the user's own choice",
        ),
        ({"carts": STORE}, [{**RULE, "when": "NO(1)"}], "enrichments[0].when", "column"),
    ],
)
def test_what_can_not_work_is_refused_with_its_place(stores: object, rules: object, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(stores, rules)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert message in found[f'sites."29".{path}']


API = {"url": "https://api.example/p?id={{user.id}}"}
ASKS = {"label": "Where", "api": API, "properties": [{"property": "city"}]}


def test_an_api_has_its_defaults() -> None:
    (found,) = loaded({}, [ASKS]).enrichments
    assert found.api == Api(url="https://api.example/p?id={{user.id}}", timeout_ms=1_000, cache_ms=300_000)
    assert (found.store, found.key) == ("", "")


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ({"api": {"url": "ftp://api.example"}}, "api.url", "must start with http"),
        ({"api": {"url": "https://api.example/{{NO(}}"}}, "api.url", "column"),
        ({"api": {**API, "headers": {"X Y": "1"}}}, "api.headers.X Y", ""),
        ({"api": {**API, "body": {"a": 1}}}, "api.body", "no effect with method: GET"),
        ({"api": {**API, "timeout_ms": 5_001}}, "api.timeout_ms", ""),
        ({"store": "carts"}, "store", "has no effect with an enrichment with api"),
        ({"placement": "same_level"}, "placement", "same_level has no meaning with api"),
    ],
)
def test_an_api_that_can_not_work_is_refused(changed: dict[str, object], path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded({"carts": STORE}, [{**ASKS, **changed}])
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert message in found[f'sites."29".enrichments[0].{path}']


def test_without_an_api_a_store_and_a_key_are_needed() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded({}, [{"label": "x", "properties": [{"property": "city"}]}])
    assert [problem.path.rpartition(".")[2] for problem in caught.value.problems] == ["store", "key"]


def test_geo_and_user_agent_need_no_rows() -> None:
    found = loaded({}, [{"label": "Where", "geo": {"file": "/geo.mmdb"}}, {"label": "What", "user_agent": True}])
    assert [(one.geo, one.user_agent, one.rows) for one in found.enrichments] == [
        ("/geo.mmdb", False, ()),
        ("", True, ()),
    ]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"geo": {"file": "geo.mmdb"}}, "geo.file"),
        ({"geo": {}}, "geo.file"),
        ({"user_agent": False}, "user_agent"),
        ({"user_agent": True, "properties": [{"property": "a"}]}, "properties"),
        ({"user_agent": True, "placement": "custom", "path": "a"}, "placement"),
        ({"geo": {"file": "/a"}, "user_agent": True}, "user_agent"),
    ],
)
def test_what_does_not_go_with_geo_or_user_agent_is_refused(rule: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded({}, [{"label": "x", **rule}])
    assert f'sites."29".enrichments[0].{path}' in [problem.path for problem in caught.value.problems]


def test_consent_is_changed_by_who_confirms_it() -> None:
    row = {"property": "user.consent_categories", "from": "consent", "confirm": True}
    assert loaded({"carts": STORE}, [{**RULE, "properties": [row]}]).enrichments[0].rows[0].stored == "consent"


def test_a_row_that_another_one_erases_is_doubtful() -> None:
    rows = [{"property": "items.product.price"}, {"property": "items", "override": True}]
    (warning,) = loaded({"carts": STORE}, [{**RULE, "properties": rows}]).warnings
    assert warning.path == 'sites."29".enrichments[0].properties[1].property'
