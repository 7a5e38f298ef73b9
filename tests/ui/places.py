"""Addresses to look at, by page. A new page is named here, or `test_every_page.py` says so."""

PLACES = {
    "/ui": ["/ui?stay"],
    "/ui/login": [],  # who is logged in is sent on: test_first_run.py looks at it
    "/ui/welcome/{link}": ["/ui/welcome/nothing"],
    "/ui/account": ["/ui/account"],
    "/ui/{site}/sources": ["/ui/29/sources"],
}
"""Their server is that of `living.py`: numbers of sources begin with 1 in the order of its configuration."""
