"""Hours of the day where the home stands: zones, nights, awake time. All times are integers, µs."""

from collections.abc import Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from scenarios.elderly.policy import Night, minutes_of
from scenarios.elderly.words import HOUR
from zhiwei.clock import MICROS, to_datetime
from zhiwei.contracts import Bools, Ints

DAY = 24 * HOUR
MINUTE = 60 * MICROS
_QUARTER = 15 * MINUTE
"""Every change of every zone falls on a quarter of an hour UTC."""
_FIRST, _LAST = -62_135_000_000 // 900, 253_402_000_000 // 900
"""Quarters that stay inside datetime's years after any offset is added."""


@lru_cache(maxsize=1 << 15)
def _offset(zone: str, quarter: int) -> int:
    moment = to_datetime(min(max(quarter, _FIRST), _LAST) * _QUARTER).astimezone(ZoneInfo(zone))
    offset = moment.utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return round(offset.total_seconds() * MICROS)


def offsets(names: Sequence[str], zone: Ints, at: Ints) -> Ints:
    """(n,) µs to be added to UTC. zone: (n,) index into names. at: (n,) µs UTC."""
    found = np.zeros(len(at), np.int64)
    quarter = at // _QUARTER
    for number in np.unique(zone).tolist() if len(names) > 1 else (0,):
        here = np.flatnonzero(zone == number) if len(names) > 1 else slice(None)
        distinct, place = np.unique(quarter[here], return_inverse=True)
        table = [_offset(names[number], one) for one in distinct.tolist()]
        found[here] = np.array(table, np.int64)[place]
    return found


class Nights:
    """The night of a policy, and the awake time between two nights."""

    def __init__(self, night: Night) -> None:
        self.start, self.end = minutes_of(night.start) * MINUTE, minutes_of(night.end) * MINUTE
        self._awake = self.start - self.end  # a night crosses midnight

    def covers(self, local: Ints) -> Bools:
        """(n,) whether it is night."""
        time = local % DAY
        return np.asarray((time >= self.start) | (time < self.end))

    def awake_after(self, local: Ints, wanted: int) -> Ints:
        """(n,) the time at which so much awake time has passed since ``local``; wanted > 0, µs."""
        passed = (
            local // DAY * self._awake
            + np.minimum(np.maximum(local % DAY - self.end, 0), self._awake)
            + wanted
        )
        days, rest = passed // self._awake, passed % self._awake
        # Reached with the last moment of a day: that evening, not the next morning.
        full = rest == 0
        return np.asarray((days - full) * DAY + self.end + np.where(full, self._awake, rest))
