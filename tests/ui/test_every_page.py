"""Every page, in both themes and at three widths: no error, no violation of the policy, no barrier."""

import pytest
from playwright.sync_api import Browser

from tests.support.ui import WIDTHS, eyes
from tests.ui.conftest import Living
from tests.ui.places import PLACES
from turnout.control.ui.table import PAGES


def test_every_page_is_looked_at() -> None:
    assert {one.path for one in PAGES if one.method == "GET"} == set(PLACES)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", sorted(path for paths in PLACES.values() for path in paths))
def test_a_page_is_sound(browser: Browser, living: Living, path: str, theme: str) -> None:
    with eyes(browser, living.server, living.session, theme=theme) as look:
        look.go(path)
        for width in WIDTHS:
            look.page.set_viewport_size({"width": width, "height": 900})
            assert not look.overflows(), f"{path} at {width}"
            assert look.barriers() == []
        allowed = 1 if path.startswith("/ui/welcome/") else 0  # the browser tells of a status of 410
        assert len(look.complaints) <= allowed, look.complaints
