"""What the credentials of a request mean (`collect.md` §2). Pure."""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from turnout.collect.identity import do_not_track
from turnout.collect.percent import pairs
from turnout.model.config import Snapshot, Source
from turnout.model.event import Reason

KNOWN = 4_096
KNOWN_BYTES = 1_024
"""Longer credentials are looked up every time, so that the memory of a directory stays within some megabytes."""

NEVER = 1 << 62

Parameters = tuple[tuple[str, str], ...]
"""The decoded `tc_*` and `token` pairs of a query, in their order."""


class Access(msgspec.Struct, frozen=True):
    """What the credentials of a request give. `ref` is where its records belong: "site/source", "site/" or ""."""

    source: Source | None
    ref: str
    refusal: Reason | None = None
    warnings: tuple[str, ...] = ()
    identifies: bool = False
    """Whether who visits is of interest (§8): a device talks to us, and did not say `tc_do_not_track`."""
    domains: tuple[str, ...] = ()
    """The first-party domains of the source's site."""


def parameters(query: str) -> Parameters:
    """The pairs of a raw query that can be ours."""
    found = pairs(query)
    return tuple(
        [
            (key, value)
            for key, value in zip(found.keys, found.values, strict=True)
            if key.startswith("tc_") or key == "token"
        ]
    )


class Directory:
    """Sites and keys of one configuration at one moment. Keys are found by their hash, so that timing tells nothing.

    It is right until `until_ms`, when a key ends: then make another. So no event pays for keys that end.
    """

    def __init__(self, snapshot: Snapshot, now_ms: int) -> None:
        self._sites, self._first_party = snapshot.sites, snapshot.first_party
        self._known: dict[tuple[Parameters, bytes | None, bool], Access] = {}
        self._keys: dict[bytes, tuple[Source, bool]] = {}
        self.until_ms = NEVER
        live: list[tuple[str, Source]] = []
        for source in snapshot.sources.values():
            for revoked in source.revoked_keys:
                self._keys[_digest(revoked)] = (source, False)
            for key in source.keys:
                end_ms = NEVER if key.until_ms is None else key.until_ms
                if now_ms < end_ms:
                    live.append((key.key, source))
                    self.until_ms = min(self.until_ms, end_ms)
                else:
                    self._keys[_digest(key.key)] = (source, False)
            live.append((source.key, source))
        for known, source in live:
            self._keys[_digest(known)] = (source, True)

    def resolve(self, given: Parameters, authorization: bytes | None = None, ga4: bool = False) -> Access:
        """Who sends, from the parameters and the `Authorization` header; `ga4`: a hit for the bridge. Never raises.

        Remembers its answers: an installation sends the same credentials with every event.
        """
        key = (given, authorization, ga4)
        access = self._known.get(key)
        if access is None:
            access = self._resolve(given, authorization, ga4)
            size = len(authorization or b"") + sum(len(name) + len(value) for name, value in given)
            if size <= KNOWN_BYTES:
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known[key] = access
        return access

    def _resolve(self, given: Parameters, authorization: bytes | None, ga4: bool) -> Access:
        sites = _values(given, "tc_s", str.strip)
        tokens = _values(given, "token", _key)
        if len(sites) > 1 or len(tokens) > 1:
            twice = "tc_s" if len(sites) > 1 else "token"
            message = f"{twice} stands more than once with different values"
            return Access(None, "", Reason("ambiguous_credentials", "", message))
        aliases = [_key(value) for name, value in given if name == "tc_skey"]
        keys = [key for key in (*tokens, _bearer(authorization), *aliases) if key]
        access = self._check(next(iter(sites), ""), keys[0] if keys else "")
        source, refusal = access.source, access.refusal
        if refusal is None and ga4 and source is not None and not source.ga4_bridge:
            refusal = Reason("ga4_bridge_disabled", "", f"source {source.name} has ga4_bridge: false")
        return Access(
            source,
            access.ref,
            refusal,
            ("auth_conflict",) if len(set(keys)) > 1 else (),
            refusal is None and source is not None and source.client_side and not do_not_track(given),
            self._first_party.get(source.site, ()) if source is not None else (),
        )

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
            return refused("key_revoked", "this key was revoked, or its time is over; the source has another one")
        if source.status == "inactive":
            return refused("source_inactive", f"source {source.name} is inactive")
        return Access(source, ref)


def _values(given: Parameters, name: str, clean: Callable[[str], str]) -> set[str]:
    """The different values of a parameter that say something."""
    return {clean(value) for key, value in given if key == name} - {""}


def _key(value: str) -> str:
    """A key from a URL. Base64 keys hold `+`, which a URL turns into a space."""
    return value.strip().replace(" ", "+")


def _bearer(authorization: bytes | None) -> str:
    scheme, _, key = (authorization or b"").strip().partition(b" ")
    return key.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
