"""What the simulated shop sells, and who comes to it."""

from typing import NamedTuple

SHOP = "https://shop.example"
CURRENCY = "EUR"


class Product(NamedTuple):
    """One line of the range; `price` with taxes."""

    id: str
    name: str
    category: str
    price: float


PRODUCTS = (
    Product("TS-01", "Linen t-shirt", "t-shirts", 29.0),
    Product("TS-02", "Striped t-shirt", "t-shirts", 24.5),
    Product("SH-01", "Walking shoes", "shoes", 119.0),
    Product("SH-02", "Canvas sneakers", "shoes", 64.9),
    Product("BA-01", "Day pack", "bags", 79.0),
    Product("BA-02", "Weekender", "bags", 149.0),
    Product("HA-01", "Straw hat", "hats", 35.0),
    Product("SO-01", "Merino socks", "socks", 14.9),
)
CATEGORIES = tuple(dict.fromkeys(product.category for product in PRODUCTS))
SEARCHES = ("t-shirt", "shoes", "gift", "rain coat", "hat", "socks wool", "sac à dos")
REFERRERS = ("", "https://search.example/", "https://news.example/summer-hats", "https://social.example/p/4711")
CONSENTS = ((("1", "2", "3"), 62), (("1", "2"), 12), (("1",), 8), ((), 18))
"""Consent categories that a visitor grants, and how many of a hundred do so; none: a refusal."""


class Device(NamedTuple):
    """What somebody comes with."""

    user_agent: str
    language: str
    timezone: str
    viewport: tuple[int, int]


DEVICES = (
    Device(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
        "Safari/537.36",
        "en-GB",
        "Europe/London",
        (1920, 969),
    ),
    Device(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
        "Mobile/15E148 Safari/604.1",
        "fr-FR",
        "Europe/Paris",
        (390, 664),
    ),
    Device(
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
        "Safari/537.36",
        "de-DE",
        "Europe/Berlin",
        (412, 785),
    ),
    Device(
        "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
        "fr-FR",
        "Europe/Paris",
        (1440, 789),
    ),
)
