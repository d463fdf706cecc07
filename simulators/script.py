"""A scripted minute for demonstrations: an entrapment, a chlorine loss and a fall, and how they end.

Three entities that report every 5 s. The first two minutes are ordinary, so that the usual is known; within
the third everything goes wrong; help comes after it. Ten minutes in all.
"""

from collections.abc import Iterator
from random import Random

from simulators.lift import Car, Shaft
from simulators.lift_traffic import trip
from simulators.pump_room import NOISE, Departure, Water
from simulators.world import MINUTE_MS, SECOND_MS, Report, Truth, Value, World, merged

LIFT, STATION, HOME = "lift-demo", "pump-demo", "home-demo"
SCENARIO_OF = {LIFT: "elevator", STATION: "water", HOME: "elderly"}
LASTS_MS = 10 * MINUTE_MS
MINUTE_BEGINS_MS = 2 * MINUTE_MS
"""When the minute begins, after the start."""
STEP_MS = 5 * SECOND_MS


def reports(start_ms: int, truths: dict[str, Truth]) -> Iterator[Report]:
    """The script from a start time, in order. truths: by scenario; filled as it goes."""
    return merged(
        [
            _lift(start_ms, truths["elevator"]),
            _station(start_ms, truths["water"]),
            _home(start_ms, truths["elderly"]),
        ]
    )


def truths(start_ms: int) -> dict[str, Truth]:
    """Where the labels will be, by scenario: one entity each."""
    return {
        scenario: Truth(World(scenario, "demo", 1, start_ms, start_ms + LASTS_MS, 1, 0.0))
        for scenario in SCENARIO_OF.values()
    }


def _lift(start: int, truth: Truth) -> Iterator[Report]:
    """Two ordinary trips, then a stop between two floors with somebody inside; help after 4 min."""
    draw = Random("script")
    car = Car(LIFT, Shaft(lowest=1, highest=18, speed=1.75, trips_a_day=100), start, 48_213)
    car.set()
    trip(car, draw)
    car.open()
    car.wait(3)
    car.set(person=True)
    car.wait(3)
    car.close()
    car.wait_until(start + MINUTE_BEGINS_MS - 8 * SECOND_MS)
    car.run(car.height + (12.8 if car.floor < 9 else -12.8))
    onset = car.now
    car.wait(25)
    car.press_alarm(4)
    car.wait_until(onset + 4 * MINUTE_MS)
    car.run(car.height_of(car.floor), speed=0.2)
    car.open()
    truth.event(
        LIFT,
        "elevator.entrapment",
        onset,
        car.now,
        life_safety=True,
        event="script",
        also=["elevator.alarm_button"],
    )
    car.wait(8)
    car.set(person=False)
    car.wait(20)
    car.close()
    car.wait_until(start + LASTS_MS)
    yield from car.reports


def _station(start: int, truth: Truth) -> Iterator[Report]:
    """Chlorine goes within half a minute, and is back five minutes later."""
    water, probes = Water(Random("script water")), Random("script probes")
    begins = start + MINUTE_BEGINS_MS
    loss = Departure(begins, 20, 280, 60)
    loss.factors = {"free_chlorine": 0.04}
    true: dict[str, float] = {}
    for now in range(start, start + LASTS_MS, STEP_MS):
        if not true or now % MINUTE_MS < STEP_MS:
            true = water.minute(now)
        here = dict(true)
        loss.apply(now, here, {})
        values: dict[str, Value] = {
            name: round(max(0.0, here[name] + probes.gauss(0, noise)), digits)
            for name, (noise, digits) in NOISE.items()
        }
        yield Report(now, now, STATION, "station", values)
    truth.event(STATION, "water.chlorine_low", loss.at, loss.end, event="script")


def _home(start: int, truth: Truth) -> Iterator[Report]:
    """Somebody walks to the bathroom, falls, and is found after five minutes."""
    begins = start + MINUTE_BEGINS_MS
    fell, found = begins + 5 * SECOND_MS, begins + 5 * MINUTE_MS
    steps = [(start + n * 20 * SECOND_MS, ("kitchen", "hall", "living")[n % 3]) for n in range(5)]
    steps += [(begins - 10 * SECOND_MS, "hall"), (begins, "bathroom")]
    steps += [(found + n * 15 * SECOND_MS, ("hall", "bathroom")[n > 0]) for n in range(6)]
    calls: list[tuple[int, str, dict[str, Value]]] = [
        (begins, "radar-bathroom", {"posture": "upright"}),
        (fell, "radar-bathroom", {"fall.bathroom": True, "posture": "lying"}),
        (found - 5 * SECOND_MS, "door-front", {"door.front": True}),
        (found, "door-front", {"door.front": False}),
        (found + MINUTE_MS, "radar-bathroom", {"fall.bathroom": False, "posture": "upright"}),
    ]
    said: list[tuple[int, str, dict[str, Value]]] = [
        (at, f"pir-{room}", {f"motion.{room}": True}) for at, room in steps
    ]
    # A source that brings its own time has none while it is silent: nothing would be due between two steps.
    warm: list[tuple[int, str, dict[str, Value]]] = [
        (at, "thermometer", {"temperature": 21.5}) for at in range(start, start + LASTS_MS, STEP_MS)
    ]
    for at, device, values in sorted([*said, *calls, *warm], key=lambda one: (one[0], one[1])):
        yield Report(at, at, HOME, device, values, values.get("fall.bathroom") is True)
    truth.event(HOME, "elderly.fall", fell, found, life_safety=True, event="script")
