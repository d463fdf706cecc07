"""The ordinary days of a lift: passengers, goods, children, and the maintenance visit."""

from bisect import bisect
from itertools import accumulate
from random import Random

from simulators.lift import Car
from simulators.world import HOUR_MS, World, hour_of, midnight, seconds

# Share of a residential lift's trips by hour: down in the morning, up in the evening, a small peak at noon.
_BY_HOUR = (
    0.4, 0.2, 0.1, 0.1, 0.3, 1.2, 4.0, 8.5, 7.5, 5.0, 4.5, 6.0,
    6.0, 4.0, 3.5, 4.0, 5.5, 8.0, 9.0, 7.5, 6.0, 4.5, 2.5, 1.2,
)  # fmt: skip
_HOURS = [share / sum(_BY_HOUR) for share in _BY_HOUR]
_SUMS = list(accumulate(_HOURS))

VISIT_CHANCE = 1 / 15
"""A day: maintenance is due every half month (TSG T5002-2017)."""


def calls(world: World, entity: str, trips_a_day: float, day: int) -> list[tuple[int, Random]]:
    """When somebody calls the lift on this day, with the chance of each trip, in order."""
    draw = world.chance(entity, "calls", day)
    count = round(trips_a_day * draw.uniform(0.8, 1.2))
    times = sorted(
        midnight(day) + int((bisect(_SUMS, draw.random()) % 24 + draw.random()) * HOUR_MS)
        for _ in range(count)
    )
    return [(at, draw) for at in times]


def visit(world: World, entity: str, day: int) -> int | None:
    """When the technician comes on this day, if he does; about every fifteenth day, on working hours."""
    draw = world.chance(entity, "visit", day)
    comes = draw.random() < VISIT_CHANCE
    at = midnight(day) + int(draw.uniform(9, 15.5) * HOUR_MS)
    return at if comes else None


def trip(car: Car, draw: Random) -> None:
    """One call: the car comes, somebody enters, rides, and leaves."""
    origin, target = _wish(car, draw)
    car.go(origin)
    board(car, draw)
    car.go(target)
    leave(car, draw)


def board(car: Car, draw: Random) -> None:
    """Doors open, somebody enters, doors close; sometimes goods or a latecomer hold them."""
    car.open()
    car.wait(draw.uniform(0.8, 3))
    car.set(person=True)
    _linger(car, draw)
    car.close()


def leave(car: Car, draw: Random) -> None:
    """Doors open, all leave, doors close, the car stays."""
    car.open()
    car.wait(draw.uniform(1.5, 5))
    car.set(person=False)
    _linger(car, draw)
    car.close()


def inspection(car: Car, draw: Random) -> None:
    """A maintenance visit in inspection mode: slow runs, stops anywhere, somebody in the car."""
    car.open()
    car.wait(20)
    car.set(mode="inspection", person=True)
    car.close()
    end = car.now + seconds(draw.uniform(25, 45) * 60)
    while car.now < end:
        car.run(draw.uniform(0, car.height_of(car.shaft.highest)), speed=0.3, stop_at=1.0)
        car.wait(draw.uniform(40, 200))
    car.go(car.floor)
    car.open()
    car.wait(15)
    car.set(person=False)
    car.wait(10)
    car.set(mode="normal")
    car.close()


def _wish(car: Car, draw: Random) -> tuple[int, int]:
    """From where to where: in a residential tower most ways begin or end at the ground floor."""
    shaft = car.shaft
    home = draw.randint(2, shaft.highest)
    ground = shaft.lowest if shaft.lowest < 1 and draw.random() < 0.3 else 1
    down = draw.random() < (0.75 if hour_of(car.now) < 12 else 0.35)
    if draw.random() < 0.08:
        other = draw.randint(2, shaft.highest)
        if other != home:
            return home, other
    return (home, ground) if down else (ground, home)


def _linger(car: Car, draw: Random) -> None:
    """How long the doors stay open: mostly seconds."""
    car.wait(draw.uniform(1, 4))
    luck = draw.random()
    if luck < 0.02:
        car.wait(draw.uniform(20, 120))  # goods, a pram, a chat; a door counts as blocked from 300 s on
    elif luck < 0.07:
        for _ in range(draw.randint(1, 2)):
            car.reopen()
            car.wait(draw.uniform(1, 4))
