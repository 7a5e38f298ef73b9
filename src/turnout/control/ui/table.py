"""All pages of the interface. A module that declares one is named here, and nowhere else."""

from collections.abc import Sequence

from turnout.control.ui.page import Page
from turnout.control.ui.pages import account, home, sources

PAGES: Sequence[Page] = (
    *home.PAGES,
    *account.PAGES,
    *sources.PAGES,
)
