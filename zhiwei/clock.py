"""The only file that reads the system's clock. Everything else is handed a Clock or a time.

Times are integers, microseconds since the Unix epoch, UTC, unless a name says otherwise.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MICROS = 1_000_000
"""Microseconds in a second."""

NEVER = (1 << 63) - 1
"""A deadline that is not set; greater than any time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_US = -62_135_596_800 * MICROS  # 0001-01-01, the first instant that datetime can hold
_MAX_US = 253_402_300_799 * MICROS  # 9999-12-31 23:59:59


class Clock(Protocol):
    """Wall clock for stamps, monotonic clock for intervals."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


def to_datetime(us: int) -> datetime:
    """Microseconds since the epoch as an aware datetime, cut to the years 1 to 9999.

    us: also a NumPy integer, which timedelta by itself refuses.
    """
    return _EPOCH + timedelta(microseconds=min(max(int(us), _MIN_US), _MAX_US))


def to_us(moment: datetime) -> int:
    """Aware datetime as whole microseconds since the epoch; exact, without a float in between.

    Raises TypeError for a naive datetime, which names no instant.
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)
