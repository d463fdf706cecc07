"""The worlds that can be simulated, by scenario, and how one is put together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulators.elevator import lift
from simulators.faults import Fault, faulty
from simulators.home import home
from simulators.pump_room import pump_room
from simulators.world import DAY_MS, Model, Report, Truth, World, merged
from zhiwei.errors import ZhiweiError

MODELS: dict[str, tuple[str, Model]] = {
    "elevator": ("lift", lift),
    "water": ("pump", pump_room),
    "elderly": ("home", home),
}
"""Scenario → what its entities are called, and how one lives."""

EVENT_RATE = {"elevator": 0.05, "water": 0.1, "elderly": 0.08}
"""Events for each entity and day where nothing else is said: hundreds of times what cities report
(elevator.md §5), since a world without events proves nothing."""

ENTITIES_MOST, DAYS_MOST = 100_000, 3660.0


@dataclass(slots=True)
class Simulation:
    """A world that is about to run; its labels are complete when its reports have been read to the end."""

    world: World
    truth: Truth
    faults: Sequence[Fault] = ()

    def reports(self) -> Iterator[Report]:
        """All entities' reports in order of sending, with field faults."""
        return merged([self._entity(number, name) for number, name in enumerate(self.world.names())])

    def _entity(self, number: int, name: str) -> Iterator[Report]:
        _, model = MODELS[self.world.scenario]
        stream = model(self.world, name, number, self.truth)
        return faulty(_within(stream, self.world), self.world, name, self.faults, self.truth)


def simulation(
    scenario: str,
    *,
    entities: int,
    start_ms: int,
    days: float,
    seed: int,
    event_rate: float | None = None,
    faults: Sequence[Fault] = (),
) -> Simulation:
    """A world by its scenario's name. Raises ZhiweiError naming the argument and what would be right."""
    if scenario not in MODELS:
        raise ZhiweiError(f"no simulator {scenario!r}; there are: {', '.join(sorted(MODELS))}")
    if not 1 <= entities <= ENTITIES_MOST:
        raise ZhiweiError(f"--entities {entities}: expected 1 to {ENTITIES_MOST}")
    if not 0 < days <= DAYS_MOST:
        raise ZhiweiError(f"--days {days:g}: expected more than 0, at most {DAYS_MOST:g}")
    rate = EVENT_RATE[scenario] if event_rate is None else event_rate
    if not 0 <= rate <= 1:
        raise ZhiweiError(f"--event-rate {rate:g}: expected 0 to 1 events for each entity and day")
    world = World(
        scenario=scenario,
        prefix=MODELS[scenario][0],
        entities=entities,
        start_ms=start_ms,
        end_ms=start_ms + round(days * DAY_MS),
        seed=seed,
        event_rate=rate,
    )
    chosen = [fault for fault in faults if fault.scenario in ("", scenario)]
    for fault in chosen:
        fault.check(world)
    return Simulation(world, Truth(world), chosen)


def _within(stream: Iterator[Report], world: World) -> Iterator[Report]:
    """Nothing is told of a time outside the world."""
    return (report for report in stream if world.start_ms <= report.ts < world.end_ms)
