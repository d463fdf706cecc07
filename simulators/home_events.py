"""What happens to an old person at home: changes of the day's timetable, and what devices call out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simulators.resident import Stay
from simulators.world import MINUTE_MS, SECOND_MS, EventKind, Planned, Truth, Value, World, seconds

RADARS = ("bathroom", "living")
"""Rooms with a fall radar."""


@dataclass(slots=True)
class Episode:
    """What an event changes: the person's whereabouts, what devices say, the flow of water."""

    stays: list[Stay] = field(default_factory=list)
    """In place of the timetable from the first one's start to the last one's end."""
    calls: list[tuple[int, str, dict[str, Value]]] = field(default_factory=list)
    """Time, device, channels."""
    flow: tuple[int, int, float] | None = None
    """From, to, litres an hour that run away."""


def _sos(draw: Random, at: int, home: str, truth: Truth) -> Episode:
    """The button is pressed one to three times."""
    calls: list[tuple[int, str, dict[str, Value]]] = []
    now = at
    for _ in range(draw.randint(1, 3)):
        calls.append((now, "sos", {"sos": True}))
        calls.append((now + seconds(0.8), "sos", {"sos": False}))
        now += seconds(draw.uniform(1.2, 2.2))
    truth.event(home, "elderly.sos", at, now, life_safety=True, event="sos")
    return Episode(calls=calls)


def _alarm(channel: str) -> Callable[[Random, int, str, Truth], Episode]:
    def alarm(draw: Random, at: int, home: str, truth: Truth) -> Episode:
        """A detector sounds for 4 to 15 min and repeats itself every minute."""
        end = at + seconds(draw.uniform(4, 15) * 60)
        calls: list[tuple[int, str, dict[str, Value]]] = [
            (now, channel, {channel: True}) for now in range(at, end, MINUTE_MS)
        ]
        calls.append((end, channel, {channel: False}))
        truth.event(home, f"elderly.{channel}", at, end, life_safety=True, event=channel)
        return Episode(calls=calls)

    return alarm


def _fall(draw: Random, at: int, home: str, truth: Truth) -> Episode:
    """They fall and stay down until somebody comes, after half an hour to one and a half."""
    room = draw.choice(RADARS)
    found = at + seconds(draw.uniform(30, 90) * 60)
    left = found + seconds(draw.uniform(20, 50) * 60)
    truth.event(home, "elderly.fall", at, found, life_safety=True, event="fall", room=room)
    return Episode(
        stays=[
            Stay(at - 90 * SECOND_MS, at, room, 30, 0),
            Stay(at, found, room, 0, 0),
            *_helped(found, left, room),
        ],
        calls=[
            (at, f"radar-{room}", {f"fall.{room}": True, "posture": "lying"}),
            (found + 3 * MINUTE_MS, f"radar-{room}", {f"fall.{room}": False, "posture": "upright"}),
        ],
    )


def _collapse(draw: Random, at: int, home: str, truth: Truth) -> Episode:
    """They lie where no radar looks, and nobody comes for a day."""
    room = draw.choice(("kitchen", "bedroom", "hall"))
    found = at + seconds(draw.uniform(25, 27) * 3600)
    left = found + seconds(draw.uniform(30, 60) * 60)
    truth.event(home, "elderly.no_activity", at, found, event="collapse", room=room)
    # Whoever was out has come home before: a door that opens and then nothing would be somebody who left.
    before = Stay(at - 4 * MINUTE_MS, at, room, 40, 0)
    return Episode(stays=[before, Stay(at, found, room, 0, 0), *_helped(found, left, room)])


def _leak(draw: Random, at: int, home: str, truth: Truth) -> Episode:
    """A pipe or cistern runs, well over 2 m³ a day, until it is mended."""
    end = at + seconds(draw.uniform(27, 31) * 3600)
    litres_h = draw.uniform(120, 250)
    truth.event(home, "elderly.leak", at, end, event="leak", litres_h=round(litres_h))
    return Episode(flow=(at, end, litres_h))


def _wandering(draw: Random, at: int, home: str, truth: Truth) -> Episode:
    """They leave the home at night and come back after 40 to 90 min."""
    gone = at + 2 * MINUTE_MS
    back = gone + seconds(draw.uniform(40, 90) * 60)
    truth.event(home, "elderly.night_out", gone, back, event="wandering")
    return Episode(
        stays=[
            Stay(at, gone, "hall", 30, 0),
            Stay(gone, back, "out", 0, 0),
            Stay(back, back + 5 * MINUTE_MS, "hall", 40, 0),
            Stay(back + 5 * MINUTE_MS, back + 65 * MINUTE_MS, "bed", 0, 0),
        ]
    )


def near_fall(at: int, draw: Random) -> Episode:
    """The radar takes sitting down for a fall, and sees them upright soon after: no event."""
    up = at + seconds(draw.uniform(8, 18))
    return Episode(
        calls=[
            (at, "radar-living", {"fall.living": True, "posture": "lying"}),
            (up, "radar-living", {"fall.living": False, "posture": "upright"}),
        ]
    )


_MAKE: dict[str, Callable[[Random, int, str, Truth], Episode]] = {
    "sos": _sos,
    "smoke": _alarm("smoke"),
    "gas": _alarm("gas"),
    "fall": _fall,
    "collapse": _collapse,
    "leak": _leak,
    "wandering": _wandering,
}

_HOUR_S = 3600.0
KINDS = (
    EventKind(name="sos", longest_s=900, weight=2),
    EventKind(name="smoke", longest_s=1800, hours=(6, 20)),
    EventKind(name="gas", longest_s=1800, hours=(6, 20)),
    EventKind(name="fall", longest_s=3 * _HOUR_S, hours=(7.5, 19.5), weight=2),
    EventKind(name="collapse", longest_s=29 * _HOUR_S, hours=(7.5, 19), weight=2),
    EventKind(name="leak", longest_s=32 * _HOUR_S),
    EventKind(name="wandering", longest_s=3 * _HOUR_S, hours=(0.4, 3.6)),
)
"""A collapse begins by day: whoever is awake for 12 h without a sign is missed by then."""


def episode(world: World, home: str, event: Planned, truth: Truth) -> Episode:
    """The event as it will go."""
    draw = world.chance(home, event.name, event.at)
    return _MAKE[event.name](draw, event.at, home, truth)


def _helped(found: int, left: int, room: str) -> list[Stay]:
    """Somebody comes in, helps, and leaves."""
    return [
        Stay(found, found + MINUTE_MS, "hall", 15, 0, visitor=True),
        Stay(found + MINUTE_MS, left - MINUTE_MS, room, 60, 2, visitor=True),
        Stay(left - MINUTE_MS, left, "hall", 15, 0, visitor=True),
    ]


def spliced(stays: list[Stay], changes: list[Stay]) -> list[Stay]:
    """A timetable with other stays in place of what it says for their time."""
    if not changes:
        return stays
    first, last = changes[0].start, changes[-1].end
    begins, ends = stays[0].start, stays[-1].end
    before = [stay._replace(end=min(stay.end, first)) for stay in stays if stay.start < first]
    after = [stay._replace(start=max(stay.start, last)) for stay in stays if stay.end > last]
    within = [
        change._replace(start=max(change.start, begins), end=min(change.end, ends))
        for change in changes
        if change.start < ends and change.end > begins
    ]
    return [*before, *within, *after]
