"""What every simulated world has: entities, simulated time, a stream of chance for each entity, labels.

A model (lift, pump room, home) turns this into reports. No wall clock here: when the world begins is an
argument, and the same seed gives the same bytes.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from zhiwei.clock import to_datetime
from zhiwei.ids import digest

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
ZONE_MS = 8 * HOUR_MS
"""Local time is UTC+8 all year: China has one zone and no summer time."""

Value = float | bool | str | list[str]


class Report(NamedTuple):
    """One device's values at one time, and when its gateway sends them. Times are Unix milliseconds."""

    sent: int
    ts: int
    """What the device's clock says; a fault may make it differ from ``sent``."""
    entity: str
    device: str
    values: dict[str, Value]
    """Channels by name; ``flags`` holds quality letters of HJ 212."""
    urgent: bool = False
    """A trigger: it is also published on the urgent level."""


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much world was watched: the denominator of every rate."""

    scenario: str
    entities: int
    start: datetime
    end: datetime


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What truly happened to one entity. docs/simulate.md describes the format for others to write."""

    entity: str
    kind: str
    """The finding that would be right; empty where none would be (a duplicate is no event)."""
    onset: datetime
    end: datetime
    life_safety: bool
    fault: str | None
    """None for an event in the world, else the field fault's name."""
    detail: dict[str, str | float | bool | list[str]]
    world: Extent


@dataclass(frozen=True, slots=True)
class World:
    """A number of entities over a span of simulated time."""

    scenario: str
    prefix: str
    """Entities are called ``<prefix>-0001`` and so on."""
    entities: int
    start_ms: int
    end_ms: int
    seed: int
    event_rate: float
    """Expected events for each entity and day, at most 1."""

    def names(self) -> list[str]:
        """Of the entities, in order."""
        return [f"{self.prefix}-{number:04d}" for number in range(1, self.entities + 1)]

    def chance(self, *of: object) -> Random:
        """A stream of its own for each purpose: what one entity draws changes nothing for another."""
        return Random(digest("world", self.seed, self.scenario, *of))

    def days(self) -> range:
        """Local day numbers that the span touches."""
        return range(day_of(self.start_ms), day_of(self.end_ms - 1) + 1)

    @property
    def extent(self) -> Extent:
        return Extent(
            scenario=self.scenario,
            entities=self.entities,
            start=to_datetime(self.start_ms * 1000),
            end=to_datetime(self.end_ms * 1000),
        )


class Truth:
    """Collects labels while a world runs; complete when its reports have been read to the end."""

    def __init__(self, world: World) -> None:
        self._world, self._extent = world, world.extent
        self._labels: list[Label] = []

    def event(
        self,
        entity: str,
        kind: str,
        onset_ms: int,
        end_ms: int,
        *,
        life_safety: bool = False,
        **detail: str | float | bool | list[str],
    ) -> None:
        """Something happened in the world."""
        self._add(entity, kind, onset_ms, end_ms, life_safety, None, detail)

    def fault(
        self,
        entity: str,
        name: str,
        kind: str,
        onset_ms: int,
        end_ms: int,
        detail: dict[str, str | float | bool | list[str]],
    ) -> None:
        """A device or gateway did not tell the truth."""
        self._add(entity, kind, onset_ms, end_ms, False, name, detail)

    def labels(self) -> list[Label]:
        """In order of onset, cut to the span of the world."""
        return sorted(self._labels, key=lambda label: (label.onset, label.entity, label.kind))

    def _add(
        self,
        entity: str,
        kind: str,
        onset_ms: int,
        end_ms: int,
        life_safety: bool,
        fault: str | None,
        detail: dict[str, str | float | bool | list[str]],
    ) -> None:
        world = self._world
        if end_ms <= world.start_ms or onset_ms >= world.end_ms:
            return
        self._labels.append(
            Label(
                entity=entity,
                kind=kind,
                onset=to_datetime(max(onset_ms, world.start_ms) * 1000),
                end=to_datetime(min(end_ms, world.end_ms) * 1000),
                life_safety=life_safety,
                fault=fault,
                detail=detail,
                world=self._extent,
            )
        )


class Model(Protocol):
    """One entity's life as reports, in order of ``sent``."""

    def __call__(self, world: World, entity: str, number: int, truth: Truth) -> Iterator[Report]:
        """number: place of the entity, from 0; neighbours (lifts of one block) have neighbouring numbers."""
        ...


def day_of(ms: int) -> int:
    """Local day number of a time."""
    return (ms + ZONE_MS) // DAY_MS


def midnight(day: int) -> int:
    """When a local day begins, Unix ms."""
    return day * DAY_MS - ZONE_MS


def hour_of(ms: int) -> float:
    """Local hour of the day, 0 to 24."""
    return ((ms + ZONE_MS) % DAY_MS) / HOUR_MS


def seconds(value: float) -> int:
    """Seconds as whole milliseconds."""
    return round(value * SECOND_MS)


def merged(streams: Iterable[Iterator[Report]]) -> Iterator[Report]:
    """Streams that are each in order of ``sent`` as one."""
    return heapq.merge(*streams, key=itemgetter(0))


# ------------------------------------------------------------------ when things happen


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One sort of event, and when it may begin."""

    name: str
    weight: float = 1.0
    hours: tuple[float, float] = (0.0, 24.0)
    """Local hours between which it begins."""
    longest_s: float
    """It begins only where so much is left of the world: an event that is cut off proves nothing."""
    earliest_s: float = HOUR_MS / SECOND_MS
    """It begins only so long after the world: before the usual is known, nothing is unusual."""


class Planned(NamedTuple):
    """An event that is to happen."""

    at: int
    name: str


def plan(world: World, entity: str, kinds: Sequence[EventKind]) -> list[Planned]:
    """At most one event a day, none before the one before is over."""
    found: list[Planned] = []
    free = world.start_ms
    for day in world.days():
        draw = world.chance(entity, "plan", day)
        happens = draw.random() < world.event_rate
        kind = draw.choices(kinds, [kind.weight for kind in kinds])[0]
        at = midnight(day) + round(draw.uniform(*kind.hours) * HOUR_MS)
        longest = seconds(kind.longest_s)
        early = at < max(free, world.start_ms + seconds(kind.earliest_s))
        if happens and not early and at + longest <= world.end_ms:
            found.append(Planned(at, kind.name))
            free = at + longest + HOUR_MS
    return found
