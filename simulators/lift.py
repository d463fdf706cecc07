"""A lift with a monitoring kit: floors, doors, passengers, and what the kit reports of them.

The car is a body with position and speed between landings; everything that is reported follows from it.
While something is going on the kit reports every 5 s and on change, else a heartbeat a minute.
"""

import math
from dataclasses import dataclass
from random import Random

from simulators.world import MINUTE_MS, SECOND_MS, Report, Value, seconds

BUSY_MS = 5 * SECOND_MS
"""Between reports while the car moves or somebody is in it: what four-piece kits do."""
IDLE_MS = 1 * MINUTE_MS
"""Between heartbeats of a parked, empty car."""
ZONE_M = 0.15
"""Half of the unlocking zone; EN 81-20 allows up to 0.35 m with doors moved by the car."""
STOREY_M = 3.0
ACCELERATION = 0.8  # m/s², a comfortable residential setting
OPENING_S, CLOSING_S = 2.0, 2.6
PAUSE_S = 0.6
"""From the doors' end position to the start of a run, and from its end to the doors' start."""
DEVICE = "kit"


@dataclass(frozen=True, slots=True)
class Shaft:
    """What does not change about a lift."""

    lowest: int
    highest: int
    speed: float
    """Rated, m/s."""
    trips_a_day: float

    @classmethod
    def drawn(cls, draw: Random) -> "Shaft":
        """A residential lift: fast enough that the longest run takes less than 40 s."""
        floors = draw.randint(8, 26)
        lowest = draw.choice((1, 1, -1))
        rated = next(v for v in (1.0, 1.5, 1.75, 2.0, 2.5) if floors * STOREY_M / v < 32)
        return cls(lowest, lowest + floors, rated, draw.uniform(60, 160))


class Car:
    """The state that the kit reports. Each method is something that happens, and takes its time."""

    def __init__(self, entity: str, shaft: Shaft, now: int, run_count: int) -> None:
        self.entity, self.shaft = entity, shaft
        self.now = now
        """Unix ms."""
        self.height = (1 - shaft.lowest) * STOREY_M if shaft.lowest < 1 else 0.0
        """Of the car floor over the lowest landing, m."""
        self.state: dict[str, Value] = {
            "mode": "normal",
            "moving": False,
            "direction": "none",
            "in_door_zone": True,
            "door_closed": True,
            "door_state": "closed",
            "person": False,
            "floor": 1,
            "speed": 0.0,
            "alarm_button": False,
            "power": "mains",
            "run_count": run_count,
        }
        self.reports: list[Report] = []
        """Made since they were last taken."""
        self._reported = now - IDLE_MS

    @property
    def floor(self) -> int:
        """The nearest landing."""
        return self.shaft.lowest + round(self.height / STOREY_M)

    @property
    def in_zone(self) -> bool:
        return abs(self.height - round(self.height / STOREY_M) * STOREY_M) <= ZONE_M

    def height_of(self, floor: int) -> float:
        """Of a landing over the lowest, m."""
        return (floor - self.shaft.lowest) * STOREY_M

    # -------------------------------------------------------------- reporting

    def set(self, **changes: Value) -> None:
        """Something changes: the kit reports at once."""
        self.state.update(changes)
        self._report(self.now)

    def wait(self, duration_s: float) -> None:
        """Time passes and nothing changes."""
        self.wait_until(self.now + seconds(duration_s))

    def wait_until(self, until: int) -> None:
        """Nothing changes until then; a time that has passed already changes nothing."""
        period = BUSY_MS if self._busy else IDLE_MS
        while (due := self._reported + period) < until:
            self._report(due)
        self.now = max(self.now, until)

    @property
    def _busy(self) -> bool:
        s = self.state
        at_rest = s["door_closed"] and s["in_door_zone"] and s["mode"] == "normal" and not s["moving"]
        return not at_rest or bool(s["person"]) or bool(s["alarm_button"])

    def _report(self, at: int) -> None:
        values = self.state.copy()
        report = Report(at, at, self.entity, DEVICE, values, bool(values["alarm_button"]))
        # Two changes in one millisecond are one report: a device never says two things of one time.
        if self.reports and self.reports[-1].ts == at:
            self.reports[-1] = report
        else:
            self.reports.append(report)
        self._reported = at

    # -------------------------------------------------------------- what a car does

    def open(self) -> None:
        """Open the doors."""
        self.wait(PAUSE_S)
        self.set(door_state="opening", door_closed=False)
        self.wait(OPENING_S)
        self.set(door_state="open")

    def close(self) -> None:
        """Close the doors to the end."""
        self.set(door_state="closing")
        self.wait(CLOSING_S)
        self.set(door_state="closed", door_closed=True)

    def reopen(self) -> None:
        """Something is in the way: the doors give way and open again."""
        self.set(door_state="closing")
        self.wait(CLOSING_S * 0.6)
        self.set(door_state="opening")
        self.wait(OPENING_S * 0.6)
        self.set(door_state="open")

    def press_alarm(self, duration_s: float) -> None:
        """The car's alarm button is held down."""
        self.set(alarm_button=True)
        self.wait(duration_s)
        self.set(alarm_button=False)

    def run(self, target_m: float, *, stop_at: float = 1.0, speed: float | None = None) -> None:
        """Run towards a height; stop_at: the share of the way at which it stops."""
        travel = Travel(self.height, target_m, speed or self.shaft.speed)
        if travel.way_m < 0.001:
            return
        self.start(travel)
        self.ride(travel, travel.duration_s * stop_at)
        self.halt()

    def start(self, travel: "Travel") -> None:
        """The car is set in motion, after a short pause."""
        self.wait(PAUSE_S)
        self.state["run_count"] = int(str(self.state["run_count"])) + 1
        self.set(moving=True, direction="up" if travel.up else "down")

    def ride(self, travel: "Travel", until_s: float, from_s: float = 0.0) -> None:
        """Go on with a run until so many seconds after its start; reports every 5 s."""
        began, end = self.now - seconds(from_s), self.now + seconds(until_s - from_s)
        while (due := self._reported + BUSY_MS) < end:
            self._place(travel, (due - began) / SECOND_MS)
            self._report(due)
        self.now = end
        self._place(travel, until_s)

    def halt(self) -> None:
        """The car stands where it is."""
        self.set(moving=False, direction="none", speed=0.0)

    def go(self, floor: int) -> None:
        """Run to a landing."""
        self.run(self.height_of(floor))

    def _place(self, travel: "Travel", elapsed_s: float) -> None:
        self.height, speed = travel.at(elapsed_s)
        self.state.update(floor=self.floor, in_door_zone=self.in_zone, speed=round(speed, 1))


@dataclass(frozen=True, slots=True)
class Travel:
    """A run with constant acceleration up to a greatest speed, and the same back."""

    from_m: float
    to_m: float
    speed: float

    @property
    def up(self) -> bool:
        return self.to_m > self.from_m

    @property
    def way_m(self) -> float:
        return abs(self.to_m - self.from_m)

    @property
    def ramp_s(self) -> float:
        """Seconds of acceleration, and of braking."""
        return min(self.speed / ACCELERATION, math.sqrt(self.way_m / ACCELERATION))

    @property
    def duration_s(self) -> float:
        top = self.ramp_s * ACCELERATION
        return self.way_m / top + self.ramp_s if top else 0.0

    def at(self, elapsed_s: float) -> tuple[float, float]:
        """Height in m and speed in m/s (no sign) so many seconds after the start."""
        ramp, total = self.ramp_s, self.duration_s
        if elapsed_s >= total:
            return self.to_m, 0.0
        top = ramp * ACCELERATION
        if elapsed_s < ramp:
            way, speed = ACCELERATION * elapsed_s**2 / 2, ACCELERATION * elapsed_s
        elif elapsed_s <= total - ramp:
            way, speed = top * (elapsed_s - ramp / 2), top
        else:
            left = total - elapsed_s
            way, speed = self.way_m - ACCELERATION * left**2 / 2, ACCELERATION * left
        return self.from_m + (way if self.up else -way), speed
