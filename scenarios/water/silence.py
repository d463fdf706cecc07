"""Silence of a whole station: no row for some of its usual intervals, on engine time."""

from collections.abc import Iterator

import numpy as np

from scenarios.water.policy import Offline
from scenarios.water.signals import RECENT, Samples, lower_median, shifted, taken
from scenarios.water.words import OFFLINE
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Claim, Field, Ints, Out, Round, Standing, State
from zhiwei.types import Evidence, Observation, Phase, Severity

SILENCE = "silence"
"""Timer, engine time."""
_FEWEST = 2  # gaps from which an interval is usual


class Silence:
    """State: when the last row arrived, and the usual gap between arrivals."""

    def __init__(self, offline: Offline, severity: Severity, timer: int) -> None:
        """timer: place of SILENCE among the timers."""
        self._severity, self._timer, self._source = severity, timer, offline.intervals.source
        self._intervals = float(offline.intervals.value)
        self._least_us = round(offline.at_least.seconds * MICROS)
        self.fields: tuple[Field, ...] = (
            Field("silence.arrived", "int64", (), NEVER),
            Field("silence.gaps", "float32", (RECENT,), np.nan),
            Field("silence.active", "bool"),
            Field("silence.onset", "int64", (), NEVER),
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """A row ends the silence and moves the deadline.

        A gateway may send an hour of minute data at once: the usual gap is that between arrivals, where
        it is longer than the interval of the values. Rows of one upload make no gap.
        """
        if not samples.alive.all():
            some = np.flatnonzero(samples.alive)
            rows, samples = taken(rows, some), samples.take(some)
        e, arrived = rows.entity, rows.arrived
        before = state["silence.arrived"][e]
        known = before != NEVER
        gap = (np.where(known, arrived - np.where(known, before, 0), 0) / MICROS).astype(np.float32)
        interval = np.where(np.isfinite(samples.station), samples.station, 0.0)
        gaps = state["silence.gaps"][e]
        gaps = shifted(gaps, known & (gap > 0) & (gap > interval / 2), gap)
        usual = np.maximum(lower_median(gaps), interval)
        sure = np.count_nonzero(~np.isnan(gaps), axis=1) >= _FEWEST
        wait = np.where(sure, usual, 0.0) * self._intervals * MICROS
        deadline = arrived + np.maximum(wait.astype(np.int64), self._least_us)
        state["silence.arrived"][e] = np.where(known, np.maximum(arrived, before), arrived)
        state["silence.gaps"][e] = gaps
        state["timer"][e, self._timer] = np.where(sure, deadline, NEVER)
        active = state["silence.active"][e]
        if active.any():
            onset = state["silence.onset"][e]
            for row in np.flatnonzero(active).tolist():
                at = max(int(arrived[row]), int(onset[row]))
                out.claims.append(self._claim(int(e[row]), Phase.CLEARED, at, int(onset[row])))
            state["silence.active"][e] = False

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Nothing has come until the deadline. Arguments are (n,)."""
        onset = state["silence.arrived"][entity]
        state["silence.active"][entity], state["silence.onset"][entity] = True, onset
        for row in range(len(entity)):
            out.claims.append(self._claim(int(entity[row]), Phase.RAISED, int(at[row]), int(onset[row])))

    def standing(self, state: State, entity: int, now: int) -> Iterator[Standing]:
        """Silence against its deadline; nothing where the usual interval is not known yet, or it is open."""
        arrived, deadline = (
            int(a[entity]) for a in (state["silence.arrived"], state["timer"][:, self._timer])
        )
        if deadline == NEVER or arrived == NEVER:
            return
        yield Standing(
            kind=OFFLINE,
            way="silence",
            name="silence",
            holds=now >= deadline,
            observed=round((now - arrived) / MICROS, 3),
            needs=round((deadline - arrived) / MICROS, 3),
            sign="≥",
            unit="s",
            since=arrived,
            source=self._source,
        )

    def _claim(self, entity: int, phase: Phase, at: int, onset: int) -> Claim:
        silent = Observation(
            name="silence",
            observed=round((at - onset) / MICROS, 3),
            limit=f"≤ {self._intervals:g} intervals",
            unit="s",
            source=self._source,
        )
        evidence = Evidence(observations=(silent,), start=to_datetime(onset), end=to_datetime(at))
        return Claim(
            entity=entity,
            kind=OFFLINE,
            rule="offline",
            phase=phase,
            at=at,
            onset=onset,
            score=1.0,
            severity=self._severity,
            evidence=evidence,
        )
