"""`turnout token create`, `list`, `revoke`: who may use the API. They work with or without a running server."""

import contextlib
import os
import re
import time
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, cell, complain, console, exit_codes, fail, print_json, say
from turnout.control import applied, configfile
from turnout.control.access.scopes import SCOPES
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigError
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.control.access.desk import Desk
    from turnout.control.access.token import Token

_ALL = "*"
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="Tokens for the API.")
    commands.command(epilog=exit_codes("made"))(create)
    commands.command("list", epilog=exit_codes("done, also when there are none"))(show)
    commands.command(epilog=exit_codes("revoked", "there is no such token, or it was revoked before"))(revoke)
    app.add_typer(commands, name="token")


def create(
    site: Annotated[list[str] | None, typer.Option(help="A site it is for; may be repeated.")] = None,
    all_sites: Annotated[bool, typer.Option("--all-sites", help="For every site, also later ones.")] = False,
    role: Annotated[
        Literal["viewer", "editor", "admin"] | None,
        typer.Option(help="viewer sees all but personal data; editor changes all but tokens; admin may everything."),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="Instead of a role: one thing that it may do; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for, to tell it from others.")] = "",
    expires: Annotated[str | None, typer.Option(help="In 12h or 90d, or on a date; without it, never.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a token and print it. It is stored as a hash, so this is the only time it is shown."""
    found = settings(data)
    _check(site or [], all_sites, role, scope or [], found.data_dir)
    now = now_ms()
    with _desk(found) as desk:
        made, credential = desk.issue(
            name=name,
            role=role or "custom",
            scopes=scope or (),
            sites=(_ALL,) if all_sites else site or (),
            expires_ms=_expiry_ms(expires, now),
            now_ms=now,
        )
    if json:
        print_json({"token": credential.text, **_as_json(made)})
        return
    say(credential.text)
    complain(f"{made.id}: {_described(made)}. It is shown only now.", "")


def show(data: Data = None, json: Json = False) -> None:
    """List tokens, without their secrets."""
    with _desk(existing(data)) as desk:
        known = desk.all()
    if json:
        print_json([_as_json(one) for one in known])
        return
    table = Table("token", "name", "role", "sites", "expires", "last used", "state", box=None)
    for one in known:
        state = one.state(now_ms())
        used = day_and_time(one.last_used_ms)
        columns = (one.id, one.name, one.role, " ".join(one.sites), _day(one.expires_ms), used)
        table.add_row(*(cell(column) for column in columns), cell(state, "" if state == "active" else "red"))
    console.print(table)


def revoke(
    token_id: Annotated[str, typer.Argument(help="Its id, tok_…, as `turnout token list` shows it.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """End a token now, for good."""
    now = now_ms()
    with _desk(existing(data)) as desk:
        done = desk.revoke(token_id, now)
    if not done:
        fail(f"there is no token {token_id!r} to revoke; see `turnout token list`", FAILED)
    if json:
        print_json({"id": token_id, "revoked_ms": now})
    else:
        say(f"{token_id} is revoked")


def existing(data: str | None) -> Settings:
    """Settings of a data directory; ends the command if there is none."""
    found = settings(data)
    if not found.data_dir.exists():
        fail(f"there is no data directory {found.data_dir}: give --data DIR")
    return found


def _desk(found: Settings) -> "AbstractContextManager[Desk]":
    from turnout.control.access import desk  # noqa: PLC0415 - SQLAlchemy

    return desk.opened(found.data_dir, "cli")


def _check(sites: list[str], all_sites: bool, role: str | None, scopes: list[str], data_dir: Path) -> None:
    """End the command if a token like this can't be."""
    if bool(sites) == all_sites:
        fail("for which site? give --site 29, or --all-sites")
    if (role is None) == (not scopes):
        fail("give either --role viewer, editor or admin, or --scope for each thing it may do")
    for scope in scopes:
        if scope not in SCOPES:
            fail(f"--scope {scope}: known scopes are {', '.join(SCOPES)}")
    check_sites(sites, data_dir)


def check_sites(sites: list[str], data_dir: Path) -> None:
    """End the command if sites can't have these names; warn of those that are not configured."""
    for one in sites:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", one):
            fail(f"--site {one}: is no usable name of a site")
    with contextlib.suppress(ConfigError, OSError, UnicodeDecodeError):
        text = applied.read(data_dir)
        known = configfile.load(text, os.environ).sites if text is not None else frozenset()
        for one in sites:
            if known and one not in known:
                complain(f"the applied configuration has no site {one}; it has {', '.join(sorted(known))}", "yellow")


def _expiry_ms(text: str | None, now: int) -> int | None:
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now + int(match[1]) * _UNITS_MS[match[2]]
    try:
        moment = int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        fail(f"--expires {text}: write 12h or 90d, or a date like 2027-01-31")
    if moment <= now:
        fail(f"--expires {text}: is over already")
    return moment


def _as_json(one: "Token") -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "role": one.role,
        "scopes": sorted(one.scopes),
        "sites": one.sites,
        "created_ms": one.created_ms,
        "expires_ms": one.expires_ms,
        "revoked_ms": one.revoked_ms,
        "last_used_ms": one.last_used_ms,
    }


def _described(one: "Token") -> str:
    what = one.role if one.own_scopes == () else ", ".join(one.own_scopes)
    where = "all sites" if one.sites == (_ALL,) else f"site {', '.join(one.sites)}"
    until = f"expires {_day(one.expires_ms)}" if one.expires_ms is not None else "does not expire"
    return f"{what} of {where}, {until}"


def _day(ms: int | None) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(ms / 1000)) if ms is not None else "never"


def day_and_time(ms: int | None) -> str:
    """A time as a table shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) if ms is not None else "never"
