"""Logging in and out, the links that make an account one's own, its password, and what people prefer."""

from urllib.parse import urlsplit

from turnout.control.access.door import Person
from turnout.control.access.gate import LoginRefusedError
from turnout.control.access.sessions import COOKIE
from turnout.control.ui.page import Redirect, Shown, View, Visit, page
from turnout.control.ui.shell import LANGUAGE, THEME
from turnout.control.ui.words import LANGUAGES
from turnout.model.clock import now_ms
from turnout.model.errors import AccountFieldError


@page("GET", "/ui/login", is_open=True)
def show_login(visit: Visit) -> Shown:
    """The form to log in."""
    return Redirect("/ui") if visit.me else _login(visit)


@page("POST", "/ui/login", is_open=True)
def log_in(visit: Visit) -> Shown:
    """Open a session, and go where somebody wanted to."""
    email, password = visit.form.get("email", ""), visit.form.get("password", "")
    try:
        opened = visit.api.door.login(email, password, visit.address, now_ms())
    except LoginRefusedError as refused:
        return _login(visit, refused)
    return Redirect(_inside(visit.form.get("next", "")), cookies={COOKIE: opened.secret})


@page("POST", "/ui/logout")
def log_out(visit: Visit) -> Shown:
    """End the session."""
    visit.api.door.logout(visit.session, visit.address, now_ms())
    return Redirect("/ui/login", visit.words("You have logged out."), {COOKIE: ""})


@page("GET", "/ui/welcome/{link}", is_open=True)
def show_welcome(visit: Visit) -> Shown:
    """What a one-time link is for: the first administrator, or a password."""
    return _welcome(visit)


@page("POST", "/ui/welcome/{link}", is_open=True)
def welcome(visit: Visit) -> Shown:
    """Use a one-time link."""
    door, link, form = visit.api.door, visit.path["link"], visit.form
    try:
        _check_repeated(visit)
        if "email" in form:
            names = {name: form.get(name, "") for name in ("email", "first_name", "last_name")}
            person = Person(**names, language=visit.words.language)
            opened = door.welcome(link, person, form.get("password", ""), visit.address, now_ms())
        else:
            opened = door.accept(link, form.get("password", ""), visit.address, now_ms())
    except AccountFieldError as wrong:
        return _welcome(visit, wrong)
    except LoginRefusedError as refused:
        return _useless(refused)
    return Redirect("/ui", cookies={COOKIE: opened.secret})


@page("GET", "/ui/account")
def show_account(visit: Visit) -> Shown:
    """Who one is here, and what one may do."""
    return View("account/account.html", wrong=None)


@page("POST", "/ui/account/password")
def change_password(visit: Visit) -> Shown:
    """Take another password."""
    form = visit.form
    try:
        _check_repeated(visit)
        visit.api.door.change_password(
            visit.session, form.get("old", ""), form.get("password", ""), visit.address, now_ms()
        )
    except AccountFieldError as wrong:
        return View("account/account.html", 422, wrong=wrong)
    except LoginRefusedError as refused:
        return View("account/account.html", 422, wrong=AccountFieldError("old", str(refused)))
    return Redirect("/ui/account", visit.words("Your password is changed, and your other sessions have ended."))


@page("POST", "/ui/preferences", is_open=True)
def prefer(visit: Visit) -> Shown:
    """Keep a language or a theme in the browser."""
    chosen: dict[str, str] = {}
    if (language := visit.form.get("language", "")) in LANGUAGES:
        chosen[LANGUAGE] = language
    if (theme := visit.form.get("theme")) in ("light", "dark", "auto"):
        chosen[THEME] = "" if theme == "auto" else theme
    return Redirect(_inside(visit.form.get("back", "")), cookies=chosen)


def _check_repeated(visit: Visit) -> None:
    if visit.form.get("password") != visit.form.get("again"):
        raise AccountFieldError("again", visit.words("This is not the same password."))


def _login(visit: Visit, refused: LoginRefusedError | None = None) -> View:
    return View(
        "account/login.html",
        200 if refused is None else 429 if refused.wait_ms else 422,
        refused=refused,
        email=visit.form.get("email", ""),
        next=visit.form.get("next", visit.query.get("next", "")),
    )


def _welcome(visit: Visit, wrong: AccountFieldError | None = None) -> View:
    try:
        found = visit.api.door.look(visit.path["link"], visit.address, now_ms())
    except LoginRefusedError as refused:
        return _useless(refused)
    return View("account/welcome.html", 422 if wrong else 200, account=found.account, wrong=wrong)


def _useless(refused: LoginRefusedError) -> View:
    return View("account/useless.html", 429 if refused.wait_ms else 410, refused=refused)


def _inside(path: str) -> str:
    """A path of the interface: never an address elsewhere."""
    parts = urlsplit(path)
    inside = not parts.scheme and not parts.netloc and path.startswith(("/ui/", "/ui?")) and "\\" not in path
    return path if inside and path.isprintable() else "/ui"


PAGES = (
    show_login,
    log_in,
    log_out,
    show_welcome,
    welcome,
    show_account,
    change_password,
    prefer,
)
