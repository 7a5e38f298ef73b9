"""Where the collector is and which source sends, for commands that send events."""

import os
from typing import Annotated, NamedTuple

import typer

from turnout.cli.output import fail
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.model.config import SourceType
from turnout.settings import Settings, address

SiteOption = Annotated[
    str | None, typer.Option("--site", envvar="TURNOUT_SITE", help="Site id; default: the first configured source's.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", envvar="TURNOUT_KEY", help="Source key; default: the first configured source's.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="TURNOUT_URL", help="The collector; default: where TURNOUT_COLLECT says."),
]


class Key(NamedTuple):
    """The key of a source and its site; `type` is None where the source is not in our configuration."""

    site: str
    key: str
    type: SourceType | None


def sources(found: Settings, site: str | None, key: str | None) -> list[Key]:
    """Those given, or the active configured ones that fit; at least one. Ends the command if there is none."""
    if site and key:
        return [Key(site, key, None)]
    watcher = Watcher(found.data_dir, os.environ, Secrets(found.secret_key_path))
    watcher.refresh()
    active = [one for one in watcher.snapshot.sources.values() if one.status == "active"]
    fitting = [one for one in active if site in (None, one.site) and key in (None, one.key)]
    if not fitting:
        fail(f"give --site and --key: no configured source fits{f' ({watcher.error})' if watcher.error else ''}")
    return [Key(one.site, one.key, one.type) for one in fitting]


def collector(found: Settings, url: str | None) -> str:
    """The URL that events go to, without `/events`."""
    if url:
        return url if "://" in url else f"http://{url}"
    host, port = address(found.collect)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
