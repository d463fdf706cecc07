"""A district of lifts: the model of the scenario ``elevator``. Four neighbours share a power supply."""

from collections.abc import Iterator
from random import Random

from simulators.lift import Car, Shaft
from simulators.lift_events import (
    APPROACH_S,
    CUT_MARGIN_MS,
    CUT_MOST_S,
    HAPPENINGS,
    Scene,
    block_cut,
    power_cut,
)
from simulators.lift_traffic import calls, inspection, trip, visit
from simulators.world import HOUR_MS, MINUTE_MS, Planned, Report, Truth, World, midnight, plan, seconds

BLOCK = 4
"""Lifts of one power domain."""
CUTS = 0.3
"""Power cuts of a block, as a share of the events of a lift."""
TRAPPED = 0.25
"""How often a car is under way with somebody inside when the power fails."""
PATIENCE_MS = 2 * MINUTE_MS
"""So long somebody waits for the car before taking the stairs."""
REACTION_MS = 1500
"""From the end of one thing to the beginning of the next."""
TRIP_MOST_MS = 6 * MINUTE_MS
VISIT_MOST_MS = 90 * MINUTE_MS


def lift(world: World, entity: str, number: int, truth: Truth) -> Iterator[Report]:
    """One lift's life (a Model)."""
    draw = world.chance(entity, "shaft")
    car = Car(entity, Shaft.drawn(draw), world.start_ms + draw.randrange(MINUTE_MS), draw.randrange(900_000))
    cuts = _cuts(world, number)
    events = _events(world, entity, cuts)
    car.set()
    for day in world.days():
        for at, what, chance in _agenda(world, car, day, events, cuts):
            if what == "trip":
                if at < car.now - PATIENCE_MS or _near(at, TRIP_MOST_MS, events, cuts):
                    continue
            elif what == "visit" and (at < car.now or _near(at, VISIT_MOST_MS, events, cuts)):
                continue
            car.wait_until(max(at, car.now + REACTION_MS))
            if car.now >= world.end_ms:
                break
            if what == "trip":
                trip(car, chance)
            elif what == "visit":
                inspection(car, chance)
            elif what == "power_cut":
                trapped = chance.random() < TRAPPED
                power_cut(Scene(car, chance, truth), dict(cuts)[at], trapped)
            else:
                HAPPENINGS[what][0](Scene(car, chance, truth))
            yield from car.reports
            car.reports.clear()
    car.wait_until(world.end_ms)
    yield from car.reports


def _agenda(
    world: World, car: Car, day: int, events: list[Planned], cuts: list[tuple[int, float]]
) -> list[tuple[int, str, Random]]:
    """All that begins on this day, in order, each with its chance."""
    entity = car.entity
    begins, ends = midnight(day), midnight(day + 1)
    found = [(at, "trip", draw) for at, draw in calls(world, entity, car.shaft.trips_a_day, day)]
    visited = visit(world, entity, day)
    if visited is not None:
        found.append((visited, "visit", world.chance(entity, "inspection", day)))
    planned = [*events, *((at, "power_cut") for at, _ in cuts)]
    for at, name in planned:
        if begins <= at < ends:
            found.append((at, name, world.chance(entity, name, day)))
    return sorted(((a, n, d) for a, n, d in found if a >= world.start_ms), key=lambda entry: entry[:2])


def _cuts(world: World, number: int) -> list[tuple[int, float]]:
    """When scenes of power cuts begin in this lift's block, and how long the power is away (s)."""
    found = []
    for day in world.days():
        happens, hour, duration_s = block_cut(
            world.chance(f"block-{number // BLOCK}", "cut", day), world.event_rate * CUTS
        )
        at = midnight(day) + int(hour * HOUR_MS)
        last = world.end_ms - seconds(CUT_MOST_S + APPROACH_S)
        if happens and world.start_ms + HOUR_MS <= at <= last:
            found.append((at, duration_s))
    return found


def _events(world: World, entity: str, cuts: list[tuple[int, float]]) -> list[Planned]:
    planned = plan(world, entity, [kind for _, kind in HAPPENINGS.values()])
    return [event for event in planned if all(abs(event.at - at) > CUT_MARGIN_MS for at, _ in cuts)]


def _near(at: int, margin_ms: int, events: list[Planned], cuts: list[tuple[int, float]]) -> bool:
    """Whether something else is due so soon after a time that nothing ordinary should begin."""
    return any(0 <= other - at < margin_ms for other in [*(e.at for e in events), *(c for c, _ in cuts)])
