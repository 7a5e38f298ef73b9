"""What operations work on: the configuration in use, the log and receipts, the control plane's own store."""

import contextlib
import os
from collections.abc import Callable, Iterator

from turnout.control.access.accounts import Accounts
from turnout.control.access.activity import Activity
from turnout.control.access.database import Database
from turnout.control.access.integrations import Integrations, Kind
from turnout.control.access.tokens import Tokens
from turnout.control.alerts.book import Book
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations
from turnout.control.erasure.jobs import Erasures
from turnout.control.inspector.inspector import Inspector
from turnout.control.replay.jobs import Replays
from turnout.log.interface import Log
from turnout.model.clock import Clock, now_ms
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.event import Processed, Received
from turnout.model.outcome import Result
from turnout.model.trial import Trial, Verdict
from turnout.receipts.store import Store
from turnout.settings import Settings

Judge = Callable[[Snapshot, Source, bytes, int], tuple[int, list[tuple[Received, list[Processed]]]]]
"""What would become of a payload that a source sends now (`turnout.judge`): control does not know the stages."""
Attempt = Callable[[Snapshot, Source, bytes, int], tuple[int, list[Trial]]]
"""The same with every state on the way (`turnout.trial`)."""
Preview = Callable[[Destination, Processed, int], Verdict]
"""What a destination would do with an event (`turnout.trial`)."""
Send = Callable[[Destination, Processed], Result]
"""Really sends an event, once."""


class World:
    """Handed to every operation. Safe in threads: the log and receipts are opened anew for each use."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Snapshot],
        open_log: Callable[[], Log],
        clock: Clock = now_ms,
        judge: Judge | None = None,
        attempt: Attempt | None = None,
        preview: Preview | None = None,
        send: Send | None = None,
    ) -> None:
        self.settings, self.snapshot, self.clock = settings, snapshot, clock
        self._open_log = open_log
        self._judge, self._attempt, self._preview, self._send = judge, attempt, preview, send
        self.database = Database.of(settings.data_dir)
        self.tokens = Tokens(self.database)
        self.accounts = Accounts(self.database)
        self.activity = Activity(self.database)
        self.integrations = Integrations(self.database)
        secrets = Secrets(settings.secret_key_path)
        self.configurations = Configurations(settings.data_dir, self.database, os.environ, secrets)
        self.erasures = Erasures(self.database)
        self.replays = Replays(self.database)
        self.inspector = Inspector(settings)
        self.alerts = Book(self.database)

    @contextlib.contextmanager
    def events(self) -> Iterator[tuple[Log, Store]]:
        """The log and the receipts. Raises `LogUnavailableError`, `ReceiptsUnavailableError`."""
        with contextlib.closing(self._open_log()) as log, self.receipts() as store:
            yield log, store

    @contextlib.contextmanager
    def receipts(self) -> Iterator[Store]:
        """The receipts alone. Raises `ReceiptsUnavailableError`."""
        with contextlib.closing(Store(self.settings.state_path)) as store:
            yield store

    def judge(
        self, snapshot: Snapshot, source: Source, body: bytes, now_ms: int
    ) -> tuple[int, list[tuple[Received, list[Processed]]]]:
        """See `Judge`."""
        assert self._judge is not None, "this world was made without the stages"
        return self._judge(snapshot, source, body, now_ms)

    def attempt(self, snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> tuple[int, list[Trial]]:
        """See `Attempt`."""
        assert self._attempt is not None, "this world was made without the stages"
        return self._attempt(snapshot, source, body, now_ms)

    def preview(self, destination: Destination, event: Processed, now_ms: int) -> Verdict:
        """See `Preview`."""
        assert self._preview is not None, "this world was made without the stages"
        return self._preview(destination, event, now_ms)

    def send(self, destination: Destination, event: Processed) -> Result:
        """See `Send`."""
        assert self._send is not None, "this world was made without the stages"
        return self._send(destination, event)

    def link(self, kind: Kind, ref: str) -> str:
        """Where people find this in the API; empty if nobody has said where they reach it."""
        if not self.settings.public_url:
            return ""
        number = self.integrations.of(self.snapshot(), self.clock())[kind, ref].id
        paths = {"source": "sources", "destination": "destinations", "alert": "health/alerts"}
        site = ref.partition("/")[0]
        return f"{self.settings.public_url.rstrip('/')}/v2/{site}/{paths[kind]}/{number}"

    def close(self) -> None:
        """Give back what is open."""
        self.database.close()
        self.inspector.close()
