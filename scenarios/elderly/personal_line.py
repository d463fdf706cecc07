"""The personal line: how long this resident is usually still at this hour of the day.

A sample is the longest inactivity that was reached within an hour of a day. The line of an hour is a high
percentile over the past days, plus a buffer. A day's sample is the largest of the hour and its
two neighbours: who gets up an hour later on some days has one routine, not two. After Cuddihy et al. (2007).
"""

import numpy as np
import numpy.typing as npt

from scenarios.elderly.episodes import Episodes
from scenarios.elderly.localtime import DAY, MINUTE
from scenarios.elderly.policy import NoActivity
from scenarios.elderly.words import HOUR
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Ints, State

DAYS = 28
"""Days kept: four of each weekday."""
HOURS = 24
_SPAN = HOURS + 2
"""Hours that one inactivity may touch and still be learned; a longer one is no day of living at home."""
_MOST = 65_535


class PersonalLine:
    """State: samples of the last days in minutes + 1 (0 = none), today's, and the line in minutes + 1."""

    def __init__(self, episodes: Episodes, settings: NoActivity) -> None:
        self._episodes = episodes
        self.share = float(settings.percentile.value) / 100
        self.buffer, self._least = settings.buffer.us // MINUTE, settings.least.us // MINUTE
        self._warm_up = -(-settings.warm_up.us // DAY)
        self._fewest = int(settings.fewest.value)
        self.fields: tuple[Field, ...] = (
            Field("line.samples", "uint16", (DAYS, HOURS)),
            Field("line.today", "uint16", (HOURS,)),
            Field("line.level", "uint16", (HOURS,)),
            Field("line.first_day", "int32", (), -1),
            Field("line.day", "int32", (), -1),
            Field("line.turn", "uint8"),
        )

    def learn(self, state: State, entity: Ints, since: Ints, until: Ints, counts: Bools) -> None:
        """Signs of activity end inactivities.

        since, until: (n,) local µs, NEVER in ``since`` where nothing was before. counts: the inactivity was
        one at home, with nothing declared; the others only move the day.
        """
        counts = counts & (since != NEVER) & (until > np.where(counts, since, 0))
        since = np.where(counts, since, until)
        first, last = since // HOUR, until // HOUR
        wide = last - first >= _SPAN
        same = counts & (first == last)
        days = (last // HOURS).astype(np.int64)
        before = state["line.day"][entity].astype(np.int64)
        new_day = days > before
        if not new_day.any() and same.all():  # nearly every row
            self._take(state, entity, last % HOURS, until - since)
            return
        crossing = np.flatnonzero(counts & ~wide)
        hour = first[crossing, None] + np.arange(_SPAN)
        reached = np.minimum((hour + 1) * HOUR, until[crossing, None]) - since[crossing, None]
        touched = hour <= last[crossing, None]
        self._spread(
            state, entity[crossing], hour, reached, touched & (hour // HOURS == before[crossing, None])
        )
        some = np.flatnonzero(new_day)
        if len(some):
            self._end_day(state, entity[some], days[some])
            self._spread(
                state,
                entity[crossing],
                hour,
                reached,
                touched & new_day[crossing, None] & (hour // HOURS == days[crossing, None]),
            )
        state["found"][entity[counts & wide]] = True

    def line(self, state: State, entity: Ints) -> Ints:
        """(n, 24) µs; 0 where there is no line."""
        level = state["line.level"][entity].astype(np.int64)
        return np.where(level > 0, (level - 1) * MINUTE, 0)

    def age_days(self, state: State, entity: int) -> int:
        """Which day of its life here the home is in, from 1; 0 before its first sign."""
        first = int(state["line.first_day"][entity])
        return 0 if first < 0 else int(state["line.day"][entity]) - first + 1

    def _take(self, state: State, entity: Ints, hour: Ints, reached: Ints) -> None:
        value = np.minimum(reached // MINUTE + 1, _MOST).astype(np.uint16)
        state["line.today"][entity, hour] = np.maximum(state["line.today"][entity, hour], value)

    def _spread(self, state: State, entity: Ints, hour: Ints, reached: Ints, where: Bools) -> None:
        """hour, reached, where: (n, span)."""
        row, place = np.nonzero(where)
        # No hour of the day occurs twice for a row: all touched hours are of one day.
        self._take(state, entity[row], hour[row, place] % HOURS, reached[row, place])

    def _end_day(self, state: State, entity: Ints, day: Ints) -> None:
        """Keep the day that has ended, unless something was found or it was the first, a part of one."""
        before, first = state["line.day"][entity], state["line.first_day"][entity]
        good = ~self._episodes.day_had_findings(state, entity) & (before > first)
        kept = entity[good]
        turn = state["line.turn"][kept]
        state["line.samples"][kept, turn] = state["line.today"][kept]
        state["line.turn"][kept] = (turn + 1) % DAYS
        state["line.today"][entity] = 0
        state["line.day"][entity] = day
        state["line.first_day"][entity] = np.where(first < 0, day, first)
        ready = day - state["line.first_day"][entity] >= self._warm_up
        due = entity[ready]
        state["line.level"][due] = self._levels(state["line.samples"][due])

    def _levels(self, samples: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
        """(n, 24) from (n, DAYS, 24): the percentile by rank, without interpolation."""
        wide = np.maximum(samples, np.maximum(np.roll(samples, 1, axis=2), np.roll(samples, -1, axis=2)))
        ranked = np.sort(wide, axis=1)
        count = np.count_nonzero(wide, axis=1)
        # In hundredths of a percent: a share as float would put 95 % of 20 days one rank too high.
        rank = -(-count * round(self.share * 10_000) // 10_000)
        place = np.maximum(DAYS - count + rank - 1, 0)
        high = np.take_along_axis(ranked, place[:, None, :], axis=1)[:, 0, :].astype(np.int64) - 1
        level = np.maximum(high + self.buffer, self._least)
        return np.where(count >= self._fewest, np.minimum(level + 1, _MOST), 0).astype(np.uint16)
