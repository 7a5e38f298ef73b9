"""A server as people meet it: sources and destinations of several kinds, events that arrive and events that don't."""

import json

from tests.support.server import BACKEND, KEY, Server, until

CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, label: Shop, key: {KEY}}}
      backend: {{type: server, label: Order backend, key: {BACKEND}, environment: staging}}
    destinations:
      archive: {{type: file, label: Archive, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
      orders: {{type: webhook, label: Order webhook, sources: [backend], event_names: [purchase],
               settings: {{url: "http://127.0.0.1:9/in"}}, delivery: {{max_attempts: 1, backoff_s: 0.1}}}}
"""
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "\u202eright to left\u202c مرحبا",
    "' onmouseover='alert(1)",
]
"""Names and values that strangers send."""


def live(server: Server) -> None:
    """Send events of every kind, and wait for what becomes of them."""
    for place in range(12):
        server.post(purchase(f"e-{place}"))
    for place, text in enumerate(HOSTILE):
        server.post({"event_name": text, "context": {"event_id": f"hostile-{place}"}, "user": {"id": text}, text: text})
    server.post({"event_name": "long", "context": {"event_id": "long"}, "text": "x" * 30_000})
    server.post({"event_name": "wide", "context": {"event_id": "wide"}} | {f"property_{n}": n for n in range(1_500)})
    server.post(b"not json")
    server.post({"event_name": "login"}, query="tc_s=29&token=nobody")
    until(lambda: _settled(server), "every event's outcome")


def purchase(event_id: str) -> dict[str, object]:
    """An event as shops send it."""
    return {
        "event_name": "purchase",
        "id": f"order-{event_id}",
        "currency": "EUR",
        "value": 22.53,
        "items": [{"id": "SKU_1", "quantity": 1, "price": 22.53, "product": {"id": "1", "name": "Trex tshirt"}}],
        "context": {"event_id": event_id, "page": {"url": "https://shop.example/checkout"}},
        "user": {"id": "42", "email": "someone@example.org", "consent_categories": ["1", "3"]},
    }


def _settled(server: Server) -> bool:
    found = json.loads(server.run("status", "--json").stdout)
    return server.audit()["closes"] is True and bool(found)
