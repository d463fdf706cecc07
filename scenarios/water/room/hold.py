"""A condition that must last: since when it holds, whether it was raised, and the worst of it.

A hold is reached by a row, or by its deadline where no row comes. One measured value alone may be a spike:
its deadline leaves the next row the time to say so. A switch stays as it was last said: its deadline is the
hold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenarios.water.threshold import Threshold
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Floats, Ints, Out, Round, State
from zhiwei.types import Evidence, Observation, Phase, Severity

Say = Callable[[State, int, float, float], tuple[Observation, ...]]
"""Observations from the state, an index into it, the worst value, and what that was held against."""
Score = Callable[[State, int], float]
"""How sure, from the state and an index into it."""


@dataclass(slots=True)
class Seen:
    """What the rows of a round say of a condition, all (n,). Neither ``beyond`` nor ``ended``: no verdict."""

    beyond: Bools
    ended: Bools
    """It does not hold, beyond the hysteresis where there is one."""
    value: Floats
    against: Floats
    """What the value is held against, in its unit; NaN = nothing."""
    withdrawn: Bools | None = None
    """There is nothing to hold it against any more."""
    interval: Floats | None = None
    """Usual seconds between two values; NaN = not known, or not kept. None: a switch."""


class Hold:
    """State: since when, whether raised, the worst value and what it was held against."""

    def __init__(
        self,
        rule: str,
        kind: str,
        severity: Severity,
        say: Say,
        *,
        lasts: Threshold | None = None,
        timer: int | None = None,
        worse: int = 1,
        score: Score | None = None,
    ) -> None:
        """rule: also names the state. lasts: None = at once. timer: place of the deadline among the timers.
        worse: +1 where a higher value is worse, else -1. score: None = sure."""
        self._rule, self._kind, self._severity, self._say, self._score = rule, kind, severity, say, score
        self._lasts_us = 0 if lasts is None else round(lasts.seconds * MICROS)
        self._timer, self._worse = timer, worse
        self._onset, self._raised = f"{rule}.onset", f"{rule}.raised"
        self._worst, self._against = f"{rule}.worst", f"{rule}.against"
        self.fields: tuple[Field, ...] = (
            Field(self._onset, "int64", (), NEVER),
            Field(self._raised, "bool"),
            Field(self._worst, "float32", (), np.nan),
            Field(self._against, "float32", (), np.nan),
        )

    def since(self, state: State, entity: Ints) -> Ints:
        """(n,) since when it was raised; NEVER where it is not."""
        return np.where(state[self._raised][entity], state[self._onset][entity], NEVER)

    def step(self, state: State, rows: Round, seen: Seen, out: Out) -> None:
        """One more row of each entity."""
        e, at = rows.entity, rows.at
        onset = state[self._onset][e]
        open_ = onset != NEVER
        if not (seen.beyond.any() or open_.any()):
            return
        raised = state[self._raised][e]
        begins = seen.beyond & ~open_
        onset = np.where(begins, at, onset)
        worst, against = state[self._worst][e], state[self._against][e]
        worse = seen.beyond & (begins | (seen.value * self._worse > worst * self._worse))
        worst = np.where(worse, seen.value, worst).astype(np.float32)
        against = np.where(worse, seen.against, against).astype(np.float32)
        reached = seen.beyond & ~raised & (at - np.where(seen.beyond, onset, at) >= self._lasts_us)
        withdrawn = np.zeros(len(e), bool) if seen.withdrawn is None else seen.withdrawn & open_
        # Between limit and hysteresis a finding goes on, but nothing begins to last.
        over = (open_ & np.where(raised, seen.ended, ~seen.beyond & ~np.isnan(seen.value))) | withdrawn
        state[self._onset][e] = np.where(over, NEVER, onset)
        state[self._raised][e] = (raised | reached) & ~over
        state[self._worst][e], state[self._against][e] = worst, against
        if self._timer is not None:
            timer = state["timer"][e, self._timer]
            timer = np.where(begins, at + self._wait_us(seen), timer)
            state["timer"][e, self._timer] = np.where(reached | over, NEVER, timer)
        for row in np.flatnonzero(reached).tolist():
            span = (int(onset[row]), int(at[row]))
            out.claims.append(self._claim(state, int(e[row]), Phase.RAISED, span))
        for row in np.flatnonzero(over & raised).tolist():
            span = (int(onset[row]), int(at[row]))
            note = "withdrawn" if withdrawn[row] else "returned"
            out.claims.append(self._claim(state, int(e[row]), Phase.CLEARED, span, note))

    def _wait_us(self, seen: Seen) -> Ints:
        """(n,) from the onset to the deadline: for a measured value at least one and a half intervals."""
        if seen.interval is None:
            return np.full(len(seen.beyond), self._lasts_us)
        interval = np.nan_to_num(seen.interval, posinf=0.0) * MICROS
        return np.asarray((np.maximum(self._lasts_us, interval) + interval / 2).astype(np.int64))

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """The deadline has passed and no row has said otherwise. Arguments are (n,)."""
        onset = state[self._onset][entity]
        due = (onset != NEVER) & ~state[self._raised][entity]
        state[self._raised][entity[due]] = True
        for row in np.flatnonzero(due).tolist():
            span = (int(onset[row]), int(at[row]))
            out.claims.append(self._claim(state, int(entity[row]), Phase.RAISED, span))

    def _claim(self, state: State, entity: int, phase: Phase, span: tuple[int, int], note: str = "") -> Claim:
        onset, at = span
        worst, against = float(state[self._worst][entity]), float(state[self._against][entity])
        return Claim(
            entity=entity,
            kind=self._kind,
            rule=self._rule,
            phase=phase,
            at=at,
            onset=onset,
            score=1.0 if self._score is None else self._score(state, entity),
            severity=self._severity,
            evidence=Evidence(
                observations=self._say(state, entity, worst, against),
                start=to_datetime(onset),
                end=to_datetime(at),
                note=note,
            ),
        )


def probes(channels: tuple[str, ...], quantity: str) -> tuple[tuple[int, str], ...]:
    """(column, name) of each channel of a quantity: ``hatch_open``, ``hatch_open_2`` …"""
    further = tuple(f"{quantity}_{number}" for number in range(2, 10))
    return tuple((column, name) for column, name in enumerate(channels) if name in (quantity, *further))
