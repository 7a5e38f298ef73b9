"""What user agents say of devices."""

import pytest

from turnout.process.enrichment.device import Device, Versioned, device_of

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E148 Safari/604.1"
)
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
    "Safari/537.36"
)
TABLET = (
    "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1"
)
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Safari/605.1.15"
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("user_agent", "kind", "system", "browser"),
    [
        (IPHONE, "mobile", "iOS", "Mobile Safari"),
        (PIXEL, "mobile", "Android", "Chrome Mobile"),
        (TABLET, "tablet", "Android", "Chrome"),
        (IPAD, "tablet", "iOS", "Mobile Safari"),
        (WINDOWS, "desktop", "Windows", "Chrome"),
        (LINUX, "desktop", "Linux", "Firefox"),
        (MAC, "desktop", "Mac OS X", "Safari"),
        (BOT, "bot", None, "Googlebot"),
    ],
)
def test_kind_system_and_browser(user_agent: str, kind: str, system: str | None, browser: str) -> None:
    found = device_of(user_agent)
    assert found is not None
    assert found.browser is not None
    names = (found.type, found.os.name if found.os else None, found.browser.name)
    assert names == (kind, system, browser)


def test_an_iphone_in_full() -> None:
    assert device_of(IPHONE) == Device(
        type="mobile",
        manufacturer="Apple",
        model="iPhone",
        os=Versioned("iOS", "18.5"),
        browser=Versioned("Mobile Safari", "18.5"),
    )


@pytest.mark.parametrize("user_agent", ["nonsense", "x" * 5_000, "\x00\ud800"])
def test_what_says_nothing(user_agent: str) -> None:
    assert device_of(user_agent) is None
