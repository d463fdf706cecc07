"""The day of an old person who lives alone: a timetable of where they are and what they do there.

A day is drawn as a whole from its own stream of chance, so an event on one day leaves the others as they
would have been. What sensors make of it is in ``simulators/home.py``.
"""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from simulators.world import HOUR_MS, MINUTE_MS, World, midnight

ROOMS = ("bedroom", "living", "kitchen", "bathroom", "hall")


class Stay(NamedTuple):
    """Somewhere from one time to another, doing something."""

    start: int
    end: int
    place: str
    """A room, ``bed`` or ``out``."""
    pause_s: float
    """Mean time between two movements that a sensor would see."""
    litres: float
    """Drawn from the taps during the stay."""
    visitor: bool = False


@dataclass(frozen=True, slots=True)
class Habits:
    """What stays the same about a person."""

    rises: float
    """Local hours."""
    sleeps: float
    nap: float
    """Chance of a nap after lunch."""
    outings: float
    """Chance of going out in the morning."""
    night_visits: float
    """Mean visits to the toilet at night."""
    litres: float
    """Factor on every use of water."""

    @classmethod
    def drawn(cls, draw: Random) -> "Habits":
        return cls(
            rises=draw.uniform(5.6, 7.2),
            sleeps=draw.uniform(20.8, 22.3),
            nap=draw.uniform(0.2, 0.9),
            outings=draw.uniform(0.5, 0.95),
            night_visits=draw.uniform(0.6, 2.2),
            litres=draw.uniform(0.8, 1.3),
        )


class _Day:
    """Stays of one day, one after the other."""

    def __init__(self, habits: Habits, draw: Random, now: int) -> None:
        self.habits, self.draw, self.now = habits, draw, now
        self.stays: list[Stay] = []

    def stay(
        self, place: str, minutes: float, pause_s: float, litres: float = 0.0, visitor: bool = False
    ) -> None:
        end = self.now + max(1, round(minutes * MINUTE_MS))
        self.stays.append(Stay(self.now, end, place, pause_s, litres * self.habits.litres, visitor))
        self.now = end

    def until(self, time: int, place: str, pause_s: float) -> None:
        if time > self.now:
            self.stay(place, (time - self.now) / MINUTE_MS, pause_s)

    def toilet(self) -> None:
        self.stay("bathroom", self.draw.uniform(3, 7), 60, 8)


def day(world: World, entity: str, habits: Habits, number: int) -> list[Stay]:
    """One local day from midnight to midnight, without gaps."""
    draw = world.chance(entity, "day", number)
    begins = midnight(number)

    def at(hour: float, spread_min: float) -> int:
        return begins + int(hour * HOUR_MS + draw.gauss(0, spread_min) * MINUTE_MS)

    d = _Day(habits, draw, begins)
    _night(d, at(habits.rises, 12))
    d.stay("bedroom", draw.uniform(4, 10), 60)
    d.stay("bathroom", draw.uniform(12, 25), 90, 18)
    d.stay("kitchen", draw.uniform(25, 45), 100, 8)
    if draw.random() < habits.outings:
        d.until(at(habits.rises + 2, 20), "living", 400)
        d.toilet()
        _out(d, draw.uniform(35, 150))
    d.until(at(11, 10), "living", 400)
    d.stay("kitchen", draw.uniform(40, 70), 90, 14)
    d.toilet()
    if draw.random() < habits.nap:
        d.stay("bed", draw.uniform(35, 80), 0)
    d.until(at(14.3, 10), "living", 450)
    d.toilet()
    if draw.random() < 0.15:
        _visit(d)
    elif draw.random() < 0.35:
        _out(d, draw.uniform(25, 100))
    d.until(at(17, 12), "living", 450)
    d.stay("kitchen", draw.uniform(40, 60), 90, 14)
    d.toilet()
    d.until(at(habits.sleeps - 0.5, 12), "living", 450)
    d.stay("bathroom", draw.uniform(10, 25), 90, draw.choice((12, 16, 50)))
    d.stay("bedroom", draw.uniform(4, 10), 60)
    d.until(begins + 24 * HOUR_MS, "bed", 0)
    return [stay._replace(end=min(stay.end, begins + 24 * HOUR_MS)) for stay in d.stays]


def _night(d: _Day, rises: int) -> None:
    """From midnight in bed, with visits to the toilet, until they rise."""
    span = max(rises - d.now, HOUR_MS)
    times = sorted(d.now + d.draw.random() * span for _ in range(_poisson(d.draw, d.habits.night_visits)))
    for time in times:
        if d.now + 20 * MINUTE_MS < time < rises - 20 * MINUTE_MS:
            d.until(int(time), "bed", 0)
            d.stay("bathroom", d.draw.uniform(3, 7), 45, 7)
    d.until(rises, "bed", 0)


def _out(d: _Day, minutes: float) -> None:
    d.stay("hall", d.draw.uniform(1, 3), 20)
    d.stay("out", minutes, 0)
    d.stay("hall", d.draw.uniform(1, 3), 20)
    d.toilet()


def _visit(d: _Day) -> None:
    """Somebody comes in and sits with them."""
    d.stay("hall", 1.5, 20, visitor=True)
    d.stay("living", d.draw.uniform(30, 120), 120, 3, visitor=True)
    d.stay("hall", 1.5, 20, visitor=True)


def _poisson(draw: Random, mean: float) -> int:
    """A count with this mean."""
    count, left = 0, draw.expovariate(1.0)
    while left < mean:
        count += 1
        left += draw.expovariate(1.0)
    return count
