"""What goes wrong with a lift, as it goes wrong: each function is one event and notes its own truth."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from simulators.lift import OPENING_S, PAUSE_S, STOREY_M, Car, Travel
from simulators.lift_traffic import board, leave
from simulators.world import SECOND_MS, EventKind, Truth, seconds

ENTRAPMENT = "elevator.entrapment"
ALARM_BUTTON = "elevator.alarm_button"
OPEN_MOVING = "elevator.door_open_moving"
UNINTENDED = "elevator.unintended_movement"


@dataclass(slots=True)
class Scene:
    """One event about to happen to a car that stands parked and empty."""

    car: Car
    draw: Random
    truth: Truth

    def note(
        self, kind: str, onset: int, *, life_safety: bool = False, **detail: str | bool | float | list[str]
    ) -> None:
        """The event lasted from onset until now."""
        if detail.get("alarm_button"):
            detail["also"] = [ALARM_BUTTON]  # the press is true as well
        self.truth.event(self.car.entity, kind, onset, self.car.now, life_safety=life_safety, **detail)


def stopped_between_floors(scene: Scene) -> None:
    """The car stops in the shaft with somebody inside; rescued after 15 to 45 min.

    The trapped person may press the alarm button, or sit down, so that the sensor goes quiet.
    """
    car, draw = scene.car, scene.draw
    board(car, draw)
    travel = _longest(car)
    car.start(travel)
    car.ride(travel, _moment_between(travel, draw))
    car.halt()
    onset = car.now
    quiet, pressed = _behave(scene)
    car.wait(draw.uniform(15, 45) * 60)
    _rescue(scene, by_technician=draw.random() < 0.5)
    scene.note(ENTRAPMENT, onset, life_safety=True, event="between_floors", quiet=quiet, alarm_button=pressed)
    _back_to_service(scene)


def doors_fail_at_landing(scene: Scene) -> None:
    """The car arrives, and its doors do not open: one to three attempts, then mostly the alarm button."""
    car, draw = scene.car, scene.draw
    board(car, draw)
    car.run(_longest(car).to_m)
    onset = car.now
    attempts = draw.randint(1, 3)
    for _ in range(attempts):
        car.wait(draw.uniform(2, 6))
        car.set(door_state="opening")  # the motor turns, the leaves do not move
        car.wait(OPENING_S)
        car.set(door_state="closed")
    pressed = draw.random() < 0.6
    if pressed:
        car.wait(draw.uniform(10, 60))
        car.press_alarm(draw.uniform(2, 6))
    car.wait(draw.uniform(12, 40) * 60)
    car.open()
    scene.note(
        ENTRAPMENT, onset, life_safety=True, event="doors_fail", attempts=attempts, alarm_button=pressed
    )
    _back_to_service(scene)


def power_cut(scene: Scene, duration_s: float, trapped: bool) -> None:
    """The mains of a block fail while this car is parked, or under way with somebody inside.

    Begins ``APPROACH_S`` before the cut, so that a car may be under way when it comes.
    """
    car, draw = scene.car, scene.draw
    cut = car.now + seconds(APPROACH_S)
    if trapped:
        travel = _longest(car)
        moment = _moment_between(travel, draw)
        car.wait_until(cut - seconds(moment) - seconds(25))
        car.open()
        car.wait(4)
        car.set(person=True)
        car.wait(8)
        car.close()
        car.wait_until(cut - seconds(moment) - seconds(PAUSE_S))
        car.start(travel)
        car.ride(travel, moment)
        car.state.update(moving=False, direction="none", speed=0.0)
    else:
        car.wait_until(cut)
    car.set(power="battery")
    onset, back = car.now, car.now + seconds(duration_s)
    pressed = False
    if trapped:
        _, pressed = _behave(scene)
    car.wait_until(back)
    car.set(power="mains")
    scene.note("elevator.power_loss", onset, event="power_cut", trapped=trapped)
    if trapped:
        car.wait(draw.uniform(10, 60))
        _rescue(scene, by_technician=False)
        scene.note(ENTRAPMENT, onset, life_safety=True, event="power_cut", alarm_button=pressed)
        _back_to_service(scene)


APPROACH_S = 120.0
"""A scene of a power cut begins so long before it."""


def alarm_pressed_for_fun(scene: Scene) -> None:
    """A short press of the alarm button at a landing; the doors open at once and the rider leaves."""
    car, draw = scene.car, scene.draw
    board(car, draw)
    car.run(_longest(car).to_m)
    onset = car.now
    car.press_alarm(draw.uniform(1, 2.5))
    # The button may say it as a suspected entrapment first (elevator.md, branch C), never as more.
    scene.truth.event(
        car.entity, ALARM_BUTTON, onset, car.now, life_safety=True,
        event="alarm_for_fun", suspected_as=[ENTRAPMENT],
    )  # fmt: skip
    car.open()
    car.wait(20)
    car.set(person=False)
    car.wait(3)
    car.close()


def door_obstructed(scene: Scene) -> None:
    """Rubbish in the door: it tries to close again and again."""
    car, draw = scene.car, scene.draw
    car.open()
    car.wait(4)
    onset = car.now
    for _ in range(draw.randint(8, 14)):
        car.reopen()
        car.wait(draw.uniform(2, 5))
    scene.note("elevator.door_cycling", onset, event="door_obstructed")
    car.wait(5)
    car.close()


def door_held_open(scene: Scene) -> None:
    """Somebody moves house: the door is held open for 8 to 25 min."""
    car, draw = scene.car, scene.draw
    car.open()
    onset = car.now
    car.wait(draw.uniform(8, 25) * 60)
    scene.note("elevator.door_blocked", onset, event="door_held_open")
    car.close()


def door_contact_lost(scene: Scene) -> None:
    """The door contact opens for some seconds while the car runs."""
    car, draw = scene.car, scene.draw
    board(car, draw)
    travel = _longest(car)
    lost, back = 3.0, 3.0 + draw.uniform(6, min(9.0, travel.duration_s - 5))
    car.start(travel)
    car.ride(travel, lost)
    onset = car.now
    car.set(door_closed=False, door_state="open")
    car.ride(travel, back, lost)
    car.set(door_closed=True, door_state="closed")
    # Where it goes as the car passes a landing this is still no unintended movement: the car was never there.
    scene.note(OPEN_MOVING, onset, life_safety=True, event="door_contact_lost")
    car.ride(travel, travel.duration_s, back)
    car.halt()
    leave(car, draw)


def moved_with_open_door(scene: Scene) -> None:
    """The brake slips at a landing while the doors are open: the empty car creeps out of the zone."""
    car, draw = scene.car, scene.draw
    car.open()
    car.wait(6)
    onset = car.now
    way = draw.uniform(0.5, 1.1) * (1 if car.height < STOREY_M else -1)
    car.run(car.height + way, speed=0.25)
    scene.note(UNINTENDED, onset, life_safety=True, event="brake_slipped", also=[OPEN_MOVING])
    _out_of_service(scene)


def overrun(scene: Scene) -> None:
    """The empty car runs past its last landing into the buffer; the limit switch reports it."""
    car, draw = scene.car, scene.draw
    up = draw.random() < 0.5
    end = car.height_of(car.shaft.highest) if up else 0.0
    if abs(end - car.height) < 4 * STOREY_M:
        car.run(car.height_of(car.shaft.highest) - end)
        car.wait(10)
    car.run(end + draw.uniform(0.3, 0.6) * (1 if up else -1))
    onset = car.now
    car.set(up_limit=up, down_limit=not up)
    car.wait(draw.uniform(30, 90))
    car.set(mode="out_of_service")
    car.wait(draw.uniform(20, 40) * 60)
    scene.note("elevator.overrun" if up else "elevator.hit_bottom", onset, life_safety=True, event="overrun")
    car.state.update(up_limit=False, down_limit=False)
    _out_of_service(scene)


HAPPENINGS: dict[str, tuple[Callable[[Scene], None], EventKind]] = {
    f.__name__: (f, EventKind(name=f.__name__, weight=weight, hours=hours, longest_s=most))
    for f, weight, hours, most in (
        (stopped_between_floors, 4, (6, 22.5), 5000),
        (doors_fail_at_landing, 2, (6, 22.5), 4000),
        (alarm_pressed_for_fun, 1, (8, 21), 600),
        (door_obstructed, 1, (6, 22), 900),
        (door_held_open, 1, (8, 19), 2000),
        (door_contact_lost, 1, (6, 22), 600),
        (moved_with_open_door, 1, (6, 22), 7000),
        (overrun, 1, (6, 22), 9000),
    )
}  # fmt: skip
"""By name; power cuts happen to a block, so they are planned apart. About three quarters of real entrapments
fall between 06 and 22 h (Qingdao 2018); the weights are for trying things out and are not base rates."""


# ------------------------------------------------------------------ parts of scenes


def _longest(car: Car) -> Travel:
    """A run to the terminal landing that is further away."""
    top = car.height_of(car.shaft.highest)
    return Travel(car.height, 0.0 if car.height > top / 2 else top, car.shaft.speed)


def _moment_between(travel: Travel, draw: Random) -> float:
    """Seconds into a run at which the car is well outside every unlocking zone."""
    while True:
        moment = travel.duration_s * draw.uniform(0.2, 0.8)
        above = travel.at(moment)[0] % STOREY_M
        if 0.2 * STOREY_M < above < 0.8 * STOREY_M:
            return moment


def _behave(scene: Scene) -> tuple[bool, bool]:
    """The first minutes of a trapped person: whether the sensor went quiet, whether the alarm was pressed."""
    car, draw = scene.car, scene.draw
    quiet, pressed = draw.random() < 0.3, draw.random() < 0.5
    car.wait(draw.uniform(6, 20))
    if quiet:
        car.set(person=False)
    if pressed:
        car.wait(draw.uniform(10, 120))
        car.press_alarm(draw.uniform(2, 8))
    return quiet, pressed


def _rescue(scene: Scene, *, by_technician: bool) -> None:
    """The car is brought to the nearest landing and its doors open; now nobody is trapped any more."""
    car, draw = scene.car, scene.draw
    if by_technician:
        car.set(mode="inspection")
        car.wait(draw.uniform(20, 90))
    car.run(car.height_of(car.floor), speed=0.2)
    car.wait(3)
    car.open()
    car.state["person"] = True  # whoever sat still gets up


def _back_to_service(scene: Scene) -> None:
    """All leave; the doors stay open for a while; the lift runs again."""
    car, draw = scene.car, scene.draw
    car.set(person=True)
    car.wait(draw.uniform(4, 12))
    car.set(person=False)
    car.wait(draw.uniform(20, 60))
    car.set(mode="normal")
    car.wait(2)
    car.close()


def _out_of_service(scene: Scene) -> None:
    """Locked until the technician has brought the car back to a landing."""
    car, draw = scene.car, scene.draw
    car.set(mode="out_of_service")
    car.wait(draw.uniform(20, 60) * 60)
    car.set(mode="inspection")
    if not car.state["door_closed"]:
        car.close()
    car.run(car.height_of(car.floor), speed=0.2)
    car.wait(20)
    car.set(mode="normal")


def block_cut(draw: Random, rate: float) -> tuple[bool, float, float]:
    """For one block and day: whether its power fails, at which local hour, for how many seconds."""
    return draw.random() < rate, draw.uniform(7, 22), draw.uniform(20, 50) * 60


CUT_MOST_S = (50 + 10) * 60.0
CUT_MARGIN_MS = 3 * 3600 * SECOND_MS
"""Nothing else is planned so near to a power cut."""
