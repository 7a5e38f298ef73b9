"""Sources: the list."""

from turnout.control.api.documents import Listing
from turnout.control.api.shown import SourceAttributes
from turnout.control.api.sources import list_sources
from turnout.control.ui.page import View, Visit, page


@page("GET", "/ui/{site}/sources")
def show_sources(visit: Visit) -> View:
    """All sources of a site, found by label, environment and status."""
    found = visit.ask(list_sources, Listing[SourceAttributes])
    return View("sources/list.html", sources=found.data)


PAGES = (show_sources,)
