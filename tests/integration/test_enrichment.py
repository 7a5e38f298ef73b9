"""Stores and enrichments on a running server, through a kill, and stores filled from a file."""

import json
from collections.abc import Iterator

import pytest

from tests.support.server import CONFIG, Server, kill, until

STORES = """
    stores:
      carts: {key: user.id, event_name: add_to_cart, consent: "3", properties: [items]}
      products: {key: id, retention_days: 30}
    enrichments:
      - {label: Cart, store: carts, key: user.id, event_names: [purchase], properties: [{property: items}]}
      - label: Brand
        store: products
        key: items.product.id
        placement: same_level
        properties: [{property: brand, from: name}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("enrichment") / "data", CONFIG + STORES) as running:
        yield running


def send(server: Server, event_id: str, name: str, **properties: object) -> None:
    event = {"event_name": name, "context": {"event_id": event_id}, **properties}
    assert server.post(event)[0] == 200


def arrived(server: Server, event_id: str) -> dict[str, object]:
    """What the file destination got."""
    file = server.data / "out" / "events.ndjson"

    def lines() -> list[dict[str, object]]:
        text = file.read_text() if file.exists() else ""
        return [one for line in text.splitlines() if (one := json.loads(line))["context"]["event_id"] == event_id]

    until(lambda: bool(lines()), f"{event_id} to arrive")
    return lines()[0]


def test_what_was_in_the_cart_comes_with_the_purchase_also_after_a_kill(server: Server) -> None:
    user = {"id": "ann", "consent_categories": ["3"]}
    send(server, "cart", "add_to_cart", user=user, items=[{"id": "1", "product": {"id": "P-1"}}])
    arrived(server, "cart")
    worker = server.pid("worker")
    assert worker is not None
    kill(worker)
    send(server, "buy", "purchase", user=user)
    bought = arrived(server, "buy")
    assert bought["items"] == [{"id": "1", "product": {"id": "P-1"}}]
    context = bought["context"]
    assert isinstance(context, dict)
    assert context["enrichment"]["status"] == "partial", "the product is not in the catalogue yet"


def test_a_store_is_filled_from_a_file_and_used_at_once(server: Server) -> None:
    lines = b'{"id": "P-2", "name": "Acme"}\nno json\n{"id": ""}\n{"id": 3, "name": "Three"}\n'
    ran = server.run("store", "fill", "products", "-", stdin=lines)
    assert ran.returncode == 1
    assert ran.stdout.decode().strip() == "2 kept in 29/products, 2 not"
    assert b"line 2: no JSON object with a value at id" in ran.stderr
    items = [{"id": "1", "product": {"id": "P-2"}}, {"id": "2", "product": {"id": "3"}}]
    send(server, "seen", "view_cart", user={"id": "bob"}, items=items)
    found = arrived(server, "seen")["items"]
    assert isinstance(found, list)
    assert [one["product"]["brand"] for one in found] == ["Acme", "Three"]


def test_stores_are_listed_with_their_sizes(server: Server) -> None:
    server.run("store", "fill", "products", "-", stdin=b'{"id": "P-9"}')
    sizes = json.loads(server.run("store", "list", "--json").stdout)
    assert sizes["29/products"] >= 1
    assert set(sizes) == {"29/carts", "29/products"}


def test_an_unknown_store_is_named(server: Server) -> None:
    ran = server.run("store", "fill", "product", "-")
    assert ran.returncode == 2
    assert b"there is no store 'product'; configured: 29/carts, 29/products" in ran.stderr


def test_figures_tell_what_enrichments_came_to(server: Server) -> None:
    send(server, "none", "purchase", user={"id": "nobody"})
    arrived(server, "none")
    until(
        lambda: b'turnout_enrichments_total{rule="Cart",site="29",status="failed"}' in server.get("/metrics")[1],
        "the figures to tell",
    )


def test_who_is_erased_is_erased_from_stores_too(server: Server) -> None:
    for who in ("cleo", "dave"):
        send(server, f"cart-{who}", "add_to_cart", user={"id": who, "consent_categories": ["3"]}, items=[{"id": "1"}])
        arrived(server, f"cart-{who}")
    ran = server.run("erase", "--site", "29", "--user-id", "cleo", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["receipt"]["erased"]["data_stores"] == 1
    for who in ("cleo", "dave"):
        send(server, f"buy-{who}", "purchase", user={"id": who})
    assert "items" not in arrived(server, "buy-cleo")
    assert arrived(server, "buy-dave")["items"] == [{"id": "1"}]
