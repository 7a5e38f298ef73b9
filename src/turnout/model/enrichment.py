"""Stores and enrichments as the configuration says them (`processing.md` §6): checked, and formulas still text."""

from typing import Literal

import msgspec

Placement = Literal["root", "same_level", "custom"]


class DataStore(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of events, under a key, for a while.

    Written by events named `event_name` of `sources` (references) whose user grants `consent` and for which the
    formula `filter` holds ("" always holds). Without `event_name` it is filled by `turnout store fill` alone. `key`
    and `properties` are paths; no properties: the whole event.
    """

    site: str
    name: str
    key: str
    event_name: str = ""
    sources: frozenset[str] = frozenset()
    consent: str = ""
    properties: tuple[str, ...] = ()
    filter: str = ""
    keep_ms: int = 86_400_000
    description: str = ""
    status: Literal["active", "inactive"] = "active"

    @property
    def ref(self) -> str:
        return f"{self.site}/{self.name}"


class Row(msgspec.Struct, frozen=True):
    """The event's `property` gets what is stored under `stored`; what is there already only goes with `override`."""

    property: str
    stored: str
    override: bool = False


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else's HTTP API that knows more (`processing.md` §6.3). Texts are templates; times in ms.

    `body` is sent as JSON, if there is one. An answer is used again for `cache_ms`.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: dict[str, object] | None = None
    timeout_ms: int = 1_000
    cache_ms: int = 300_000


class Enrichment(msgspec.Struct, frozen=True, kw_only=True):
    """Events of `sources` get properties from `store` (a reference), found by the value at `key`, or from `api`.

    Or they are told where `context.device.ip` is, by the database in the file `geo`, or what `user_agent` says of the
    device. These two need no rows.

    `event_names`: none means all. `placement` says where the rows' properties begin: at the event's root, beside the
    last name of `key`, or at `path`. `label` is unique in its site.
    """

    site: str
    label: str
    store: str = ""
    key: str = ""
    api: Api | None = None
    geo: str = ""
    user_agent: bool = False
    rows: tuple[Row, ...] = ()
    sources: frozenset[str]
    event_names: frozenset[str] = frozenset()
    when: str = ""
    placement: Placement = "root"
    path: str = ""
    description: str = ""
    status: Literal["active", "inactive"] = "active"
