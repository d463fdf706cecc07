"""A home with sensors: the model of the scenario ``elderly``. What devices make of a resident's day.

Motion sensors report movements, switches report changes, the water meter its register every half hour, and
every device a heartbeat an hour with its battery and, for a switch, its state.
"""

import math
from collections.abc import Iterator
from random import Random

from simulators.home_events import KINDS, RADARS, Episode, episode, near_fall, spliced
from simulators.resident import ROOMS, Habits, Stay, day
from simulators.world import (
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Report,
    Truth,
    Value,
    World,
    midnight,
    plan,
    seconds,
)

PULSE_L = 10
"""Litres a pulse of the meter: 0.01 m³."""
HALF_HOUR_MS = 30 * MINUTE_MS
METER_MS = HALF_HOUR_MS
HEARTBEAT_MS = HOUR_MS
HOLD_OFF_S = 20
"""A motion sensor is blind for so long after it has reported, to spare its battery."""
NEAR_FALL_CHANCE = 1 / 30
"""A day: the radar takes sitting down for a fall."""

DEVICES = (*(f"pir-{room}" for room in ROOMS), "door-front", "bed", "sos", "smoke", "gas", "meter", "hub",
           *(f"radar-{room}" for room in RADARS))  # fmt: skip
TRIGGERS = {"sos", "smoke", "gas", *(f"fall.{room}" for room in RADARS)}

Said = tuple[int, str, dict[str, Value] | None]
"""Time, device, channels; None for a heartbeat."""


def home(world: World, entity: str, number: int, truth: Truth) -> Iterator[Report]:  # noqa: ARG001
    """One home's life (a Model)."""
    sensors = _Sensors(world, entity)
    episodes = [episode(world, entity, event, truth) for event in plan(world, entity, KINDS)]
    habits = Habits.drawn(world.chance(entity, "habits"))
    for local_day in world.days():
        stays = day(world, entity, habits, local_day)
        for change in episodes:
            stays = spliced(stays, change.stays)
        for report in sensors.day(local_day, stays, episodes):
            if world.start_ms <= report.ts < world.end_ms:
                yield report


class _Sensors:
    """All devices of one home, and what they last said."""

    def __init__(self, world: World, entity: str) -> None:
        self._world, self._entity = world, entity
        draw = world.chance(entity, "devices")
        self._phase = {device: draw.randrange(HEARTBEAT_MS) for device in DEVICES}
        self._battery = {device: draw.uniform(60, 100) for device in DEVICES}
        self._litres = draw.uniform(20_000, 900_000)
        self._warm = draw.uniform(17, 24)
        self._place = "bed"
        self._visited = False
        self._state: dict[str, dict[str, Value]] = {
            # A motion sensor says True when it sees somebody, and False only with its heartbeat.
            **{f"pir-{room}": {f"motion.{room}": False} for room in ROOMS},
            "door-front": {"door.front": False},
            "bed": {"bed": True},
            "sos": {"sos": False},
            "smoke": {"smoke": False},
            "gas": {"gas": False},
            **{f"radar-{room}": {f"fall.{room}": False} for room in RADARS},
        }

    def day(self, number: int, stays: list[Stay], episodes: list[Episode]) -> Iterator[Report]:
        """Everything that the devices say on one local day, in order."""
        draw = self._world.chance(self._entity, "sensors", number)
        begins, ends = midnight(number), midnight(number + 1)
        said: list[Said] = []
        drawn: list[tuple[int, float]] = []
        for stay in stays:
            said += self._entered(stay)
            said += _seen(stay, draw)
            if stay.litres:
                drawn.append((stay.start + (stay.end - stay.start) // 2, stay.litres))
        for change in episodes:
            said += [call for call in change.calls if begins <= call[0] < ends]
        said += self._near_fall(number, stays)
        said += self._metered(begins, ends, drawn, [c.flow for c in episodes if c.flow])
        for device, phase in self._phase.items():
            said += [(at, device, None) for at in range(begins + phase, ends, HEARTBEAT_MS)]
        said.sort(key=lambda one: one[0])
        return self._reports(said)

    def _reports(self, said: list[Said]) -> Iterator[Report]:
        for at, device, told in said:
            values = self._heartbeat(at, device) if told is None else told
            state = self._state.get(device, {})
            if not device.startswith("pir"):
                state.update((name, value) for name, value in values.items() if name in state)
            urgent = any(values.get(name) is True for name in TRIGGERS & values.keys())
            yield Report(at, at, self._entity, device, values, urgent)

    def _heartbeat(self, at: int, device: str) -> dict[str, Value]:
        self._battery[device] -= 0.0005
        values: dict[str, Value] = {f"battery.{device}": round(self._battery[device], 1)}
        values.update(self._state.get(device, {}))
        if device == "hub":
            hour = (at - midnight(0)) / HOUR_MS % 24
            values["temperature"] = round(self._warm + 1.2 * math.sin((hour - 9) / 24 * 2 * math.pi), 1)
        return values

    def _entered(self, stay: Stay) -> list[Said]:
        """What switches say when somebody goes to bed, gets up, leaves or comes."""
        said: list[Said] = []
        before, self._place = self._place, stay.place
        if (before == "bed") != (stay.place == "bed"):
            said.append((stay.start, "bed", {"bed": stay.place == "bed"}))
        passes = (before == "out") != (stay.place == "out") or self._visited != stay.visitor
        self._visited = stay.visitor
        if passes:
            said.append((stay.start, "door-front", {"door.front": True}))
            said.append((stay.start + 9 * SECOND_MS, "door-front", {"door.front": False}))
        if stay.place in RADARS and stay.pause_s:
            said.append((stay.start + 5 * SECOND_MS, f"radar-{stay.place}", {"posture": "upright"}))
        return said

    def _near_fall(self, number: int, stays: list[Stay]) -> list[Said]:
        """Sometimes, in a stay in the living room that is long enough, and never in an event."""
        draw = self._world.chance(self._entity, "near_fall", number)
        quiet = [
            s for s in stays if s.place == "living" and s.pause_s > 200 and s.end - s.start > HALF_HOUR_MS
        ]
        if not quiet or draw.random() >= NEAR_FALL_CHANCE:
            return []
        stay = draw.choice(quiet)
        return [*near_fall(stay.start + 10 * MINUTE_MS, draw).calls]

    def _metered(
        self, begins: int, ends: int, drawn: list[tuple[int, float]], flows: list[tuple[int, int, float]]
    ) -> list[Said]:
        """The register every half hour, in whole pulses."""
        said: list[Said] = []
        drawn.sort(reverse=True)
        phase = self._phase["meter"] % METER_MS
        last = begins
        for at in [*range(begins + phase, ends, METER_MS), ends]:
            while drawn and drawn[-1][0] <= at:
                self._litres += drawn.pop()[1]
            for start, end, litres_h in flows:
                self._litres += max(0, min(at, end) - max(last, start)) / HOUR_MS * litres_h
            last = at
            if at < ends:
                said.append((at, "meter", {"water_m3": int(self._litres // PULSE_L) * PULSE_L / 1000}))
        return said


def _seen(stay: Stay, draw: Random) -> list[Said]:
    """Movements that the motion sensor of the room reports; a visitor is seen elsewhere as well."""
    said: list[Said] = []
    if stay.place not in ROOMS or not stay.pause_s:
        return said
    at = stay.start + seconds(draw.uniform(0, 4))
    while at < stay.end:
        said.append((at, f"pir-{stay.place}", {f"motion.{stay.place}": True}))
        if stay.visitor and draw.random() < 0.3:
            other = draw.choice([room for room in ROOMS if room != stay.place])
            said.append((at + SECOND_MS, f"pir-{other}", {f"motion.{other}": True}))
        at += seconds(HOLD_OFF_S + draw.expovariate(1 / stay.pause_s))
    return said
