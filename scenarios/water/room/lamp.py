"""The ultraviolet lamp is off while water flows: what passes is not disinfected."""

import numpy as np

from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Uv
from scenarios.water.signals import Samples
from scenarios.water.words import UV_OFF, shown
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Observation

QUANTITY = "uv_on"
FLOW = "flow"
_ON, _OFF = 1, 0


class Lamp:
    """One lamp. It and the flow may come in rows of their own: both stay as last said, a flow for as long
    as the hold. State: both."""

    def __init__(self, lamp: tuple[int, str], flow: int, settings: Uv, timer: int) -> None:
        """lamp: column and channel. flow: column. timer: place of its deadline."""
        (self._column, self._channel), self._flow, self._settings = lamp, flow, settings
        self._lasts_us = round(settings.lasts.seconds * MICROS)
        rule = f"uv_off.{self._channel}"
        hold = Hold(rule, UV_OFF, settings.severity, self._say, lasts=settings.lasts, timer=timer)
        self._hold = hold
        self.holds: dict[str, Hold] = {rule: hold}
        self._lamp, self._last, self._last_at = f"{rule}.lamp", f"{rule}.flow", f"{rule}.flow_at"
        self.fields: tuple[Field, ...] = (
            Field(self._lamp, "int8", (), -1),
            Field(self._last, "float32", (), np.nan),
            Field(self._last_at, "int64", (), NEVER),
            *hold.fields,
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row of each entity. One with a letter but N says nothing: somebody tries the lamp."""
        e, at = rows.entity, rows.at
        x = rows.values[:, self._column]
        says, flows = samples.normal & ~np.isnan(x), samples.plausible[:, self._flow]
        if not (says.any() or flows.any()):
            return
        lamp = np.where(says, np.where(x > 0.5, _ON, _OFF), state[self._lamp][e])
        flow = np.where(flows, samples.x[:, self._flow], state[self._last][e])
        flow_at = np.where(flows, at, state[self._last_at][e])
        state[self._lamp][e], state[self._last][e], state[self._last_at][e] = lamp, flow, flow_at
        fresh = (flow_at != NEVER) & (at - np.where(flow_at == NEVER, at, flow_at) <= self._lasts_us)
        running = fresh & (flow > self._settings.flow.value)
        known = (says | flows) & fresh
        beyond = known & (lamp == _OFF) & running
        ended = (says | flows) & ((lamp == _ON) | (fresh & ~running))
        value = np.where(ended | beyond, flow, np.nan).astype(np.float64)
        self._hold.step(state, rows, Seen(beyond, ended, value, np.full(len(e), np.nan)), out)

    def _say(self, state: State, entity: int, worst: float, against: float) -> tuple[Observation, ...]:  # noqa: ARG002
        lasts = self._settings.lasts
        limit = f"< {lasts.seconds:g} s"
        return (
            Observation(name=self._channel, observed=False, expected=True, limit=limit, source=lasts.source),
            Observation(name=FLOW, observed=shown(worst), unit="m³/h"),
        )


def lamps(channels: tuple[str, ...], settings: Uv, first_timer: int) -> list[Lamp]:
    """A rule for each lamp, if there is a flow. first_timer: place of its first deadline."""
    if FLOW not in channels:
        return []
    flow = channels.index(FLOW)
    return [
        Lamp(lamp, flow, settings, first_timer + place)
        for place, lamp in enumerate(probes(channels, QUANTITY))
    ]
