"""Visits to the simulated shop: who comes, what they look at, put in the cart, buy, and what goes wrong. Pure.

Of a hundred visits about twenty end with a purchase, a shop to dream of; a newcomer should not wait for one. A few
events are broken on purpose, in the ways that real installations break them.
"""

import uuid
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

import msgspec

from turnout.demo.goods import (
    CATEGORIES,
    CONSENTS,
    CURRENCY,
    DEVICES,
    PRODUCTS,
    REFERRERS,
    SEARCHES,
    SHOP,
    Device,
    Product,
)

Event = dict[str, object]
Broken = Literal["", "json", "name", "timestamp", "price", "key"]
"""What is wrong with a request: not JSON; no event name; seconds for milliseconds; text for a number; a foreign key."""

BREAKAGES: tuple[Broken, ...] = ("json", "name", "timestamp", "price", "key")
_BROKEN_SHARE = 0.03
_TAX = 1.2


class Sending(NamedTuple):
    """One request: its body, which source sends it, and what was broken on purpose."""

    body: bytes
    source: Literal["web", "server"] = "web"
    broken: Broken = ""


class Visitor(NamedTuple):
    """Somebody with a device. `user` is what events say of them."""

    device: Device
    address: str
    referrer: str
    user: Event


def traffic(random: Random, clock_ms: int, step_ms: float) -> Iterator[Sending]:
    """Requests without end, the visits of a few people mixed. Their times go on by `step_ms` from `clock_ms`."""
    under_way = [visit(random) for _ in range(5)]
    sent = 0
    while True:
        at = random.randrange(len(under_way))
        found = next(under_way[at], None)
        if found is None:
            under_way[at] = visit(random)
            continue
        event, source = found
        _stamp(event, random, clock_ms + int(sent * step_ms))
        sent += 1
        yield broken(event, random) if random.random() < _BROKEN_SHARE else Sending(_encode(event), source)


def visit(random: Random) -> Iterator[tuple[Event, Literal["web", "server"]]]:
    """The events of one visit and which source sends each: the purchase comes from the shop's backend too."""
    visitor = _visitor(random)
    yield _page(visitor, "home", "Home", "/"), "web"
    if random.random() < 0.3:
        term = random.choice(SEARCHES)
        yield _on_page(visitor, "search", f"/search?q={term.replace(' ', '+')}", "Search", search_term=term), "web"
    category = random.choice(CATEGORIES)
    yield _page(visitor, "product_list", category.capitalize(), f"/c/{category}"), "web"
    cart: list[tuple[Product, int]] = []
    for product in random.sample(PRODUCTS, random.randint(1, 3)):
        yield _with_items(visitor, "view_item", f"/p/{product.id}", product.name, [(product, 1)]), "web"
        if random.random() < 0.45:
            cart.append((product, random.randint(1, 2)))
            yield _with_items(visitor, "add_to_cart", f"/p/{product.id}", product.name, cart[-1:]), "web"
    if not cart or random.random() > 0.55:
        return
    if random.random() < 0.5:
        _log_in(visitor, random)
        yield _on_page(visitor, "login", "/account", "Your account", method="password"), "web"
    order = f"O-{random.randrange(10**6, 10**7)}"
    yield _with_items(visitor, "begin_checkout", "/checkout", "Checkout", cart, id=order), "web"
    if random.random() < 0.7:
        paid: Event = {"id": order, "type": "online", "status": "in_progress", "payment_method": "card"}
        yield _with_items(visitor, "purchase", "/thanks", "Thank you", cart, **paid), "web"
        yield _with_items(visitor, "purchase", "", "", cart, **{**paid, "status": "pending_shipment"}), "server"


def broken(event: Event, random: Random) -> Sending:
    """The event as a careless installation would send it."""
    how = random.choice(BREAKAGES)
    context = event["context"]
    assert isinstance(context, dict)
    if how == "json":
        return Sending(_encode(event)[:-2], broken=how)
    if how == "name":
        del event["event_name"]
    elif how == "timestamp":
        context["event_timestamp"] = int(context["event_timestamp"]) // 1000
    elif how == "price":
        event |= {"event_name": "view_item", "value": "twelve", "currency": "euro"}
    return Sending(_encode(event), broken=how)


def _visitor(random: Random) -> Visitor:
    categories = random.choices([given for given, _ in CONSENTS], [share for _, share in CONSENTS])[0]
    anonymous = str(uuid.UUID(int=random.getrandbits(128), version=4))
    user: Event = {"consistent_anonymous_id": anonymous, "consent_categories": list(categories)}
    address = f"{random.choice(('192.0.2', '198.51.100', '203.0.113'))}.{random.randint(1, 254)}"
    return Visitor(random.choice(DEVICES), address, random.choice(REFERRERS), user)


def _log_in(visitor: Visitor, random: Random) -> None:
    number = random.randint(1, 500)
    visitor.user.update(id=f"C-{number:04d}", email=f"customer{number}@example.org")


def _page(visitor: Visitor, kind: str, title: str, path: str) -> Event:
    return _on_page(visitor, "page_view", path, title, page_type=kind, page_name=title)


def _on_page(visitor: Visitor, name: str, path: str, title: str, **properties: object) -> Event:
    device, viewport = visitor.device, visitor.device.viewport
    context: Event = {
        "device": {
            "user_agent": device.user_agent,
            "ip": visitor.address,
            "lang": device.language[:2],
            "timezone": device.timezone,
        }
    }
    if path:
        context["page"] = {
            "url": SHOP + path,
            "title": title,
            "referrer": visitor.referrer,
            "lang": device.language[:2],
            "viewport": {"width": viewport[0], "height": viewport[1]},
        }
    return {"event_name": name, **properties, "user": dict(visitor.user), "context": context}


def _with_items(
    visitor: Visitor, name: str, path: str, title: str, items: list[tuple[Product, int]], **properties: object
) -> Event:
    value = round(sum(product.price * quantity for product, quantity in items), 2)
    listed = [
        {
            "id": product.id,
            "quantity": quantity,
            "product": {
                "id": product.id,
                "name": product.name,
                "price": product.price,
                "currency": CURRENCY,
                "category_1": product.category,
            },
        }
        for product, quantity in items
    ]
    amounts = {"value": value, "revenue": round(value / _TAX, 2), "currency": CURRENCY, "items": listed}
    return _on_page(visitor, name, path, title, **amounts, **properties)


def _stamp(event: Event, random: Random, now_ms: int) -> None:
    context = event["context"]
    assert isinstance(context, dict)
    context["event_id"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    context["event_timestamp"] = now_ms


def _encode(event: Event) -> bytes:
    return msgspec.json.encode(event)
