"""The inspector's records of this data directory: both directions, what they may take, and forgetting a person."""

import shutil
import threading
from collections.abc import Callable, Sequence

from turnout.control.inspector import incoming, outgoing
from turnout.control.inspector.store import Series, within_budget
from turnout.control.inspector.terms import field_term
from turnout.settings import Settings

TESTS_KEPT_MS = 86_400_000
"""Records that are kept for their `test_code` alone."""
_TESTS_EVERY_MS = 3_600_000
_WRITTEN = 10
"""So large a part of the budget is for the two files that are being written."""
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


class Inspector:
    """Safe in threads. Opening touches nothing on the disk."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.data_dir / "inspector"
        self._settings = settings
        self.incoming = Series(
            folder,
            "incoming",
            lambda document: incoming.terms_of(incoming.decode(document)),
            keep_ms=settings.inspector_days * _DAY_MS,
            budget_bytes=settings.inspector_bytes,
        )
        self.outgoing = Series(
            folder,
            "outgoing",
            lambda document: outgoing.terms_of(outgoing.decode(document)),
            keep_ms=settings.inspector_outgoing_hours * _HOUR_MS,
            budget_bytes=settings.inspector_bytes,
        )
        self._tests_at_ms = 0
        self.following = threading.Lock()
        """Held while something is read and not written yet."""

    def retain(self, now_ms: int) -> None:
        """Remove what is too old. Raises sqlite3.Error, OSError."""
        self.incoming.expire(now_ms)
        self.outgoing.expire(now_ms)
        if now_ms >= self._tests_at_ms:
            self._tests_at_ms = now_ms + _TESTS_EVERY_MS
            self.incoming.erase(
                lambda document: incoming.decode(document).at_ms < now_ms - TESTS_KEPT_MS,
                f'"{field_term("sampling", "test_code")}"',
            )

    def stay_within_budget(self) -> None:
        """Remove the oldest files so that there is room in the budget for those that are written. Raises OSError."""
        most = self._settings.inspector_bytes
        within_budget([self.incoming, self.outgoing], most - most // _WRITTEN)

    def has_room(self) -> bool:
        """Whether the disk has more left than what is kept free for events."""
        return shutil.disk_usage(self._settings.data_dir).free >= self._settings.reserve_bytes

    def erase(self, wanted: Callable[[int, Sequence[bytes]], bool], site: str) -> int:
        """Remove records of a site for good: those `wanted`, by the offset of their event in `processed` and by
        everything in them that may tell of a person; gives how many.

        The log must not have it any more. Nothing of them stays in the files or their index. Raises sqlite3.Error.
        """
        with self.following:
            # What was read before is written now, and can be found; what is read from now on is erased already.
            pass

        def came(document: bytes) -> bool:
            record = incoming.decode(document)
            return wanted(record.seq, [text for text in (record.normalized, record.received, record.raw) if text])

        def went(document: bytes) -> bool:
            attempt = outgoing.decode(document).attempt
            return wanted(attempt.offset, attempt.texts)

        match = f'"{field_term("site", site)}"'
        return self.incoming.erase(came, match) + self.outgoing.erase(went, match)

    def close(self) -> None:
        """Give back what is open."""
        self.incoming.close()
        self.outgoing.close()
