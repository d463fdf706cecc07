"""Which limits apply to which entity, laid out as arrays: by disinfectant, and by entries for it alone."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from scenarios.water.policy import Limit, Sections
from scenarios.water.signals import Values
from zhiwei.contracts import Ints, State
from zhiwei.schema import quantity_of

SIDES = ("low", "high", "prealarm")
LOW, HIGH, PREALARM = range(3)
SIGN = np.array([1, -1, 1], np.float32)
"""Times this, every side is a lower limit."""

DISINFECTANTS = frozenset({"free", "total", "chlorine_dioxide", "none"})
"""Values of the attribute ``disinfectant``; anything else counts as free chlorine, the usual one."""


class Profiles:
    """Limits by kind of station. Entities that differ in nothing a limit asks share a profile."""

    def __init__(
        self,
        channels: tuple[str, ...],
        sections: Sections,
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        """attributes: of each entity, ``disinfectant`` and ``zone`` are read. entities: by number."""
        self._channels, self._sections = channels, sections
        self._zones = available_timezones() if attributes else set()
        self._named = {name for limit in sections.limit for name in limit.entities}
        number_of: dict[tuple[str, str, str], int] = {}
        self._default = number_of.setdefault(self._key("", {}), 0)
        keys = [self._key(name, attributes.get(name, {})) for name in entities]
        self._of_entity = np.array([number_of.setdefault(key, len(number_of)) for key in keys], np.int64)

        shape = (len(number_of), len(channels), len(SIDES))
        self.level, self.clear = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        """(profiles, channels, sides) the limit, and where it ends; NaN = none."""
        self.entry: list[dict[tuple[int, int], Limit]] = []
        """Per profile: (channel, side) → the policy's entry."""
        self.zone: list[ZoneInfo] = []
        for number, (disinfectant, zone, entity) in enumerate(number_of):
            self.zone.append(ZoneInfo(zone))
            self.entry.append(self._entries(disinfectant, entity))
            for (channel, side), limit in self.entry[number].items():
                self.level[number, channel, side] = limit.value
                self.clear[number, channel, side] = limit.value + SIGN[side] * self._hysteresis(limit)
        upper = self.level[:, :, HIGH]
        self.upper: Values = np.where(np.isnan(upper), np.float32(np.inf), upper)
        """(profiles, channels) upper limit, inf = none."""

    def of(self, numbers: Ints) -> Ints:
        """(n,) profile of entities by number; one that came after these rules has the default."""
        known = numbers < len(self._of_entity)
        found = np.full(len(numbers), self._default)
        found[known] = self._of_entity[numbers[known]]
        return found

    def _key(self, entity: str, attributes: Mapping[str, str]) -> tuple[str, str, str]:
        disinfectant = attributes.get("disinfectant", "free")
        zone = attributes.get("zone", "")
        return (
            disinfectant if disinfectant in DISINFECTANTS else "free",
            zone if zone in self._zones else self._sections.site.zone,
            entity if entity in self._named else "",
        )

    def _entries(self, disinfectant: str, entity: str) -> dict[tuple[int, int], Limit]:
        """A later entry goes before an earlier one, one for named entities before one for all."""
        found: dict[tuple[int, int], Limit] = {}
        for limit in sorted(self._sections.limit, key=lambda limit: bool(limit.entities)):
            if limit.disinfectant not in (None, disinfectant):
                continue
            if limit.entities and entity not in limit.entities:
                continue
            for place, channel in enumerate(self._channels):
                if limit.channel in (channel, quantity_of(channel)):
                    found[place, SIDES.index(limit.side)] = limit
        return found

    def _hysteresis(self, limit: Limit) -> float:
        if limit.hysteresis is not None:
            return limit.hysteresis
        assert self._sections.decision is not None  # checked: a policy with limits has it
        return abs(limit.value) * float(self._sections.decision.hysteresis.value) / 100


def numbers_of(state: State, entity: Ints) -> Ints:
    """The number of each entity among those that the rules were made for.

    The engine hands over copies of the rows it touches and says in ``number`` whose they are; without it
    the state is that of all entities, in their order.
    """
    number = state.arrays.get("number")
    return entity if number is None else np.asarray(number[entity], np.int64)
