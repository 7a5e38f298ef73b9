"""The tables of `control.db`, in SQLAlchemy's words, so that another engine is a URL away.

What must stay true: times are whole milliseconds; rows of `activity` are never changed, and removed only when they
are older than the retention; an id of `integrations` is never given to anything else. A table may be added without
a new `FORMAT`: it is made when it is missing, and releases before it leave it alone.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

FORMAT = 1

metadata = MetaData()
_number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only what is declared INTEGER."""

formats = Table("formats", metadata, Column("part", String(32), primary_key=True), Column("version", Integer))

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("sites", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("last_used_ms", BigInteger),
)
"""`scopes` and `sites` are words with spaces between: names have none in them."""

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("email", String(255), nullable=False, unique=True),
    Column("first_name", String(50), nullable=False),
    Column("last_name", String(50), nullable=False),
    Column("language", String(8), nullable=False),
    Column("role", String(16), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("sites", Text, nullable=False),
    Column("password", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_login_ms", BigInteger),
    Column("disabled", Boolean, nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account", String(64)),
    Column("expires_ms", BigInteger),
)
"""One-time links; that of the first start has no account."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account", String(64), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Index("sessions_of", "account"),
)

activity = Table(
    "activity",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("site", String(64), nullable=False),
    Column("token", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("feature", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Index("activity_site", "site", "seq"),
    Index("activity_age", "at_ms"),
    sqlite_autoincrement=True,
)
event.listen(
    activity,
    "after_create",
    DDL(  # type: ignore[no-untyped-call] # SQLAlchemy's own
        "CREATE TRIGGER activity_is_append_only BEFORE UPDATE ON activity "
        "BEGIN SELECT RAISE(ABORT, 'the activity log is append-only'); END"
    ).execute_if(dialect="sqlite"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("person", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("receipt", Text, nullable=False),
    Column("trouble", Text, nullable=False),
)
"""`person` is emptied when an erasure is done."""

replays = Table(
    "replays",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("destinations", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("rate_per_second", Integer, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("replayable", Integer, nullable=False),
    Column("expired", Integer, nullable=False),
    Column("skipped_delivered", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("trouble", Text, nullable=False),
)
"""`destinations` are references with spaces between. What was searched for is not kept: it may tell of a person."""

replay_items = Table(
    "replay_items",
    metadata,
    Column("replay", String(64), primary_key=True),
    Column("destination", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column("died_ms", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Index("replay_items_status", "replay", "status"),
)
"""`destination` is its number in the receipts."""

integrations = Table(
    "integrations",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(160), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("site", "kind", "name"),
    sqlite_autoincrement=True,
)

configurations = Table(
    "configurations",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("author", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("is_pending", Boolean, nullable=False),
    Column("is_from_file", Boolean, nullable=False),
)
"""`is_pending`: written before `config.yaml` was; it became a version only if that has its text.

`is_from_file`: somebody applied a file with this text, so that a start with the same file brings nothing new.
"""

repeatable = Table(
    "repeatable",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("answer", LargeBinary),
    Index("repeatable_age", "at_ms"),
)
"""Requests with an `Idempotency-Key`: hashes of the key and of the request, and the sealed answer once there is one."""

alert_states = Table(
    "alert_states",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("alert", String(64), primary_key=True),
    Column("written", Text, nullable=False),
    Column("snoozed_until_ms", BigInteger, nullable=False),
)
"""`written` changes with each check, `snoozed_until_ms` by hand: neither overwrites the other."""

alert_history = Table(
    "alert_history",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("alert", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("notification", String(64), nullable=False),
    Column("content", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_ms", BigInteger),
    Column("sent_ms", BigInteger),
    Column("error", Text, nullable=False),
    Index("alert_history_of", "site", "alert", "seq"),
    Index("alert_history_due", "due_ms"),
    Index("alert_history_age", "at_ms"),
    sqlite_autoincrement=True,
)
"""Changes of state (`notification` ""), and messages; one with `due_ms` is still to be sent."""
