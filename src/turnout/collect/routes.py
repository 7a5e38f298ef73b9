"""Which endpoint a path is, and what credentials mean (`collect.md` §1, §2)."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal
from urllib.parse import unquote_plus

import msgspec

from turnout.model.config import Snapshot, Source
from turnout.model.event import Reason

EndpointName = Literal["events", "events/batch"]
_PATHS: dict[str, EndpointName] = {
    "/events": "events",
    "/cdp/events": "events",
    "/events/batch": "events/batch",
    "/cdp/events/batch": "events/batch",
}
_CREDENTIAL = re.compile(r"(?:^|&)((?:[cekynost_]|%[0-9a-fA-F]{2}){4,7})=([^&]*)")
"""A name of 4 to 7 letters out of `tc_s`, `token`, `tc_skey`, any of them percent-encoded."""
_GA4 = re.compile(r"(?:^|&)ga_url_param(?:=|&|$)")


class Access(msgspec.Struct, frozen=True):
    """What the credentials of a request give. `ref` is where its records belong: "site/source", "site/" or ""."""

    source: Source | None
    ref: str
    refusal: Reason | None = None
    warnings: tuple[str, ...] = ()
    ga4: bool = False
    """The request is a GA4 hit in disguise (§11): its body is not JSON."""


def route(path: str) -> EndpointName | None:
    """The collect endpoint of a path, with or without one trailing slash."""
    return _PATHS.get(path) or _PATHS.get(path.removesuffix("/"))


class Directory:
    """Sites and keys of one configuration. Keys are found by their hash, so that timing tells nothing."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._sites = snapshot.sites
        self._keys: dict[bytes, tuple[Source, bool]] = {}
        for source in snapshot.sources.values():
            for key in source.revoked_keys:
                self._keys[_digest(key)] = (source, False)
        for source in snapshot.sources.values():
            self._keys[_digest(source.key)] = (source, True)

    def resolve(self, query: str, authorization: bytes | None) -> Access:
        """Who sends, from the raw query string and the `Authorization` header. Never raises."""
        ga4 = _GA4.search(query)
        pairs = list(_pairs(query[: ga4.start()] if ga4 else query))
        sites = {value.strip() for name, value in pairs if name == "tc_s"} - {""}
        tokens = {_key(value) for name, value in pairs if name == "token"} - {""}
        aliases = [_key(value) for name, value in pairs if name == "tc_skey" and value]
        if len(sites) > 1 or len(tokens) > 1:
            twice = "tc_s" if len(sites) > 1 else "token"
            refusal = Reason("ambiguous_credentials", "", f"{twice} stands more than once with different values")
            return Access(None, "", refusal, ga4=ga4 is not None)
        keys = [key for key in (*tokens, _bearer(authorization), *aliases) if key]
        access = self._check(next(iter(sites), ""), keys[0] if keys else "")
        refusal_, warnings = access.refusal, access.warnings
        if len(set(keys)) > 1:
            warnings = ("auth_conflict",)
        if ga4 and refusal_ is None:
            refusal_ = Reason("ga4_bridge_disabled", "", "requests with ga_url_param are not collected yet")
        return Access(access.source, access.ref, refusal_, warnings, ga4 is not None)

    def _check(self, site: str, key: str) -> Access:
        """In the order of §2: site, key, their match, the source's state."""
        source, live = self._keys.get(_digest(key), (None, False)) if key else (None, False)
        ref = source.ref if source else ""

        def refused(code: str, message: str, where: str = ref) -> Access:
            return Access(source, where, Reason(code, "", message))

        if not site:
            return refused("missing_site_id", "the URL needs tc_s=<site id>")
        if site not in self._sites:
            return refused("unknown_site", f"there is no site {site[:64]!r}")
        if not key:
            return refused("missing_source_key", "the URL needs token=<source key>", f"{site}/")
        if source is None:
            return refused("unknown_source_key", "no source has this key", f"{site}/")
        if source.site != site:
            return refused("site_mismatch", f"this key belongs to site {source.site}, not to {site}")
        if source.status == "deleted":
            return refused("source_deleted", f"source {source.name} is deleted")
        if not live:
            return refused("key_revoked", "this key was revoked; the source has another one")
        if source.status == "inactive":
            return refused("source_inactive", f"source {source.name} is inactive")
        return Access(source, ref)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    """The pairs that may be credentials, decoded. The others are skipped unread: a query has up to 40 KB."""
    for match in _CREDENTIAL.finditer(query):
        yield unquote_plus(match[1]), unquote_plus(match[2])


def _key(value: str) -> str:
    """A key from a URL. Base64 keys hold `+`, which a URL turns into a space."""
    return value.strip().replace(" ", "+")


def _bearer(authorization: bytes | None) -> str:
    scheme, _, key = (authorization or b"").strip().partition(b" ")
    return key.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
