"""Batteries that need a visit."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.policy import Battery
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.words import DEVICE_BATTERY
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, Out, State
from zhiwei.types import Observation


def rules_of(layout: Layout) -> list[Rule]:
    """One for each battery, called like its channel."""
    return [Rule(name, DEVICE_BATTERY) for name in layout.names(layout.of("battery"))]


class Batteries:
    """No state of its own: a value below the limit opens, one above the hysteresis ends."""

    fields: tuple[Field, ...] = ()

    def __init__(self, layout: Layout, episodes: Episodes, settings: Battery) -> None:
        self._episodes, self._limit = episodes, settings.low
        self._columns = np.flatnonzero(layout.of("battery"))
        self._names = layout.names(layout.of("battery"))
        self._places = episodes.places(self._names)
        self._clear = float(settings.low.value) + float(settings.hysteresis.value)

    def step(self, state: State, look: Look, out: Out) -> None:
        """Python only where something changes."""
        seen = look.seen[:, self._columns]
        if not seen.any():
            return
        x = look.rows.values[:, self._columns]
        is_open = state["open"][look.entity][:, self._places] != NEVER
        low = seen & ~is_open & (x < float(self._limit.value))
        for row, place in np.argwhere(low).tolist():
            at = int(look.at[row])
            seen_value = Observation(
                name=self._names[place],
                observed=round(float(x[row, place]), 2),
                expected=float(self._limit.value),
                limit=f"≥ {self._limit.value:g} %",
                unit="%",
                source=self._limit.source,
            )
            self._episodes.open(
                state,
                out,
                int(look.entity[row]),
                self._names[place],
                at=at,
                onset=at,
                observations=(seen_value,),
                samples=1,
            )
        for row, place in np.argwhere(is_open & seen & (x > self._clear)).tolist():
            self._episodes.clear(
                state,
                out,
                int(look.entity[row]),
                self._names[place],
                at=int(look.at[row]),
                cause="charged",
            )
