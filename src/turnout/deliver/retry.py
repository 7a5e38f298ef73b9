"""When to try again, and when to give up (`destinations.md` §1). Pure."""

from turnout.model.config import Delivery

FACTOR = 4.0
LONGEST_S = 3_600.0


def next_attempt_ms(
    delivery: Delivery, attempts: int, first_ms: int, now_ms: int, retry_after_s: float | None, jitter: float
) -> int | None:
    """When to make the next attempt (ms), or None to give up.

    `attempts` have been made, the first at `first_ms`. `jitter` in [0, 1) spreads waits over the upper half of
    their length. A partner's `Retry-After` is a lower bound.
    """
    if attempts >= delivery.max_attempts:
        return None
    wait_s = min(delivery.backoff_s * FACTOR ** (attempts - 1), LONGEST_S) * (0.5 + jitter / 2)
    due_ms = now_ms + int(max(wait_s, retry_after_s or 0.0) * 1000)
    return due_ms if due_ms - first_ms <= delivery.max_age_s * 1000 else None
