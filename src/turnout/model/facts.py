"""What a process says of itself, about twice a second: the source of `/ready`, `/metrics` and `turnout status`."""

import msgspec


class DestinationFacts(msgspec.Struct, kw_only=True):
    """One destination as the worker sees it. Counts are since the destination exists."""

    lag: int = 0
    breaker: str = "closed"
    ledger: int = 0
    dead_letters: int = 0
    dead_letter_bytes: int = 0
    dead_letters_forgotten: int = 0
    """Those that had to go before their time, for want of room."""
    drift: int = 0
    attempts: int = 0
    outcomes: dict[str, int] = {}
    filtered: dict[str, int] = {}
    """The filtered ones among the outcomes, by reason."""
    filter_failures: int = 0
    """Events that were stopped because the filter could not be evaluated; since the destination was started."""
    mapping_warnings: int = 0
    """What formulas of its mapping and settings could not compute; since the process started."""
    trouble: str = ""


class Facts(msgspec.Struct, kw_only=True):
    """Counts are since this process started; keys of several parts are joined by a space."""

    process: str
    pid: int
    started_ms: int
    beat_ms: int
    config_version: str = ""
    """Of the configuration in use."""
    config_seen: str = ""
    """Of the newest one, in use or not."""
    config_error: str = ""
    """Why the newest one is not in use; empty when it is."""
    trouble: str = ""
    """Why the process can't do its work now; empty when it can."""
    rss_bytes: int = 0
    connections: int = 0
    requests: dict[str, int] = {}
    """By "endpoint answer"."""
    events: dict[str, int] = {}
    """By "source status"; "-" stands for no source."""
    cleansing: dict[str, int] = {}
    """Events that a rule applied to, by "site label"; a label may have spaces."""
    cleansing_warnings: dict[str, int] = {}
    """How often a formula of a rule met what it could not compute, by "site label"."""
    enrichments: dict[str, int] = {}
    """Events that an enrichment applied to, by "site status label"; a label may have spaces."""
    refusals: dict[str, int] = {}
    suppressed: dict[str, int] = {}
    """Refusals counted but not recorded, by reason."""
    empty_batches: dict[str, int] = {}
    """Batches without an event, by source."""
    bytes_in: int = 0
    commit_seconds: float = 0.0
    commits: dict[str, int] = {}
    """Appends to the log by upper bound of their duration (s)."""
    lag: int = 0
    damage: list[str] = []
    attempts_lost: int = 0
    """Attempts that were to be shown, but nobody read them in time; since the receipts exist."""
    inspector_lag: int = 0
    """Events that the inspector has not looked at yet."""
    inspector_trouble: str = ""
    """Why it keeps no records at the moment; events are not concerned."""
    destinations: dict[str, DestinationFacts] = {}
