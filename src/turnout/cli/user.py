"""`turnout user create`, `list`, `link`: accounts of people. They work with or without a running server."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, cell, complain, console, exit_codes, fail, print_json, say
from turnout.cli.token import check_sites, day_and_time, existing
from turnout.model.clock import now_ms
from turnout.model.errors import EmailTakenError
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.control.access.account import Account
    from turnout.control.access.account_desk import AccountDesk

_ALL = "*"
_ONCE = "It opens once, within 24 hours, and is shown only now."


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="Accounts of people, who log in to the interface.")
    commands.command(epilog=exit_codes("made", "there is an account with this address"))(create)
    commands.command("list", epilog=exit_codes("done, also when there are none"))(show)
    commands.command(epilog=exit_codes("done", "there is no such account, or it is disabled"))(link)
    app.add_typer(commands, name="user")


def create(
    email: Annotated[str, typer.Option(help="The e-mail address with which they log in.")],
    role: Annotated[
        Literal["viewer", "editor", "admin"],
        typer.Option(help="viewer sees all but personal data; editor changes all but access; admin may everything."),
    ] = "viewer",
    site: Annotated[
        list[str] | None, typer.Option(help="A site it is for; may be repeated. Without it: every site.")
    ] = None,
    language: Annotated[Literal["en", "fr"], typer.Option(help="What the interface speaks.")] = "en",
    data: Data = None,
    json: Json = False,
) -> None:
    """Make an account and print the link at which its owner gives it a password."""
    found = settings(data)
    wanted = _address(email)
    check_sites(site or [], found.data_dir)
    try:
        with _desk(found) as desk:
            sites = site or (_ALL,)
            made, text = desk.create(email=wanted, language=language, role=role, sites=sites, now_ms=now_ms())
    except EmailTakenError as error:
        fail(f"{error}; for another link: `turnout user link {wanted}`", FAILED)
    where = "every site" if made.sites == (_ALL,) else f"site {', '.join(made.sites)}"
    _print_link(found, made, text, f"{made.id}: {made.role} of {where}. {_ONCE}", json=json)


def show(data: Data = None, json: Json = False) -> None:
    """List accounts."""
    with _desk(existing(data)) as desk:
        known = desk.all()
    if json:
        print_json([_as_json(one) for one in known])
        return
    table = Table("account", "e-mail", "role", "sites", "last login", "state", box=None)
    for one in known:
        columns = (one.id, one.email, one.role, " ".join(one.sites), day_and_time(one.last_login_ms))
        table.add_row(*(cell(column) for column in columns), cell(one.state, "" if one.state == "active" else "yellow"))
    console.print(table)


def link(
    email: Annotated[str, typer.Argument(help="The address of the account.")], data: Data = None, json: Json = False
) -> None:
    """Print a link at which the owner of an account gives it another password; a link from before ends."""
    found = existing(data)
    with _desk(found) as desk:
        account = desk.by_email(_address(email))
        if account is None:
            fail(f"there is no account with the address {email}; see `turnout user list`", FAILED)
        if account.disabled:
            fail(f"the account of {email} is disabled: no link would open", FAILED)
        text = desk.link(account, now_ms())
    _print_link(found, account, text, f"for {account.email}. {_ONCE}", json=json)


def _print_link(found: Settings, account: "Account", text: str, about: str, *, json: bool) -> None:
    url = f"{found.control_url}/ui/welcome/{text}"
    if json:
        print_json({"link": url, **_as_json(account)})
        return
    say(url)
    complain(about, "")


def _address(text: str) -> str:
    from turnout.control.access import account  # noqa: PLC0415 - SQLAlchemy

    found = account.address(text)
    return found if found is not None else fail(f"{text!r} is no e-mail address: write ana@example.org")


def _desk(found: Settings) -> "AbstractContextManager[AccountDesk]":
    from turnout.control.access import account_desk  # noqa: PLC0415 - SQLAlchemy

    return account_desk.opened(found.data_dir, "cli")


def _as_json(one: "Account") -> dict[str, object]:
    return {
        "id": one.id,
        "email": one.email,
        "first_name": one.first_name,
        "last_name": one.last_name,
        "language": one.language,
        "role": one.role,
        "scopes": sorted(one.scopes),
        "sites": one.sites,
        "state": one.state,
        "created_ms": one.created_ms,
        "last_login_ms": one.last_login_ms,
    }
