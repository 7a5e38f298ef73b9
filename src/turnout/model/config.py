"""The configuration as the stages see it: frozen, complete, already validated.

One `Snapshot` is one version of the whole configuration; stages swap it whole and never see half of one.
"""

from datetime import tzinfo
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.model import timezone
from turnout.model.alerts import Alert
from turnout.model.cleansing import Rule
from turnout.model.enrichment import DataStore, Enrichment
from turnout.model.errors import Problem
from turnout.model.partner import PartnerMapping
from turnout.model.requirement import Consent, Requirement
from turnout.model.sampling import Mode
from turnout.model.specification import Specification

SourceType = Literal["web", "mobile", "server"]
Environment = Literal["production", "staging", "development"]
IpMode = Literal["keep", "truncate", "drop"]
"""`truncate`: the last octet of an IPv4 address becomes 0, of an IPv6 address the first 48 bits are left."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A further key of a source. From `until_ms` on it is as if it were revoked; None: it stays."""

    key: str
    until_ms: int | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An emitter of events in a site, identified by its key. `ref` is its name everywhere: "site/name"."""

    site: str
    name: str
    type: SourceType
    environment: Environment
    key: str
    """The newest one."""
    label: str = ""
    """For people; the loader puts the name where there is none."""
    description: str = ""
    status: Literal["active", "inactive", "deleted"] = "active"
    keys: tuple[Key, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_events_per_second: int | None = None
    trust_client_ip: bool = True
    """Whether an address that the client sends stays; if not, the one we see takes its place (`collect.md` §7)."""
    ip: IpMode = "keep"
    """What is kept of a client's address."""
    ga4_bridge: bool = True
    """Whether GA4 hits (`ga_url_param`) become events (`collect.md` §11)."""
    cookie_requires_consent: bool = False
    """No new CAID before some consent category is granted."""
    lenient_content_type: bool = False
    """Whether JSON is taken whatever the `Content-Type` says."""

    @property
    def ref(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def client_side(self) -> bool:
        """Whether end users' devices talk to us directly (`collect.md` §7: we may fill their address)."""
        return self.type != "server"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hard to try (`destinations.md` §1). Times in ms (`_ms`) or s (`_s`)."""

    timeout_ms: Annotated[Annotated[int, Meta(ge=1, le=120_000)] | None, Meta(examples=[3_000])] = None
    """Per attempt; unset means the destination type's own default."""
    max_attempts: Annotated[int, Meta(ge=1, le=100, examples=[8])] = 8
    max_age_s: Annotated[int, Meta(ge=1, le=30 * 86_400, examples=[86_400])] = 86_400
    backoff_s: Annotated[float, Meta(ge=0, le=3_600, examples=[2.0])] = 2.0
    """Wait before the second attempt; each further wait is four times longer, at most an hour."""
    batch_size: Annotated[Annotated[int, Meta(ge=1, le=10_000)] | None, Meta(examples=[100])] = None
    """Events per request, for destinations that can send several."""
    rate_per_second: Annotated[Annotated[int, Meta(ge=1, le=100_000)] | None, Meta(examples=[20])] = None
    """Events sent per second at most, further attempts and replays included; others wait in the log."""
    ordered: Annotated[bool, Meta(examples=[True])] = False
    """Events of one user in order, also through failures."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where events go. `settings` is the validated config object of its type (`destinations/<type>.py`)."""

    site: str
    name: str
    type: str
    sources: frozenset[str]
    """References ("site/name") of the linked sources."""
    settings: object
    label: str = ""
    description: str = ""
    event_names: frozenset[str] = frozenset()
    """Allow-list; empty means every event."""
    consent: Consent | None = None
    """What the user must have granted; None requires nothing."""
    filter: str = ""
    """A formula that must hold for the event; empty lets everything pass."""
    mapping: PartnerMapping | None = None
    """What is done to its copy of an event; None sends events as they are."""
    environment: Environment = "production"
    status: Literal["active", "inactive"] = "active"
    dry_mode: bool = False
    delivery: Delivery = Delivery()
    time_zone: str = timezone.NAME
    """That of its site."""

    @property
    def ref(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def zone(self) -> tzinfo:
        """Where it takes dates without an offset to be."""
        return timezone.zone_of(self.time_zone)

    @property
    def requirement(self) -> Requirement:
        """What an event's content must meet."""
        return Requirement(consent=self.consent, filter=self.filter)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration. `version` is a short hash of its text: equal text, equal version."""

    version: str
    sites: frozenset[str] = frozenset()
    first_party: dict[str, tuple[str, ...]] = {}
    """By site: the domains for whose hosts we manage the CAID cookie (`collect.md` §8)."""
    sources: dict[str, Source] = {}
    """By reference."""
    destinations: dict[str, Destination] = {}
    """By reference."""
    cleansing: tuple[Rule, ...] = ()
    """The rules of each site in the order in which they run."""
    alerts: dict[str, Alert] = {}
    """By reference."""
    stores: dict[str, DataStore] = {}
    """By reference."""
    enrichments: tuple[Enrichment, ...] = ()
    """Those of each site in the order in which they run."""
    specifications: dict[str, Specification] = {}
    """By site: what its events must look like; sites without one go by the standard events."""
    time_zones: dict[str, str] = {}
    """By site: where dates without an offset are meant; UTC where it does not say."""
    sampling: dict[str, Mode] = {}
    """By site: how its records for the inspector are sampled; `auto` where it does not say."""
    warnings: tuple[Problem, ...] = ()
    """What works but is probably a mistake."""

    def time_zone(self, site: str) -> tzinfo:
        """That of a site."""
        return timezone.zone_of(self.time_zones.get(site, timezone.NAME))


EMPTY = Snapshot(version="empty")
