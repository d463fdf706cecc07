"""A pump room of the secondary water supply: the model of the scenario ``water``, a report a minute.

Demand drives everything: the tank, the pumps, the pressures, and how old the water is, on which chlorine
depends. What the probes say is the water, plus their noise, rounded to what their display can show.
"""

import math
from collections.abc import Iterator
from random import Random

from simulators.world import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    EventKind,
    Planned,
    Report,
    Truth,
    Value,
    World,
    hour_of,
    midnight,
    plan,
    seconds,
)

DEVICE = "station"
CALIBRATION_CHANCE = 1 / 20
"""A day; CJJ/T 271-2017 has probes compared at least monthly."""
BUBBLES_CHANCE = 1 / 8
"""A day: one sample of turbidity with bubbles in the cell."""

# Use of water by hour, as a share of the daily mean: standing from 1 to 5 h, peaks at 7 and 20 h.
_USE = (
    0.35, 0.2, 0.12, 0.1, 0.15, 0.5, 1.3, 1.9, 1.6, 1.2, 1.1, 1.2,
    1.3, 1.0, 0.8, 0.8, 0.9, 1.3, 1.6, 1.8, 1.9, 1.5, 1.0, 0.6,
)  # fmt: skip

NOISE: dict[str, tuple[float, int]] = {
    "free_chlorine": (0.003, 2),
    "turbidity": (0.004, 2),
    "ph": (0.004, 2),
    "conductivity": (0.5, 0),
    "temperature": (0.03, 1),
    "toc": (0.01, 2),
    "flow": (0.25, 1),
    "inlet_pressure": (0.002, 3),
    "outlet_pressure": (0.002, 3),
    "tank_level": (0.004, 2),
    "pump_current": (0.1, 1),
}
"""Channel → standard deviation from one minute to the next, decimals shown. Online analysers damp over
minutes, so this is less than their accuracy."""


class Wander:
    """A slow, bounded random walk (Ornstein-Uhlenbeck): what moves without a reason that is modelled."""

    __slots__ = ("_draw", "_keep", "_push", "value")

    def __init__(self, draw: Random, spread: float, hours: float) -> None:
        """spread: its standard deviation. hours: after which it has half forgotten where it was."""
        self._draw = draw
        self._keep = 0.5 ** (1 / (hours * 60))
        self._push = spread * math.sqrt(1 - self._keep**2)
        self.value = draw.gauss(0, spread)

    def step(self) -> float:
        """One minute later."""
        self.value = self.value * self._keep + self._draw.gauss(0, self._push)
        return self.value


class Water:
    """What is in the pipes and the tank, minute by minute."""

    def __init__(self, draw: Random) -> None:
        self.use_m3h = draw.uniform(6, 18)
        self.tank_m, self.area_m2 = 3.0, self.use_m3h * draw.uniform(0.8, 1.2)
        self.level = draw.uniform(1.9, 2.5)
        self.filling = False
        self.set_point = draw.choice((0.38, 0.42, 0.45, 0.5))
        self.age_h = 4.0
        self.base = {
            "free_chlorine": draw.uniform(0.38, 0.6),
            "turbidity": draw.uniform(0.15, 0.35),
            "ph": draw.uniform(7.2, 7.7),
            "conductivity": draw.uniform(380, 620),
            "temperature": draw.uniform(9, 18),
            "toc": draw.uniform(1.2, 2.2),
        }
        self._wander = {
            "use": Wander(draw, 0.08, 0.3),
            "free_chlorine": Wander(draw, 0.012, 4),
            "turbidity": Wander(draw, 0.012, 3),
            "ph": Wander(draw, 0.02, 8),
            "conductivity": Wander(draw, 5.0, 12),
            "temperature": Wander(draw, 0.15, 12),
            "toc": Wander(draw, 0.05, 8),
        }

    def minute(self, now: int) -> dict[str, float]:
        """The truth of this minute, by channel."""
        drift = {name: wander.step() for name, wander in self._wander.items()}
        hour = hour_of(now)
        here = int(hour)
        share = _USE[here] + (_USE[(here + 1) % 24] - _USE[here]) * (hour - here)
        flow = max(0.0, self.use_m3h * share * (1 + drift["use"]))
        # The float valve fills between 62 and 82 % of the tank.
        if self.level < 0.62 * self.tank_m:
            self.filling = True
        elif self.level > 0.82 * self.tank_m:
            self.filling = False
        inflow = 2.2 * self.use_m3h if self.filling else 0.0
        self.level += (inflow - flow) / 60 / self.area_m2
        # Fresh water mixes in as it is drawn; what stands grows old, 1 h an hour.
        self.age_h += 1 / 60 - self.age_h * flow / (60 * self.area_m2 * self.level)
        swing = math.sin((hour - 9) / 24 * 2 * math.pi)
        base = self.base
        return {
            "free_chlorine": (base["free_chlorine"] + drift["free_chlorine"]) * math.exp(-0.05 * self.age_h),
            "turbidity": base["turbidity"] + drift["turbidity"] + 0.02 * share,
            "ph": base["ph"] + drift["ph"],
            "conductivity": base["conductivity"] + drift["conductivity"],
            "temperature": base["temperature"] + drift["temperature"] + 0.2 * swing,
            "toc": base["toc"] + drift["toc"],
            "flow": flow,
            "inlet_pressure": 0.26 - 0.03 * share - (0.02 if self.filling else 0.0),
            "outlet_pressure": self.set_point - 0.004 * share,
            "tank_level": self.level,
            "pump_current": 3.0 + 1.1 * flow,
        }


def pump_room(world: World, entity: str, number: int, truth: Truth) -> Iterator[Report]:  # noqa: ARG001
    """One station's life (a Model)."""
    draw = world.chance(entity, "station")
    water = Water(world.chance(entity, "water"))
    probes = world.chance(entity, "probes")
    departures = [_departure(world, entity, event, truth) for event in plan(world, entity, KINDS)]
    visits = _visits(world, entity, departures)
    bubbles = _bubbles(world, entity)
    now = world.start_ms + draw.randrange(MINUTE_MS)
    while now < world.end_ms:
        true = water.minute(now)
        switches: dict[str, bool] = {"hatch_open": False, "door_open": False, "flood": False, "uv_on": True}
        for departure in departures:
            departure.apply(now, true, switches)
        values: dict[str, Value] = {
            name: round(max(0.0, true[name] + probes.gauss(0, noise)), digits)
            for name, (noise, digits) in NOISE.items()
        }
        if now // MINUTE_MS in bubbles:
            values["turbidity"] = round(3 + 3 * true["turbidity"], 2)
        values.update(switches)
        for visit in visits:
            visit.apply(now, values)
        yield Report(now, now, entity, DEVICE, values)
        now += MINUTE_MS


# ------------------------------------------------------------------ events


class Departure:
    """The water leaves its usual state: a rise, a hold, a way back."""

    def __init__(self, at: int, rise_s: float, hold_s: float, back_s: float) -> None:
        self.at = at
        self._rise, self._hold, self._back = seconds(rise_s), seconds(hold_s), seconds(back_s)
        self.end = at + self._rise + self._hold + self._back
        self.factors: dict[str, float] = {}
        """Channel → what it is multiplied by when the departure is complete."""
        self.shifts: dict[str, float] = {}
        """Channel → what is added then."""
        self.hatch: tuple[int, int] | None = None
        """From when to when somebody has the tank's hatch open."""

    def strength(self, now: int) -> float:
        """0 … 1, how complete it is."""
        since = now - self.at
        if since < 0 or now >= self.end:
            return 0.0
        if since < self._rise:
            return since / self._rise
        left = self.end - now
        return min(1.0, left / self._back)

    def apply(self, now: int, true: dict[str, float], switches: dict[str, bool]) -> None:
        """Change the truth of this minute."""
        strength = self.strength(now)
        if strength:
            for name, factor in self.factors.items():
                true[name] *= 1 + (factor - 1) * strength
            for name, shift in self.shifts.items():
                true[name] += shift * strength
        if self.hatch and self.hatch[0] <= now < self.hatch[1]:
            switches["hatch_open"] = switches["door_open"] = True


def _chlorine_loss(draw: Random, at: int) -> Departure:
    """Dosing fails or the inflow carries none: chlorine goes to nearly nothing."""
    found = Departure(at, draw.uniform(5, 20) * 60, draw.uniform(60, 180) * 60, draw.uniform(20, 40) * 60)
    found.factors = {"free_chlorine": draw.uniform(0.02, 0.06)}
    return found


def _turbidity_intrusion(draw: Random, at: int) -> Departure:
    """Dirt gets in, in half of the cases through a hatch that somebody opened."""
    found = Departure(at, draw.uniform(3, 10) * 60, draw.uniform(30, 90) * 60, draw.uniform(20, 40) * 60)
    found.shifts = {"turbidity": draw.uniform(1.8, 6)}
    if draw.random() < 0.5:
        opened = at - seconds(draw.uniform(5, 50) * 60)
        found.hatch = (opened, opened + seconds(draw.uniform(5, 20) * 60))
    return found


def _contamination(draw: Random, at: int) -> Departure:
    """Other water mixes in: several quantities move together, each within its limit."""
    found = Departure(at, draw.uniform(5, 15) * 60, draw.uniform(80, 160) * 60, draw.uniform(20, 40) * 60)
    found.factors = {"free_chlorine": draw.uniform(0.5, 0.65), "conductivity": draw.uniform(1.12, 1.3)}
    found.shifts = {"toc": draw.uniform(0.8, 2.0), "ph": -draw.uniform(0.15, 0.35)}
    return found


def _pressure_loss(draw: Random, at: int) -> Departure:
    """Pumps trip or a pipe bursts: outlet pressure falls within a minute."""
    found = Departure(at, 60, draw.uniform(10, 40) * 60, 120)
    found.factors = {"outlet_pressure": draw.uniform(0.2, 0.6), "flow": 0.3, "pump_current": 0.05}
    return found


INTRUSION = "water.intrusion_with_quality_step"
_DEPARTURES = {
    "chlorine_loss": ("water.chlorine_low", _chlorine_loss),
    "turbidity_intrusion": ("water.turbidity_high", _turbidity_intrusion),
    "contamination": ("water.event", _contamination),
    "pressure_loss": ("water.pressure_low", _pressure_loss),
}
KINDS = (
    EventKind(name="chlorine_loss", longest_s=4.2 * 3600),
    EventKind(name="turbidity_intrusion", longest_s=2.5 * 3600, earliest_s=2 * 3600),
    # Nobody can know the unusual before the usual: two days and nights, and half a day of grace.
    EventKind(name="contamination", longest_s=3.7 * 3600, earliest_s=2.5 * DAY_MS / 1000),
    EventKind(name="pressure_loss", longest_s=0.8 * 3600),
)


def _departure(world: World, entity: str, event: Planned, truth: Truth) -> Departure:
    kind, make = _DEPARTURES[event.name]
    found = make(world.chance(entity, event.name, event.at), event.at)
    truth.event(entity, kind, found.at, found.end, event=event.name, hatch_open=found.hatch is not None)
    if found.hatch is not None:
        # Somebody opened a tank unasked, its water is turbid, and the one came after the other: all are true.
        truth.event(entity, "water.hatch_open", *found.hatch, event=event.name)
        truth.event(entity, INTRUSION, found.at, found.end, life_safety=True, event=event.name)
    return found


# ------------------------------------------------------------------ what happens in every pump room


class Calibration:
    """A technician holds pH into buffers: values that are no water, flagged C, with the door open."""

    BUFFERS = (4.0, 7.0, 9.18)
    STEP_MS = 5 * MINUTE_MS

    def __init__(self, at: int) -> None:
        self.at, self.end = at, at + len(self.BUFFERS) * self.STEP_MS

    def apply(self, now: int, values: dict[str, Value]) -> None:
        """Change what is reported of this minute."""
        if self.at - 5 * MINUTE_MS <= now < self.end + 5 * MINUTE_MS:
            values["door_open"] = True
        if self.at <= now < self.end:
            values["ph"] = self.BUFFERS[(now - self.at) // self.STEP_MS]
            values["flags"] = "C"


def _visits(world: World, entity: str, departures: list[Departure]) -> list[Calibration]:
    """Calibrations, on working hours, never within two hours of an event."""
    found = []
    for day in world.days():
        draw = world.chance(entity, "calibration", day)
        comes, at = draw.random() < CALIBRATION_CHANCE, midnight(day) + int(draw.uniform(9, 16) * HOUR_MS)
        if comes and all(not d.at - 2 * HOUR_MS <= at <= d.end + 2 * HOUR_MS for d in departures):
            found.append(Calibration(at))
    return found


def _bubbles(world: World, entity: str) -> set[int]:
    """Minutes in which one sample of turbidity is spoilt."""
    found = set()
    for day in world.days():
        draw = world.chance(entity, "bubbles", day)
        if draw.random() < BUBBLES_CHANCE:
            found.add((midnight(day) + draw.randrange(DAY_MS)) // MINUTE_MS)
    return found
