"""Where everybody begins: the sites, and the first one."""

from turnout.control.api.documents import Listing
from turnout.control.api.sites import SiteAttributes, create_site, list_sites
from turnout.control.ui.page import Redirect, Refused, Shown, View, Visit, page


@page("GET", "/ui")
def home(visit: Visit) -> Shown:
    """The sites; straight on if there is one."""
    found = visit.ask(list_sites, Listing[SiteAttributes]).data
    if len(found) == 1 and "stay" not in visit.query:
        return Redirect(f"/ui/{found[0].id}/sources")
    return _sites(visit)


@page("POST", "/ui/sites")
def create(visit: Visit) -> Shown:
    """Make a site, and go on to its sources."""
    site = visit.form.get("site", "").strip()
    try:
        visit.do(create_site, body={"data": {"id": site}})
    except Refused as refused:
        return _sites(visit, refused)
    return Redirect(f"/ui/{site}/sources")


def _sites(visit: Visit, refused: Refused | None = None) -> View:
    found = visit.ask(list_sites, Listing[SiteAttributes]).data
    return View("sites.html", refused.status if refused else 200, sites=found, refused=refused)


PAGES = (home, create)
