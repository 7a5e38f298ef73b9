"""Which records are kept to be shown (`config-api.md` C4, `destinations.md` §4). Figures are never sampled.

The quota of an event name at a source (or destination) is 6 records a minute, and beyond them 30 an hour. With
`auto` everything is kept until more than that has been coming for a whole minute; then the quota applies, until a
minute passes in which it would have been enough. Records of failures have a quota of their own, so that they never
hide behind volume.

What must stay true: memory is bounded, whatever names clients invent; a name that is over its quota costs one look-up.
"""

from collections.abc import Mapping
from typing import Literal

Mode = Literal["auto", "all", "quota"]
Kept = Literal["all", "quota", "test_code"]
"""Why a record is kept: nothing is sampled, it is within the quota, or it carries a `test_code`."""

PER_MINUTE, PER_HOUR = 6, 30
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
BURST = 2_000
"""So many of a name beyond its quota are enough not to wait for the end of the minute."""
NAMES = 10_000
"""So many names have a quota of their own; all others share one."""
_OTHERS = ("", "", False)


class _Quota:
    """One name's account. Buckets are those of the calendar's minute and hour."""

    __slots__ = ("beyond", "closed_until_ms", "hour", "hour_left", "minute", "minute_left", "over_in", "since_ms")

    def __init__(self) -> None:
        self.minute = self.hour = -1
        self.minute_left = self.hour_left = 0
        self.over_in = -1
        """The last minute in which the quota was not enough."""
        self.since_ms = 0
        """Since when it has not been enough in any minute."""
        self.beyond = 0
        """How many were kept although they were beyond it, since then."""
        self.closed_until_ms = 0

    def turn(self, minute: int) -> None:
        """A new minute begins."""
        if self.over_in != minute - 1:
            self.since_ms = self.beyond = 0
        self.minute, self.minute_left = minute, PER_MINUTE
        if (hour := minute // 60) != self.hour:
            self.hour, self.hour_left = hour, PER_HOUR

    def take(self) -> bool:
        """Whether one more is within the quota."""
        if self.minute_left:
            self.minute_left -= 1
        elif self.hour_left:
            self.hour_left -= 1
        else:
            return False
        return True


class Sampler:
    """Decides about records as they come. Not for use by several threads at a time."""

    def __init__(self, tests_per_minute: int = 20) -> None:
        """`tests_per_minute`: records with a `test_code` that an owner may have beside its quota."""
        self._tests_per_minute = tests_per_minute
        self._modes: Mapping[str, Mode] = {}
        self._quotas: dict[tuple[str, str, bool], _Quota] = {}
        self._tests: dict[str, tuple[int, int]] = {}
        self._swept = -1

    def configure(self, modes: Mapping[str, Mode]) -> None:
        """Use these modes, by site; `auto` for every other one."""
        if modes != self._modes:
            self._modes = dict(modes)
            self._quotas.clear()

    def keep(self, owner: str, name: str, failing: bool, now_ms: int) -> Kept | None:
        """Why a record is kept, None if it is not. `owner` is "site/source" or "site/destination"."""
        quota = self._quotas.get((owner, name, failing))
        if quota is not None and now_ms < quota.closed_until_ms:
            return None
        return self._decide(owner, name, failing, now_ms)

    def keep_test(self, owner: str, now_ms: int) -> Kept | None:
        """The same for one with a `test_code`: None where it has to take its chance among the others."""
        minute = now_ms // MINUTE_MS
        then, used = self._tests.get(owner, (minute, 0))
        used = used if then == minute else 0
        if used >= self._tests_per_minute:
            return None
        self._tests[owner] = (minute, used + 1)
        return "test_code"

    def _decide(self, owner: str, name: str, failing: bool, now_ms: int) -> Kept | None:
        mode = self._modes.get(owner.partition("/")[0], "auto")
        if mode == "all":
            return "all"
        quota = self._quota((owner, name, failing), now_ms)
        minute = now_ms // MINUTE_MS
        if minute != quota.minute:
            quota.turn(minute)
        limited = (
            mode == "quota" or quota.beyond >= BURST or bool(quota.since_ms and now_ms >= quota.since_ms + MINUTE_MS)
        )
        if quota.take():
            return "quota" if limited else "all"
        quota.over_in = minute
        quota.since_ms = quota.since_ms or now_ms
        quota.beyond += 1
        if not limited:
            return "all"
        quota.closed_until_ms = (minute + 1) * MINUTE_MS
        return None

    def _quota(self, key: tuple[str, str, bool], now_ms: int) -> _Quota:
        quota = self._quotas.get(key)
        if quota is None:
            if len(self._quotas) >= NAMES:
                self._sweep(now_ms // MINUTE_MS)
            if len(self._quotas) >= NAMES:
                key = _OTHERS
            quota = self._quotas.setdefault(key, _Quota())
        return quota

    def _sweep(self, minute: int) -> None:
        """Forget the names of which nothing came for an hour: once a minute at most."""
        if minute != self._swept:
            self._swept = minute
            self._quotas = {key: one for key, one in self._quotas.items() if minute - one.minute < 60}
