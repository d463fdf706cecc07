"""Who has the tank open: hatches, doors and work orders as they were last said.

Without any word of a work order there is none. A hatch that is open without one is a security event whatever
the water's quality and the letters of HJ 212 say; a door alone is not, people come and go.
"""

import numpy as np

from scenarios.water.room.hold import Hold, Seen, probes
from scenarios.water.room.settings import Hatch
from scenarios.water.signals import Samples
from scenarios.water.words import HATCH_OPEN
from zhiwei.contracts import Bools, Field, Ints, Out, Round, State
from zhiwei.types import Observation

HATCH, DOOR, ORDER = "hatch_open", "door_open", "work_order"


class Access:
    """State: which switch was last said to be on."""

    def __init__(self, channels: tuple[str, ...], settings: Hatch) -> None:
        hatches, doors = probes(channels, HATCH), probes(channels, DOOR)
        order = [(place, name) for place, name in enumerate(channels) if name == ORDER]
        self._names = tuple(name for _, name in (*hatches, *doors, *order))
        self._columns = np.array([place for place, _ in (*hatches, *doors, *order)], np.int64)
        self._hatches = len(hatches)
        self.ways = tuple(name for _, name in (*hatches, *doors))
        """Channels of the hatches, then of the doors."""
        self._ordered = bool(order)
        self.holds: dict[str, Hold] = {}
        self._hold = Hold(HATCH, HATCH_OPEN, settings.severity, self._say)
        self.fields: tuple[Field, ...] = (Field("access.on", "bool", ("channel",), channels=self._names),)
        if hatches:
            self.fields += self._hold.fields

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:  # noqa: ARG002 - a part's
        """One more row of each entity."""
        x = rows.values[:, self._columns]
        said = ~np.isnan(x)
        if not said.any():
            return
        on = np.where(said, x > 0.5, state["access.on"][rows.entity])
        state["access.on"][rows.entity] = on
        if self._hatches:
            open_ = on[:, : self._hatches].any(axis=1) & ~self._order(on)
            # A row that says nothing of hatch, door or order says nothing here.
            spoken = said.any(axis=1)
            none = np.full(len(open_), np.nan)
            seen = Seen(open_ & spoken, ~open_ & spoken, np.where(spoken, 1.0, np.nan), none)
            self._hold.step(state, rows, seen, out)

    def without_order(self, state: State, entity: Ints) -> Bools:
        """(n,) whether a hatch or a door is open and nobody has an order."""
        on = state["access.on"][entity]
        return np.asarray(on[:, : len(self.ways)].any(axis=1) & ~self._order(on))

    def open_ways(self, state: State, entity: Ints) -> Bools:
        """(n, ways) which of ``ways`` are open."""
        return np.asarray(state["access.on"][entity][:, : len(self.ways)])

    def _order(self, on: Bools) -> Bools:
        return np.asarray(on[:, -1] if self._ordered else np.zeros(len(on), bool))

    def _say(self, state: State, entity: int, worst: float, against: float) -> tuple[Observation, ...]:  # noqa: ARG002
        on = state["access.on"][entity]
        order = bool(on[-1]) if self._ordered else None
        hatches = zip(self._names[: self._hatches], on, strict=False)
        return (
            *(Observation(name=name, observed=bool(is_on), expected=False) for name, is_on in hatches),
            Observation(name=ORDER, observed=order),
        )
