"""Heat and cold in a room, for as long as a person can bear it."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.night_out import is_outdoor
from scenarios.elderly.policy import Climate
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.silence import Silence
from scenarios.elderly.words import COLD, HEAT, duration
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, Ints, Out, State
from zhiwei.types import Observation

TIMER = "climate"


def columns_of(layout: Layout) -> list[int]:
    """Columns of room temperatures."""
    return [
        place
        for place, family in enumerate(layout.family)
        if family == "temperature" and not is_outdoor(layout, place)
    ]


def rules_of(layout: Layout) -> list[Rule]:
    """Two for each room temperature: heat, cold."""
    names = [layout.channels[place] for place in columns_of(layout)]
    return [Rule(f"{side}.{name}", kind) for name in names for side, kind in (("heat", HEAT), ("cold", COLD))]


class Climates:
    """State, by rule: since when the temperature is beyond; by room: the last temperature."""

    def __init__(
        self, layout: Layout, episodes: Episodes, silence: Silence, settings: Climate, timer: int
    ) -> None:
        self._episodes, self._silence, self._timer, self._settings = episodes, silence, timer, settings
        self._columns = columns_of(layout)
        self._rules = rules_of(layout)
        self._names = [layout.channels[place] for place in self._columns]
        rules = len(self._columns)
        # Times this, a limit of either side is an upper one.
        self._sign = np.array([1.0, -1.0] * rules)
        limits = [float(settings.hot.value), float(settings.cold.value)] * rules
        self._limit = self._sign * np.array(limits)
        self._clear = self._limit - float(settings.hysteresis.value)
        names = tuple(rule.name for rule in self._rules)
        self._places = episodes.places(names)
        self.fields: tuple[Field, ...] = (
            Field("climate.since", "int64", ("channel",), NEVER, channels=names),
            Field("climate.last", "float32", ("channel",), np.nan, channels=tuple(self._names)),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """A value beyond starts the hold, one inside ends it; the finding ends beyond the hysteresis."""
        seen = look.seen[:, self._columns]
        if not seen.any():
            return
        e, at = look.entity, look.at[:, None]
        x = look.rows.values[:, self._columns]
        last = state["climate.last"][e]
        state["climate.last"][e] = np.where(seen, x, last)
        x, seen = np.repeat(x, 2, axis=1) * self._sign, np.repeat(seen, 2, axis=1)
        is_open = state["open"][e][:, self._places] != NEVER
        since = state["climate.since"][e]
        beyond = seen & (x > self._limit)
        since = np.where(beyond & (since == NEVER) & ~is_open, at, np.where(seen & ~beyond, NEVER, since))
        for row, place in np.argwhere(is_open & seen & (x <= self._clear)).tolist():
            self._episodes.clear(
                state, out, int(e[row]), self._rules[place].name, at=int(look.at[row]), cause="usual_again"
            )
        self._arm(state, e, since)

    def _arm(self, state: State, entity: Ints, since: Ints) -> None:
        state["climate.since"][entity] = since
        known = since != NEVER
        due = np.where(known, np.where(known, since, 0) + self._settings.hold.us, NEVER)
        state["timer"][entity, self._timer] = due.min(axis=1)

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Beyond for as long as the hold; of a sensor that is silent nothing is known."""
        since = state["climate.since"][entity]
        known = since != NEVER
        due = known & (np.where(known, since, 0) + self._settings.hold.us <= at[:, None])
        s = self._settings
        for row, place in np.argwhere(due).tolist():
            one = entity[row : row + 1]
            if self._silence.is_silent(state, one, self._columns[place // 2])[0]:
                continue
            limit, mark = (s.cold, "≥") if place % 2 else (s.hot, "≤")
            seen = Observation(
                name=self._names[place // 2],
                observed=round(float(state["climate.last"][entity[row], place // 2]), 2),
                expected=float(limit.value),
                limit=f"{mark} {limit.value:g} °C, or beyond for less than {duration(s.hold.us)}",
                unit="°C",
                source=limit.source,
            )
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                self._rules[place].name,
                at=int(at[row]),
                onset=int(since[row, place]),
                observations=(seen,),
            )
        self._arm(state, entity, np.where(due, NEVER, since))
