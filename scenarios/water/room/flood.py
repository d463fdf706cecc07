"""Water in the sump: the flood switch. No letter of HJ 212 silences it: maintenance floods rooms, too."""

import numpy as np

from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Flood
from scenarios.water.signals import Samples
from scenarios.water.words import FLOOD
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Observation

QUANTITY = "flood"


class Sump:
    """One switch."""

    def __init__(self, column: int, channel: str, settings: Flood, timer: int) -> None:
        """timer: place of its deadline."""
        self._column, self._channel, self._lasts = column, channel, settings.lasts
        rule = f"flood.{channel}"
        hold = Hold(rule, FLOOD, settings.severity, self._say, lasts=settings.lasts, timer=timer)
        self._hold = hold
        self.holds: dict[str, Hold] = {rule: hold}
        self.fields: tuple[Field, ...] = hold.fields

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:  # noqa: ARG002 - a part's
        """One more row of each entity."""
        x = rows.values[:, self._column]
        if np.isnan(x).all():
            return
        self._hold.step(state, rows, Seen(x > 0.5, x <= 0.5, x, np.full(len(x), np.nan)), out)

    def _say(self, state: State, entity: int, worst: float, against: float) -> tuple[Observation, ...]:  # noqa: ARG002
        limit = f"< {self._lasts.seconds:g} s"
        source = self._lasts.source
        return (Observation(name=self._channel, observed=True, expected=False, limit=limit, source=source),)


def sumps(channels: tuple[str, ...], settings: Flood, first_timer: int) -> list[Sump]:
    """A rule for each switch. first_timer: place of its first deadline."""
    found: list[Sump] = []
    for column, channel in probes(channels, QUANTITY):
        found.append(Sump(column, channel, settings, first_timer + len(found)))
    return found
