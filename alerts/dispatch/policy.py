"""Whether, when and why an event is sent again: pure decisions, each with a named reason.

Nothing is random: the jitter comes from the event's id, so that a failure can be repeated.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from alerts.store.outbox import Dispatched, Settled, Waiting
from zhiwei.clock import MICROS
from zhiwei.errors import Permanent, Retryable
from zhiwei.ids import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one sink. The defaults suit a receiver that may be away for hours."""

    in_flight: int = 16
    """Events sent at the same time, of different incidents."""
    backoff_first_s: float = 0.5
    backoff_most_s: float = 60.0
    retry_after_most_s: float = 3600.0
    """A receiver that asks for more is asked again after so long: lives may hang on it."""
    attempts_most: int = 200
    age_most_s: float = 86_400.0
    """After so many attempts or so long (and at least one attempt) an event is dead."""
    breaker_failures: int = 5
    breaker_first_s: float = 5.0
    breaker_most_s: float = 30.0

    @property
    def horizon_us(self) -> int:
        """No row waits longer than that, µs."""
        return int(max(self.backoff_most_s, self.retry_after_most_s) * MICROS)

    def urgent(self) -> "Limits":
        """The same for the urgent lane: asked again within the longest pause whatever the receiver asks for,
        and given up by age alone, as no breaker keeps it from using up its attempts."""
        enough = self.attempts_most + int(2 * self.age_most_s / self.backoff_most_s)
        return replace(self, retry_after_most_s=self.backoff_most_s, attempts_most=enough)


class Reason(StrEnum):
    """Why a dispatch stands where it stands. Stable once released."""

    DELIVERED = "delivered"
    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after"
    REFUSED = "refused"
    """The receiver will never take it."""
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_OLD = "too_old"
    SINK_ERROR = "sink_error"
    """The sink itself failed, in a way it does not know; tried again like any failure."""


def decide(row: Waiting, error: Exception | None, now_us: int, limits: Limits) -> Settled:
    """What becomes of a row after an attempt: error is None where the receiver has it."""
    attempts = row.attempts + 1
    if error is None:
        return Settled(row.number, Dispatched.DELIVERED, Reason.DELIVERED, attempts, now_us, "")
    text = str(error)[:500] or type(error).__name__
    if isinstance(error, Permanent):
        return Settled(row.number, Dispatched.DEAD, Reason.REFUSED, attempts, now_us, text)
    if attempts >= limits.attempts_most:
        return Settled(row.number, Dispatched.DEAD, Reason.TOO_MANY_ATTEMPTS, attempts, now_us, text)
    if now_us - row.written_us >= limits.age_most_s * MICROS:
        return Settled(row.number, Dispatched.DEAD, Reason.TOO_OLD, attempts, now_us, text)
    wait_s, reason = backoff_s(row.event_id, attempts, limits), Reason.BACKOFF
    if not isinstance(error, Retryable):
        reason = Reason.SINK_ERROR
    elif error.after_s is not None:
        asked_s = min(error.after_s, limits.retry_after_most_s)
        if asked_s > wait_s:
            wait_s, reason = asked_s, Reason.RETRY_AFTER
    due_us = now_us + int(wait_s * MICROS)
    return Settled(row.number, Dispatched.PENDING, reason, attempts, due_us, text)


def backoff_s(event_id: str, attempts: int, limits: Limits) -> float:
    """Seconds until the next attempt: doubled each time up to the limit, then cut to 50 … 100 % of it.

    attempts: made so far, 1 or more.
    """
    # 2 ** 64 is beyond any limit; it keeps the power from growing without end.
    full = min(limits.backoff_first_s * 2 ** min(attempts - 1, 64), limits.backoff_most_s)
    share = int(digest("jitter", event_id, attempts)[:8], 16) / 0xFFFFFFFF
    return float(full * (0.5 + 0.5 * share))


class BreakerState(StrEnum):
    """Whether a receiver is being asked."""

    CLOSED = "closed"
    """Yes."""
    HALF_OPEN = "half_open"
    """One attempt, to see whether it is back."""
    OPEN = "open"
    """No: it failed too often."""


class Breaker:
    """Keeps a receiver that fails from being asked all the time. Times are monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures = 0
        self._pause_s = limits.breaker_first_s
        self._open_until_s: float | None = None
        self._held_until_s = float("-inf")

    def state(self, now_s: float) -> BreakerState:
        """Where it stands."""
        if self._open_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._open_until_s else BreakerState.HALF_OPEN

    def room(self, now_s: float) -> int:
        """How many events may be under way."""
        if now_s < self._held_until_s:
            return 0
        return {
            BreakerState.CLOSED: self._limits.in_flight,
            BreakerState.HALF_OPEN: 1,
            BreakerState.OPEN: 0,
        }[self.state(now_s)]

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is room again; 0 where there is."""
        return max(0.0, (self._open_until_s or now_s) - now_s, self._held_until_s - now_s)

    def succeeded(self) -> bool:
        """The receiver answered. Returns whether it had been away."""
        was_away = self._open_until_s is not None
        self._failures, self._open_until_s = 0, None
        self._pause_s = self._limits.breaker_first_s
        return was_away

    def failed(self, now_s: float, *, after_s: float | None = None) -> bool:
        """An attempt failed. after_s: what the receiver asked for. Returns whether it opened by that."""
        if after_s is not None:
            held_s = min(after_s, self._limits.retry_after_most_s)
            self._held_until_s = max(self._held_until_s, now_s + held_s)
        if self.state(now_s) is BreakerState.OPEN:
            return False  # it was under way when the breaker opened
        self._failures += 1
        if self._open_until_s is not None:
            self._pause_s = min(self._pause_s * 2, self._limits.breaker_most_s)
        elif self._failures < self._limits.breaker_failures:
            return False
        opened = self._open_until_s is None
        self._open_until_s = now_s + self._pause_s
        return opened
