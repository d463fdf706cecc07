"""A pump starts too often: its motor overheats, and its pressure tank has lost its air or a valve leaks.

The limit is the entity's attribute ``pump_limit`` (starts per hour), else the policy's.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from scenarios.water.profiles import numbers_of
from scenarios.water.room.attributes import Numbers, beside
from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Cycling
from scenarios.water.signals import Samples
from scenarios.water.words import PUMP_CYCLING, shown
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Observation

QUANTITY = "pump_starts"


class Pump:
    """One count of starts per hour."""

    def __init__(self, column: int, channel: str, settings: Cycling, limit: Numbers) -> None:
        self._column, self._channel, self._settings, self._limit = column, channel, settings, limit
        self._hold = Hold(f"pump_cycling.{channel}", PUMP_CYCLING, settings.severity, self._say)
        self.holds: dict[str, Hold] = {}
        self.fields: tuple[Field, ...] = self._hold.fields

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row of each entity."""
        known = samples.plausible[:, self._column]
        if not known.any():
            return
        x = np.where(known, samples.x[:, self._column], np.nan).astype(np.float64)
        limit = self._limit.of(numbers_of(state, rows.entity))
        limit = np.where(np.isnan(limit), self._settings.starts.value, limit)
        back = limit * (1 - self._settings.hysteresis.value / 100)
        self._hold.step(state, rows, Seen(x > limit, x <= back, x, limit), out)

    def _say(self, state: State, entity: int, worst: float, limit: float) -> tuple[Observation, ...]:
        given = self._limit.of(numbers_of(state, np.array([entity])))[0]
        source = self._settings.starts.source if np.isnan(given) else "the pump's limit, by the registry"
        return (
            Observation(
                name=self._channel,
                observed=shown(worst),
                expected=shown(limit),
                limit=f"≤ {limit:.6g}",
                unit="1/h",
                source=source,
            ),
        )


def pumps(
    channels: tuple[str, ...],
    settings: Cycling,
    attributes: Mapping[str, Mapping[str, str]],
    entities: Sequence[str],
) -> list[Pump]:
    """A rule for each count of starts."""
    return [
        Pump(
            column, channel, settings, Numbers(attributes, entities, beside("pump_limit", QUANTITY, channel))
        )
        for column, channel in probes(channels, QUANTITY)
    ]
