"""`turnout mcp`: lets an assistant look at events and deliveries, over the API of a running server."""

import importlib.util
from typing import Annotated

import typer

from turnout.cli.output import exit_codes, fail


def add(app: typer.Typer) -> None:
    """Register this command."""
    app.command(epilog=exit_codes("the assistant has ended it"))(mcp)


def mcp(
    url: Annotated[str, typer.Option(help="Where the server's control port is reached.")] = "http://127.0.0.1:8081",
    token: Annotated[
        str, typer.Option(help="A token of `turnout token create`. Better in the variable: others see options.")
    ] = "",
    site: Annotated[str, typer.Option(help="Which site; needed if the token is for several.")] = "",
    allow_write: Annotated[bool, typer.Option("--allow-write", help="Also offer tools that change something.")] = False,
) -> None:
    """Serve the Model Context Protocol on standard input and output.

    An assistant starts it. It may see what the token may see; the role viewer is enough, without personal data.
    """
    if importlib.util.find_spec("mcp") is None:
        fail("needs the package mcp: install it with `pip install 'turnout[mcp]'`")
    if not token:
        fail("needs a token: `turnout token create --site SITE --role viewer`, then set TURNOUT_MCP_TOKEN")
    if not url.startswith(("http://", "https://")):
        fail(f"--url {url}: must start with http:// or https://")
    from turnout.mcp.remote import Remote  # noqa: PLC0415 - as the next line
    from turnout.mcp.server import build  # noqa: PLC0415 - an optional package, and slow

    build(Remote(url, token, site), allow_write=allow_write).run("stdio")
