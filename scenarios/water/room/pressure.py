"""Outlet pressure against its set point: the entity's attribute ``set_point``, else a learned one.

Learned is a median of the last day, and there is no verdict before it has some hours. Values beyond the
tolerance are not learned, so that a failure does not become the usual; only when one has lasted a day does
learning begin anew, for then somebody has set another pressure.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from scenarios.water.profiles import numbers_of
from scenarios.water.room.attributes import Numbers, beside
from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Pressure
from scenarios.water.signals import Samples, lower_median, shifted
from scenarios.water.words import shown
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Bools, Field, Floats, Ints, Out, Round, State
from zhiwei.types import Observation

QUANTITY = "outlet_pressure"
_SOON = 0.75  # of the time between two learned values: rows jitter
_LEARNED = 0.5
"""How sure a verdict against a learned set point is; against a given one it is 1."""


class SetPoints:
    """Set points of one outlet. State: the values learned from, and their median."""

    def __init__(self, channel: str, settings: Pressure, given: Numbers) -> None:
        self._given = given
        self._fewest = int(settings.learn_from.value)
        self._every_us = round(_SOON * settings.learn_every.seconds * MICROS)
        words = ("kept", "kept_at", "learned")
        self._ring, self._at, self._median = (f"pressure.{word}.{channel}" for word in words)
        self.fields: tuple[Field, ...] = (
            Field(self._ring, "float32", (int(settings.learn_window.value),), np.nan),
            Field(self._at, "int64", (), NEVER),
            Field(self._median, "float32", (), np.nan),
        )

    def given(self, state: State, entity: Ints) -> Floats:
        """(n,) MPa, what the registry says; NaN = nothing."""
        return self._given.of(numbers_of(state, entity))

    def of(self, state: State, entity: Ints) -> Floats:
        """(n,) MPa; NaN = not known yet."""
        given = self.given(state, entity)
        return np.where(np.isnan(given), state[self._median][entity], given)

    def learn(self, state: State, rows: Round, x: Floats, usual: Bools) -> None:
        """Take values into account. x: (n,). usual: (n,) which of them are no outliers."""
        e, at = rows.entity, rows.at
        kept_at = state[self._at][e]
        due = usual & (x > 0) & ((kept_at == NEVER) | (at - kept_at >= self._every_us))
        if due.any():
            due &= np.isnan(self.given(state, e))
        some = np.flatnonzero(due)
        if len(some):
            who = e[some]
            every = np.ones(len(some), bool)
            ring = shifted(state[self._ring][who], every, x[some].astype(np.float32))
            enough = np.count_nonzero(~np.isnan(ring), axis=1) >= self._fewest
            state[self._ring][who], state[self._at][who] = ring, at[some]
            state[self._median][who] = np.where(enough, lower_median(ring), np.nan)

    def forget(self, state: State, entity: Ints) -> None:
        """Begin to learn anew."""
        for field in self.fields:
            state[field.name][entity] = field.fill


class Outlet:
    """One outlet; a building may have one for each pressure zone (``outlet_pressure_2``)."""

    def __init__(
        self, column: int, channel: str, settings: Pressure, set_points: SetPoints, timer: int
    ) -> None:
        """timer: place of the first of two deadlines."""
        self._column, self._channel, self._settings = column, channel, settings
        self._set_points = set_points
        self._share = settings.tolerance.value / 100
        self._anew_us = round(settings.learn_anew.seconds * MICROS)
        low, high = (
            Hold(
                f"pressure.{side}.{channel}",
                f"water.pressure_{side}",
                settings.severity,
                partial(self._say, side=sign),
                lasts=settings.lasts,
                timer=timer + place,
                worse=sign,
                score=self._score,
            )
            for place, (side, sign) in enumerate((("low", -1), ("high", 1)))
        )
        self.holds: dict[str, Hold] = {f"pressure.low.{channel}": low, f"pressure.high.{channel}": high}
        self.fields: tuple[Field, ...] = (*set_points.fields, *low.fields, *high.fields)

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row of each entity."""
        column = self._column
        known = samples.plausible[:, column] & ~samples.stuck[:, column]
        if not known.any():
            return
        e = rows.entity
        x = np.where(known, samples.x[:, column], np.nan).astype(np.float64)
        set_point = self._set_points.of(state, e)
        gone = np.isnan(set_point)
        kept = samples.interval[:, column]
        kept = np.where(samples.regular[:, column], kept, np.nan)
        usual = known.copy()
        for sign, hold in zip((-1, 1), self.holds.values(), strict=True):
            limit = set_point * (1 + sign * self._share)
            back = limit * (1 - sign * self._settings.hysteresis.value / 100)
            beyond = x * sign > limit * sign
            usual &= ~beyond
            hold.step(
                state,
                rows,
                Seen(beyond, x * sign <= back * sign, x, set_point, withdrawn=gone, interval=kept),
                out,
            )
            self._begin_anew(state, rows, hold)
        self._set_points.learn(state, rows, x, usual)

    def _begin_anew(self, state: State, rows: Round, hold: Hold) -> None:
        """With the next row the finding ends, as there is no set point any more."""
        since = hold.since(state, rows.entity)
        if (since == NEVER).all():
            return
        lasting = (since != NEVER) & (rows.at - np.where(since == NEVER, rows.at, since) >= self._anew_us)
        lasting &= np.isnan(self._set_points.given(state, rows.entity))
        self._set_points.forget(state, rows.entity[lasting])

    def _score(self, state: State, entity: int) -> float:
        return _LEARNED if np.isnan(self._set_points.given(state, np.array([entity]))[0]) else 1.0

    def _say(
        self, state: State, entity: int, worst: float, set_point: float, *, side: int
    ) -> tuple[Observation, ...]:
        given = self._score(state, entity) == 1.0
        limit = set_point * (1 + side * self._share)
        return (
            Observation(
                name=self._channel,
                observed=shown(worst),
                expected=shown(set_point),
                limit=f"{'≤' if side > 0 else '≥'} {limit:.3g}",
                unit="MPa",
                source=f"set point {'given' if given else 'learned'}; {self._settings.tolerance.source}",
            ),
        )


def outlets(
    channels: tuple[str, ...],
    settings: Pressure,
    attributes: Mapping[str, Mapping[str, str]],
    entities: Sequence[str],
    first_timer: int,
) -> list[Outlet]:
    """A rule for each outlet that has a channel. first_timer: place of its first deadline."""
    found: list[Outlet] = []
    for column, channel in probes(channels, QUANTITY):
        given = Numbers(attributes, entities, beside("set_point", QUANTITY, channel))
        set_points = SetPoints(channel, settings, given)
        found.append(Outlet(column, channel, settings, set_points, first_timer + 2 * len(found)))
    return found
