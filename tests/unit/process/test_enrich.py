"""Stores and enrichments on events: who is kept, what is found, what is told (`processing.md` §6)."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from turnout.control.configuration.secrets import Secrets
from turnout.model.config import Snapshot
from turnout.model.enrichment import DataStore, Enrichment, Row
from turnout.model.event import Received
from turnout.process.build import chain_for
from turnout.process.chain import Chain, Tally, process
from turnout.process.enrichment.asking import Answers
from turnout.process.enrichment.geo import Geo
from turnout.process.enrichment.shelf import Shelf
from turnout.process.steps.enrich import Knowledge

SHOP = frozenset({"29/shop"})
NOW_MS = 1_764_000_000_000
ANN = {"id": "ann", "consent_categories": ["3"]}
CARTS = DataStore(site="29", name="carts", key="user.id", event_name="add_to_cart", sources=SHOP, consent="3")
PRODUCTS = DataStore(site="29", name="products", key="id")
CART = Enrichment(
    site="29", label="Cart", store="29/carts", key="user.id", rows=(Row("items", "items"),), sources=SHOP,
    event_names=frozenset({"purchase"}),
)  # fmt: skip
BRAND = Enrichment(
    site="29", label="Brand", store="29/products", key="items.product.id", rows=(Row("brand", "brand"),),
    sources=SHOP, placement="same_level",
)  # fmt: skip
FEW = (CARTS, PRODUCTS)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "stores.db", Secrets(tmp_path / "keys"))
    shelf.put("29/products", "P-1", b'{"id": "P-1", "brand": "Acme"}', 0, NOW_MS * 2)
    yield shelf
    shelf.close()


def no_geo(file: str) -> Geo:
    raise AssertionError(file)


def chain(shelf: Shelf, *rules: Enrichment, stores: tuple[DataStore, ...] = FEW, tally: Tally | None = None) -> Chain:
    snapshot = Snapshot(version="1", stores={one.ref: one for one in stores}, enrichments=rules)
    return chain_for(snapshot, tally or Tally(), Knowledge(shelf, Answers(lambda: NOW_MS), no_geo))


def through(
    steps: Chain, name: str, at_ms: int = NOW_MS, source: str = "29/shop", **event: object
) -> dict[str, object]:
    """The event as it comes out."""
    whole = {"event_name": name, "context": {"event_id": "e"}, **event}
    (done,) = process(Received("e", source, name, "valid", at_ms, msgspec.json.encode(whole)), 0, steps)
    assert done.status in ("valid", "invalid_accepted")
    out: dict[str, object] = msgspec.json.decode(done.payload)
    return out


def status(event: dict[str, object]) -> object:
    context = event["context"]
    assert isinstance(context, dict)
    return context.get("enrichment", {}).get("status")


def codes(event: dict[str, object]) -> list[str]:
    context = event["context"]
    assert isinstance(context, dict)
    return [one["detail"]["code"] for one in context.get("warnings", []) if one["type"] == "enrichment"]


def test_what_an_event_said_is_given_to_a_later_one_with_the_same_key(shelf: Shelf) -> None:
    steps = chain(shelf, CART)
    through(steps, "add_to_cart", user=ANN, items=[{"id": "1"}])
    bought = through(steps, "purchase", user=ANN)
    assert bought["items"] == [{"id": "1"}]
    assert status(bought) == "success"
    assert codes(bought) == []


@pytest.mark.parametrize(
    ("changed", "event"),
    [
        ({}, {"user": {"id": "ann", "consent_categories": ["1"]}}),
        ({}, {"user": {"id": "ann"}}),
        ({}, {"user": {"id": "", "consent_categories": ["3"]}}),
        ({"filter": "value > 10"}, {"user": ANN, "value": 3}),
        ({"sources": frozenset({"29/app"})}, {"user": ANN}),
        ({"status": "inactive"}, {"user": ANN}),
    ],
)
def test_nothing_is_kept_that_should_not_be(shelf: Shelf, changed: dict[str, object], event: dict[str, object]) -> None:
    store = msgspec.structs.replace(CARTS, **changed)
    through(chain(shelf, CART, stores=(store,)), "add_to_cart", NOW_MS, "29/shop", items=[{"id": "1"}], **event)
    bought = through(chain(shelf, CART), "purchase", user=ANN)
    assert "items" not in bought
    assert codes(bought) == ["no_data"]
    assert status(bought) == "failed"


def test_only_chosen_properties_are_kept(shelf: Shelf) -> None:
    store = msgspec.structs.replace(CARTS, properties=("items.id",))
    rule = msgspec.structs.replace(CART, rows=(Row("items", "items"), Row("value", "value")))
    steps = chain(shelf, rule, stores=(store,))
    through(steps, "add_to_cart", user=ANN, items=[{"id": "1", "price": 2}], value=2)
    bought = through(steps, "purchase", user=ANN)
    assert bought["items"] == [{"id": "1"}]
    assert "value" not in bought


def test_what_was_kept_is_gone_after_its_time(shelf: Shelf) -> None:
    steps = chain(shelf, CART)
    through(steps, "add_to_cart", user=ANN, items=[{"id": "1"}])
    assert codes(through(steps, "purchase", NOW_MS + CARTS.keep_ms - 1, user=ANN)) == []
    assert codes(through(steps, "purchase", NOW_MS + CARTS.keep_ms, user=ANN)) == ["no_data"]


def test_an_event_is_enriched_from_what_was_there_before_it(shelf: Shelf) -> None:
    rule = msgspec.structs.replace(CART, event_names=frozenset(), rows=(Row("last", "value"),))
    steps = chain(shelf, rule)
    assert codes(through(steps, "add_to_cart", user=ANN, value=1)) == ["no_data"]
    assert through(steps, "add_to_cart", user=ANN, value=2)["last"] == 1
    assert through(steps, "add_to_cart", user=ANN, value=3)["last"] == 2


def test_what_an_enrichment_adds_is_not_kept_as_the_events_own(shelf: Shelf) -> None:
    steps = chain(shelf, msgspec.structs.replace(BRAND, placement="root"), CART)
    through(steps, "add_to_cart", user=ANN, items=[{"id": "1", "product": {"id": "P-1"}}])
    stored = shelf.get("29/carts", "ann", NOW_MS)
    assert stored is not None
    assert "brand" not in stored


def test_a_key_in_an_array_is_looked_up_for_each_element(shelf: Shelf) -> None:
    items = [{"product": {"id": "P-1"}}, {"product": {"id": "P-9"}}, {"product": {}}]
    seen = through(chain(shelf, BRAND), "view_cart", items=items)
    assert seen["items"] == [{"product": {"id": "P-1", "brand": "Acme"}}, *items[1:]]
    assert status(seen) == "partial"
    assert codes(seen) == ["no_data", "missing_key"]


def test_properties_can_go_to_the_root_or_a_place_of_their_own(shelf: Shelf) -> None:
    root = msgspec.structs.replace(BRAND, placement="root")
    items = [{"product": {"id": "P-1"}}]
    assert through(chain(shelf, root), "view_cart", items=items)["brand"] == "Acme"
    custom = msgspec.structs.replace(BRAND, placement="custom", path="catalogue.first")
    assert through(chain(shelf, custom), "view_cart", items=items)["catalogue"] == {"first": {"brand": "Acme"}}
    assert codes(through(chain(shelf, custom), "view_cart", items=items, catalogue="x")) == ["type_error"]


def test_other_events_and_other_sources_are_left_alone(shelf: Shelf) -> None:
    steps = chain(shelf, msgspec.structs.replace(CART, when="value > 10"))
    for event in (
        through(steps, "login", user=ANN),
        through(steps, "purchase", user=ANN, value=3),
        through(steps, "purchase", source="29/app", user=ANN, value=30),
    ):
        assert status(event) is None
    assert status(through(steps, "purchase", user=ANN, value=30)) == "failed"


def test_rules_run_in_their_order_and_are_counted(shelf: Shelf) -> None:
    shelf.put("29/products", "Acme", b'{"country": "FR"}', 0, NOW_MS * 2)
    first = msgspec.structs.replace(BRAND, placement="root")
    second = Enrichment(
        site="29", label="Country", store="29/products", key="brand", rows=(Row("country", "country"),), sources=SHOP
    )
    tally = Tally()
    seen = through(chain(shelf, first, second, tally=tally), "view_cart", items=[{"product": {"id": "P-1"}}])
    assert seen["country"] == "FR"
    assert tally.enrichments == {("29", "Brand", "success"): 1, ("29", "Country", "success"): 1}


def test_a_store_that_can_not_be_used_costs_the_enrichment_alone(tmp_path: Path) -> None:
    (tmp_path / "stores.db").write_bytes(b"no database at all" * 100)
    broken = Shelf(tmp_path / "stores.db", Secrets(tmp_path / "keys"))
    steps = chain(broken, CART)
    through(steps, "add_to_cart", user=ANN, items=[{"id": "1"}])
    bought = through(steps, "purchase", user=ANN)
    assert codes(bought) == ["store_error"]
    assert status(bought) == "failed"


def test_a_configuration_without_stores_has_no_such_step(shelf: Shelf) -> None:
    assert "enrich" not in [step.name for step in chain(shelf, stores=(PRODUCTS,))]


class OneCity(Geo):
    """Knows one address."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), lambda: NOW_MS)

    def place(self, address: str) -> dict[str, object] | None:
        return {"country": "FR", "city": "Lyon"} if address == "192.0.2.1" else None


WHERE = Enrichment(site="29", label="Where", geo="/geo.mmdb", sources=SHOP)
WHAT = Enrichment(site="29", label="What", user_agent=True, sources=SHOP)


def described(shelf: Shelf, rule: Enrichment, device: object, **context: object) -> dict[str, object]:
    """The context that comes out."""
    snapshot = Snapshot(version="1", enrichments=(rule,))
    known = Knowledge(shelf, Answers(lambda: NOW_MS), lambda _: OneCity())
    found = through(
        chain_for(snapshot, Tally(), known), "login", context={"event_id": "e", "device": device, **context}
    )
    inner = found["context"]
    assert isinstance(inner, dict)
    return inner


def test_an_address_gives_a_place_and_what_is_known_already_stays(shelf: Shelf) -> None:
    assert described(shelf, WHERE, {"ip": "192.0.2.1"})["geo"] == {"country": "FR", "city": "Lyon"}
    known = described(shelf, WHERE, {"ip": "192.0.2.1"}, geo={"country": "BE"})
    assert known["geo"] == {"country": "BE", "city": "Lyon"}
    assert known["enrichment"] == {"status": "success"}


@pytest.mark.parametrize(
    ("rule", "device", "code"),
    [
        (WHERE, {}, "missing_key"),
        (WHERE, {"ip": "203.0.113.9"}, "no_data"),
        (WHAT, {"ip": "192.0.2.1"}, "missing_key"),
        (WHAT, {"user_agent": "nonsense"}, "no_data"),
    ],
)
def test_what_says_nothing_gives_nothing(shelf: Shelf, rule: Enrichment, device: object, code: str) -> None:
    inner = described(shelf, rule, device)
    assert codes({"context": inner}) == [code]
    assert inner["enrichment"] == {"status": "failed"}


def test_a_user_agent_describes_the_device(shelf: Shelf) -> None:
    linux = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
    device = described(shelf, WHAT, {"user_agent": linux, "type": "kiosk"})["device"]
    assert device == {
        "user_agent": linux,
        "type": "kiosk",
        "os": {"name": "Linux", "version": ""},
        "browser": {"name": "Firefox", "version": "142.0"},
    }
