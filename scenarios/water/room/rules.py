"""The rules of the pump room, composed: only those for which a station has channels are made."""

from collections.abc import Iterable, Mapping, Sequence

from scenarios.water.policy import Sections
from scenarios.water.room.access import Access
from scenarios.water.room.cycling import Pump, pumps
from scenarios.water.room.flood import Sump, sumps
from scenarios.water.room.hold import Hold
from scenarios.water.room.intrusion import Intrusions
from scenarios.water.room.lamp import Lamp, lamps
from scenarios.water.room.pressure import Outlet, outlets
from scenarios.water.room.tank import Level, tanks
from scenarios.water.signals import Samples
from zhiwei.contracts import Field, Ints, Out, Round, State

_Part = Outlet | Level | Sump | Access | Lamp | Pump


class Room:
    """Pressure, tank, flood, access, lamp, pumps."""

    def __init__(
        self,
        channels: tuple[str, ...],
        sections: Sections,
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
        first_timer: int,
    ) -> None:
        """first_timer: how many timers there are before those of the room."""
        s, said = sections, (attributes, entities)
        self._parts: list[_Part] = []
        self._holds: dict[str, Hold] = {}

        def due() -> int:
            return first_timer + len(self._holds)

        if s.pressure is not None:
            self._add(outlets(channels, s.pressure, *said, due()))
        if s.tank is not None:
            self._add(tanks(channels, s.tank, *said, due()))
        if s.flood is not None:
            self._add(sumps(channels, s.flood, due()))
        if s.uv is not None:
            self._add(lamps(channels, s.uv, due()))
        if s.cycling is not None:
            self._add(pumps(channels, s.cycling, *said))
        self._intrusions: Intrusions | None = None
        access = None if s.hatch is None else Access(channels, s.hatch)
        if access is not None and access.ways:
            self._add([access])
            if s.intrusion is not None:
                self._intrusions = Intrusions(access, s.intrusion)
        self.timers = tuple(self._holds)
        fields = [field for part in self._parts for field in part.fields]
        self.fields: tuple[Field, ...] = (*fields, *(self._intrusions.fields if self._intrusions else ()))

    def _add(self, parts: Iterable[_Part]) -> None:
        for part in parts:
            self._parts.append(part)
            self._holds.update(part.holds)

    def step(self, state: State, rows: Round, samples: Samples, out: Out, before: int) -> None:
        """One more row of each entity. before: number of the round's first claim in ``out``."""
        for part in self._parts:
            part.step(state, rows, samples, out)
        if self._intrusions is not None:
            self._intrusions.step(state, rows, out.claims[before:], out)

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """A hold is reached without a row that says so."""
        self._holds[timer].fire(state, entity, at, out)
