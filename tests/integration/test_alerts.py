"""Alerts over real mail and HTTP, on a clock of the test's own: told once, reminded, resolved, through any restart."""

import asyncio
import base64
import hashlib
import hmac
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.api import at, items
from tests.support.certificates import make_certificate
from tests.support.receivers import Hook, Mailbox
from tests.support.server import BACKEND, Server, free_port, kill, until
from turnout import settings
from turnout.control.access.database import Database
from turnout.control.alerts.book import Book, Entry
from turnout.control.alerts.watch import Watch
from turnout.control.api.world import World
from turnout.control.configfile import load
from turnout.log.memory import MemoryLog
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.outcome import Code
from turnout.receipts.store import Store

MINUTE, HOUR = 60_000, 3_600_000
START = 1_764_000_000_000 // HOUR * HOUR
SECRET = "whsec_bm90LWEtcmVhbC1zZWNyZXQtanVzdC1hbi1leGFtcGxl"
CONFIG = """
sites:
  "29":
    sources:
      shop: {type: web, key: k}
    destinations:
      orders: {type: file, label: Orders, sources: [shop], settings: {path: out/a.ndjson}}
    alerts:
      ratio:
        category: destination/delivery
        destination: orders
        notify: NOTIFY
"""
OPS = "{ops: {channel: EMAIL, emails: [ops@example.org, boss@example.org], frequency: 1h}}"


class Town:
    """A data directory whose receipts the test writes, and a clock. `restart` forgets everything in memory."""

    def __init__(self, data: Path, notify: str = OPS, **environment: str) -> None:
        given = {"TURNOUT_DATA": str(data), "TURNOUT_MAIL_FROM": "turnout@example.org", **environment}
        self.settings = settings.load(given)
        self.now = START
        self.snapshot: Snapshot = load(CONFIG.replace("NOTIFY", notify), {})
        self._log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
        with Database.of(data).connection():
            self._store = Store(data / "state.db")
        self._number, _ = self._store.destination("29/orders", 0)
        self.restart()

    def restart(self) -> None:
        """As after kill -9: only what is on disk is left."""
        self.world = World(self.settings, lambda: self.snapshot, lambda: self._log, lambda: self.now)
        self.watch = Watch(self.world)

    def events(self, delivered: int, failed: int = 0, reason: str = "502_bad_gateway") -> None:
        """So many events come now and end so."""
        counts = {
            (self.now // MINUTE * MINUTE, "29/shop", "purchase", int(Code.DELIVERED), ""): delivered,
            (self.now // MINUTE * MINUTE, "29/shop", "purchase", int(Code.ERROR), reason): failed,
        }
        with self._store.transaction():
            self._store.tally.count(self._number, {key: n for key, n in counts.items() if n}, [])

    def check(self) -> None:
        self.watch.check(self.now)

    def send(self) -> None:
        asyncio.run(self.watch.send(self.now))

    def minutes(self, n: int, delivered: int = 0, failed: int = 0) -> None:
        """So many minutes pass; in each so many events come, and a check follows."""
        for _ in range(n):
            self.events(delivered, failed)
            self.now += MINUTE
            self.check()
            self.send()

    def history(self) -> list[Entry]:
        """Oldest first."""
        return self.world.alerts.history("29", "ratio", 200)[::-1]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as running:
        yield running


@pytest.fixture
def town(tmp_path: Path, mailbox: Mailbox) -> Town:
    return Town(
        tmp_path,
        TURNOUT_SMTP=f"smtp+plain://127.0.0.1:{mailbox.port}",
        TURNOUT_PUBLIC_URL="https://turnout.example.org/",
    )


def test_an_alert_is_told_once_reminded_by_frequency_and_resolved_once(town: Town, mailbox: Mailbox) -> None:
    town.minutes(5, delivered=20)
    assert mailbox.received == []
    town.minutes(1, failed=12)
    assert [mail.subject for mail in mailbox.received] == [
        "Alert: Orders: 89.29 % of the events were delivered (at least 90 % is wanted)"
    ]
    town.minutes(59, failed=1)
    assert len(mailbox.received) == 1
    town.minutes(1, failed=1)
    assert [mail.subject.partition(":")[0] for mail in mailbox.received] == ["Alert", "Still"]
    town.minutes(60, failed=1)
    assert len(mailbox.received) == 3
    town.minutes(20, delivered=100)
    assert [mail.subject.partition(":")[0] for mail in mailbox.received] == ["Alert", "Still", "Still", "Solved"]
    assert [(one.kind, one.notification) for one in town.history()] == [
        ("firing", ""),
        ("firing", "ops"),
        ("reminder", "ops"),
        ("reminder", "ops"),
        ("ok", ""),
        ("resolved", "ops"),
    ]


def test_a_message_tells_people_what_they_need(town: Town, mailbox: Mailbox) -> None:
    town.minutes(1, delivered=30, failed=14)
    (mail,) = mailbox.received
    assert (mail.sender, mail.recipients) == ("turnout@example.org", ["ops@example.org", "boss@example.org"])
    number = town.world.integrations.of(town.snapshot, START)["alert", "29/ratio"].id
    assert mail.text.split("\n") == [
        "Alert: Orders: 68.18 % of the events were delivered (at least 90 % is wanted)",
        "",
        "Destination: Orders",
        "Environment: production",
        "Site: 29",
        "Alert: ratio",
        "Looked at: the last 1 hour",
        "Delivered: 30",
        "Failed for good: 14",
        "Since: 2025-11-24 16:01 UTC",
        "",
        "Most frequent reasons:",
        "  502_bad_gateway: 14 events. The receiving server answered 502. Check its availability. Then replay the dead"
        " letters.",
        "",
        f"https://turnout.example.org/v2/29/health/alerts/{number}",
        "",
    ]
    assert mail.message["Auto-Submitted"] == "auto-generated"


def test_too_few_events_dry_mode_and_inactive_destinations_are_not_told_of(town: Town, mailbox: Mailbox) -> None:
    town.minutes(1, failed=19)
    orders = town.snapshot.destinations["29/orders"]
    for changed in (
        msgspec.structs.replace(orders, dry_mode=True),
        msgspec.structs.replace(orders, status="inactive"),
    ):
        town.snapshot = msgspec.structs.replace(town.snapshot, destinations={"29/orders": changed})
        town.minutes(2, failed=50)
    assert mailbox.received == []
    town.snapshot = msgspec.structs.replace(town.snapshot, destinations={"29/orders": orders})
    town.minutes(2)
    assert len(mailbox.received) == 1


def test_a_restart_at_any_moment_loses_no_message_and_makes_none_twice(town: Town, mailbox: Mailbox) -> None:
    town.events(0, failed=30)
    town.now += MINUTE
    town.check()
    town.restart()
    assert mailbox.received == []
    town.send()
    assert len(mailbox.received) == 1
    for _ in range(3):
        town.restart()
        town.minutes(1)
    assert len(mailbox.received) == 1
    town.minutes(1, delivered=1000)
    town.restart()
    town.minutes(1)
    town.restart()
    town.minutes(3)
    assert [mail.subject.partition(":")[0] for mail in mailbox.received] == ["Alert", "Solved"]


def test_what_is_sent_again_after_a_crash_has_the_same_id(town: Town, mailbox: Mailbox) -> None:
    town.events(0, failed=30)
    town.now += MINUTE
    town.check()
    (due,) = town.world.alerts.due(town.now, 9)
    town.send()
    # The crash came after the mail server had it and before that was written down.
    with town.world.alerts._database.connection() as connection:
        connection.exec_driver_sql("UPDATE alert_history SET sent_ms=NULL, due_ms=? WHERE seq=?", (due.due_ms, due.seq))
    town.restart()
    town.send()
    assert len(mailbox.received) == 2
    assert len({mail.message["Message-ID"] for mail in mailbox.received}) == 1


def test_what_could_not_be_sent_is_tried_again_with_growing_pauses_and_can_be_seen(
    town: Town, mailbox: Mailbox
) -> None:
    mailbox.answer = "451 try later"
    town.minutes(1, failed=30)
    message = town.history()[-1]
    assert (message.attempts, message.error, message.due_ms) == (1, "mail_refused 451 try later", town.now + 10_000)
    town.send()
    assert town.history()[-1].attempts == 1
    tried = []
    while (message := town.history()[-1]).due_ms is not None:
        tried.append(message.due_ms)
        town.now = message.due_ms
        town.send()
    assert [later - sooner for sooner, later in itertools.pairwise(tried)][:4] == [
        60_000,
        300_000,
        900_000,
        3_600_000,
    ]
    assert tried[-1] <= START + MINUTE + 24 * HOUR
    assert (message.sent_ms, message.error) == (None, "mail_refused 451 try later")
    assert mailbox.received == []


def test_a_later_message_waits_for_the_one_before_it(town: Town, mailbox: Mailbox) -> None:
    mailbox.answer = "451 try later"
    town.minutes(1, failed=30)
    town.minutes(2, delivered=1000)
    mailbox.answer = "250 taken"
    town.minutes(5)
    assert [mail.subject.partition(":")[0] for mail in mailbox.received] == ["Alert", "Solved"]


def test_who_is_not_configured_any_more_is_not_told(town: Town, mailbox: Mailbox) -> None:
    town.events(0, failed=30)
    town.now += MINUTE
    town.check()
    alert = msgspec.structs.replace(town.snapshot.alerts["29/ratio"], notify=())
    town.snapshot = msgspec.structs.replace(town.snapshot, alerts={"29/ratio": alert})
    town.send()
    assert mailbox.received == []
    assert (town.history()[-1].error, town.history()[-1].due_ms) == ("not configured any more", None)


def test_a_snooze_is_kept_over_checks_and_restarts(town: Town, mailbox: Mailbox) -> None:
    town.world.alerts.snooze("29", "ratio", START + 10 * MINUTE)
    town.minutes(5, failed=30)
    town.restart()
    town.minutes(4)
    assert mailbox.received == []
    town.minutes(1)
    assert len(mailbox.received) == 1


def test_a_removed_rule_is_forgotten_and_an_empty_configuration_forgets_nothing(town: Town, mailbox: Mailbox) -> None:
    town.minutes(1, failed=30)
    whole = town.snapshot
    town.snapshot = msgspec.structs.replace(whole, alerts={})
    town.minutes(1)
    assert town.world.alerts.kept() == {}
    town.snapshot = whole
    town.minutes(1)
    assert len(mailbox.received) == 2


def test_some_recipients_may_be_refused(town: Town, mailbox: Mailbox) -> None:
    mailbox.refused = {"boss@example.org"}
    town.minutes(1, failed=30)
    assert [mail.recipients for mail in mailbox.received] == [["ops@example.org"]]
    assert town.history()[-1].sent_ms == town.now
    assert "boss@example.org: 550 no such mailbox" in town.history()[-1].error


def test_without_a_mail_server_the_message_says_what_to_do(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.minutes(1, failed=30)
    assert "set TURNOUT_SMTP and TURNOUT_MAIL_FROM" in town.history()[-1].error


HOOKS = """{{
  chat: {{channel: SLACK, url: "{0}/slack"}},
  team: {{channel: TEAMS, url: "{0}/teams"}},
  own: {{channel: WEBHOOK, url: "{0}/own", secret: {1}}}}}"""


def test_slack_teams_and_a_webhook_get_their_forms(tmp_path: Path) -> None:
    with Hook() as hook:
        town = Town(tmp_path, HOOKS.format(hook.url, SECRET))
        town.events(30, failed=14, reason="<!channel> *x* & [a](b)")
        town.now += MINUTE
        town.check()
        town.send()
        posts = {post.path.rpartition("/")[2]: post for post in hook.received}
    assert posts.keys() == {"slack", "teams", "own"}
    title = "Alert: Orders: 68.18 % of the events were delivered (at least 90 % is wanted)"
    slack = posts["slack"].json
    assert slack["text"] == title
    shown = str(slack["blocks"])
    assert "&lt;!channel&gt; *x* &amp; [a](b): 14 events." in shown
    assert "<!channel>" not in shown
    (attachment,) = items(posts["teams"].json["attachments"])
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    parts = items(at(attachment, "content", "body"))
    runs = [at(part, "inlines", 0, "text") for part in parts if part["type"] == "RichTextBlock"]
    assert runs[0] == title
    assert str(runs[1]).startswith("<!channel> *x* & [a](b): 14 events.")
    own = posts["own"]
    assert own.json["type"] == "alert.firing"
    data = own.json["data"]
    assert isinstance(data, dict)
    assert (data["value"], data["limit"], data["counts"]) == (68.18, 90.0, {"delivered": 30, "error": 14})
    signed = f"{own.headers['webhook-id']}.{own.headers['webhook-timestamp']}.".encode() + own.body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert own.headers["webhook-signature"] == f"v1,{expected}"


def test_a_hook_obeys_the_egress_policy_and_its_url_is_never_shown(tmp_path: Path) -> None:
    with Hook() as hook:
        town = Town(tmp_path, f"{{chat: {{channel: SLACK, url: '{hook.url}/T0/hush'}}}}", TURNOUT_EGRESS_PRIVATE="deny")
        town.minutes(1, failed=30)
        assert hook.received == []
    assert town.history()[-1].error.startswith("egress_denied the egress policy refuses")
    port = free_port()
    town = Town(tmp_path / "2", f"{{chat: {{channel: SLACK, url: 'http://127.0.0.1:{port}/T0/hush'}}}}")
    town.minutes(1, failed=30)
    assert town.history()[-1].error.startswith("connection_failed")
    assert "hush" not in town.history()[-1].error


def test_a_message_follows_no_redirect(tmp_path: Path) -> None:
    with Hook() as elsewhere, Hook(307, elsewhere.url) as hook:
        town = Town(tmp_path, f"{{chat: {{channel: SLACK, url: '{hook.url}'}}}}")
        town.minutes(1, failed=30)
        assert (len(hook.received), elsewhere.received) == (1, [])
    assert town.history()[-1].error == "307_temporary_redirect"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it does not see the TLS around it
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_goes_over_tls_with_a_password_to_a_server_that_is_who_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    certificate = make_certificate(tmp_path, "mail.example.org")
    with Mailbox(certificate, ("ada", "p@ss/word"), implicit=scheme == "smtps") as mailbox:
        url = f"{scheme}://ada:{{}}@127.0.0.1:{mailbox.port}"
        town = Town(tmp_path, TURNOUT_SMTP=url.format("p%40ss%2Fword"))
        town.minutes(1, failed=30)
        assert "certificate verify failed" in town.history()[-1].error
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        town.minutes(1)
        assert len(mailbox.received) == 1
        town = Town(tmp_path / "2", TURNOUT_SMTP=url.format("wrong"))
        town.minutes(1, failed=30)
        assert town.history()[-1].error.startswith("mail_refused 535")
        assert len(mailbox.received) == 1


def test_nothing_is_sent_to_a_server_that_offers_no_encryption(tmp_path: Path) -> None:
    with Mailbox() as mailbox:
        town = Town(tmp_path, TURNOUT_SMTP=f"smtp://ada:hush@127.0.0.1:{mailbox.port}")
        town.minutes(1, failed=30)
        assert mailbox.received == []
    assert town.history()[-1].error == "mail_server_unreachable STARTTLS extension not supported by server."


def test_a_running_server_tells_and_a_killed_one_does_not_tell_again(tmp_path: Path, mailbox: Mailbox) -> None:
    config = """
sites:
  "29":
    sources:
      backend: {type: server, key: KEY}
    destinations:
      orders:
        type: webhook
        sources: [backend]
        settings: {url: "HOOK"}
    alerts:
      ratio: {category: destination/delivery, destination: orders, notify: OPS}
""".replace("OPS", OPS).replace("KEY", BACKEND)
    environment = {
        "TURNOUT_SMTP": f"smtp+plain://127.0.0.1:{mailbox.port}",
        "TURNOUT_MAIL_FROM": "turnout@example.org",
    }
    with Hook(404) as hook, Server(tmp_path / "data", config.replace("HOOK", hook.url), **environment) as server:
        batch = {"batch": [{"event_name": "purchase", "context": {"event_id": f"e-{n}"}} for n in range(30)]}
        assert server.post(batch, "/events/batch")[0] == 200
        until(lambda: server.run("dead", "list", "--json").stdout.count(b"e-") >= 30, "all to be given up")
        book = Book(Database.of(server.data))

        def checked_ms() -> int:
            return book.kept()["29/ratio"].state.checked_ms or 0

        def check_again() -> None:
            """It checks when it starts."""
            before = checked_ms()
            pid = server.pid("control")
            assert pid is not None
            kill(pid)
            until(lambda: checked_ms() > before, "a check")

        check_again()
        until(lambda: len(mailbox.received) == 1, "the message")
        check_again()
        check_again()
        assert len(mailbox.received) == 1
        assert mailbox.received[0].subject.startswith("Alert: orders: 0 % of the events were delivered")
        assert "404_not_found: 30 events." in mailbox.received[0].text
