"""Tank level against the tank's height, which is the entity's attribute ``tank_height`` (m).

Without the height there is no verdict: nobody can learn from levels how high a tank is.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from scenarios.water.profiles import numbers_of
from scenarios.water.room.attributes import Numbers, beside
from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Tank
from scenarios.water.signals import Samples
from scenarios.water.threshold import Threshold
from scenarios.water.words import shown
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Observation

QUANTITY = "tank_level"


class Level:
    """One tank; a second one is ``tank_level_2`` with ``tank_height_2``."""

    def __init__(self, column: int, channel: str, settings: Tank, height: Numbers, timer: int) -> None:
        """timer: place of the first of two deadlines."""
        self._column, self._channel, self._height = column, channel, height
        self._hysteresis = settings.hysteresis.value / 100
        self._sides: list[tuple[int, float, Hold]] = []
        self.holds: dict[str, Hold] = {}
        for side, kind, sign, share in (
            ("low", "water.tank_low", -1, settings.low),
            ("overflow", "water.tank_overflow", 1, settings.high),
        ):
            rule = f"tank.{side}.{channel}"
            self.holds[rule] = Hold(
                rule,
                kind,
                settings.severity,
                partial(self._say, share=share, sign="≥" if sign < 0 else "≤"),
                lasts=settings.lasts,
                timer=timer + len(self.holds),
                worse=sign,
            )
            self._sides.append((sign, share.value / 100, self.holds[rule]))
        self.fields: tuple[Field, ...] = tuple(f for hold in self.holds.values() for f in hold.fields)

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row of each entity."""
        column = self._column
        known = samples.plausible[:, column] & ~samples.stuck[:, column]
        if not known.any():
            return
        height = self._height.of(numbers_of(state, rows.entity))
        x = np.where(known, samples.x[:, column], np.nan).astype(np.float64)
        gone = np.isnan(height)
        kept = np.where(samples.regular[:, column], samples.interval[:, column], np.nan)
        for sign, share, hold in self._sides:
            back = height * (share - sign * self._hysteresis)
            seen = Seen(
                x * sign > height * share * sign,
                x * sign <= back * sign,
                x,
                height,
                withdrawn=gone,
                interval=kept,
            )
            hold.step(state, rows, seen, out)

    def _say(
        self,
        state: State,  # noqa: ARG002 - a hold's signature
        entity: int,  # noqa: ARG002
        worst: float,
        height: float,
        *,
        share: Threshold,
        sign: str,
    ) -> tuple[Observation, ...]:
        limit = f"{sign} {height * share.value / 100:.3g}"
        return (
            Observation(
                name=self._channel, observed=shown(worst), limit=limit, unit="m", source=share.source
            ),
        )


def tanks(
    channels: tuple[str, ...],
    settings: Tank,
    attributes: Mapping[str, Mapping[str, str]],
    entities: Sequence[str],
    first_timer: int,
) -> list[Level]:
    """A rule for each tank that has a channel. first_timer: place of its first deadline."""
    found: list[Level] = []
    for column, channel in probes(channels, QUANTITY):
        height = Numbers(attributes, entities, beside("tank_height", QUANTITY, channel))
        found.append(Level(column, channel, settings, height, first_timer + 2 * len(found)))
    return found
