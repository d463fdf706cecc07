"""Motion: stopped outside the zone, overrun and hit bottom, overspeed, unintended movement, not level, run
time-out."""

from functools import partial

import numpy as np
import numpy.typing as npt

from scenarios.elevator.board import Board, Slot, Tell, Told
from scenarios.elevator.codes import Fault
from scenarios.elevator.holds import Held, Hold
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import Signals
from scenarios.elevator.trilean import NO, YES, both, negated, of_bools, shown
from scenarios.elevator.words import limited, mode_name, number, seconds
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Ints, State
from zhiwei.types import Observation

FIELDS = (
    Field("speed.above", "int16"),
    Field("speed.since", "int64", (), NEVER),
    Field("zone.open_at", "int64", (), NEVER),  # last seen with an open door in the zone, not closed since
    Field("stop.off", "int16"),  # stops in a row that were off the landing
    Field("stop.off_since", "int64", (), NEVER),
)
_ROUNDING = 1e-6
"""Speeds come as float32: 1.84 m/s is not above 1.15 × 1.6 m/s."""


def predicates(state: State, now: npt.NDArray[np.int8], s: Signals, sensed: Sensed) -> None:
    """Fill the columns of ``now`` (n, len(Hold)) that belong here."""
    every = np.ones(len(s), bool)
    service = of_bools(every, s.in_service)
    standing = both(service, negated(s.moving))
    # Somebody inside, or perhaps: that is the entrapment rule's. A person that is not known leaves it here.
    other = (sensed.person == YES) | sensed.person_stuck | sensed.level_fault
    now[:, Hold.EMPTY_OUT_OF_ZONE] = np.where(other, NO, both(standing, negated(sensed.zone)))
    now[:, Hold.RUN] = both(service, s.moving)
    offset = np.abs(s.level_offset)
    off = of_bools(~np.isnan(offset), offset > s.limits.value("not_level.keeping"))
    now[:, Hold.OFF_LEVEL] = both(standing, sensed.zone, off)
    now[:, Hold.LEFT_ZONE_OPEN] = np.where(s.inspected, NO, _left_open(state, s, sensed))


def _left_open(state: State, s: Signals, sensed: Sensed) -> npt.NDArray[np.int8]:
    """Out of the zone with a door that was open in it and has not been closed since.

    Unintended is a movement away from a landing at which the car was (GB/T 7588.1-2020, 5.6.7). A door
    contact that opens while the car passes a landing is an open door on the way: ``door_open_moving``.
    """
    e = s.entity
    open_at = state["zone.open_at"][e]
    outside = both(negated(sensed.zone), negated(s.door_closed))
    going_on = state["hold.onset"][e, Hold.LEFT_ZONE_OPEN] != NEVER
    age = s.at - np.where(open_at == NEVER, s.at, open_at)
    lost = (s.door_closed == YES) | s.another_run | (~going_on & (age > s.gap_us))
    open_at = np.where(lost, NEVER, open_at)
    levels = np.abs(s.speed) <= s.limits.value("door_open_moving.speed")  # false where no speed is known
    passes = (open_at == NEVER) & (s.moving == YES) & (s.moved == YES) & ~levels
    open_here = both(sensed.zone, negated(s.door_closed)) == YES
    open_at = np.where(open_here & ~passes, s.at, open_at)
    state["zone.open_at"][e] = open_at
    return np.where(open_at == NEVER, NO, outside)


def step(state: State, s: Signals, held: Held, board: Board) -> dict[Slot, Tell]:
    """Judge the rows; returns how each finding is told."""
    outside = Hold.EMPTY_OUT_OF_ZONE
    board.put(
        Slot.STOPPED_OUTSIDE_ZONE,
        held.reached(outside, s.limits.us("stopped_outside_zone.hold")),
        held.ended(outside),
        held.onset[:, outside],
    )
    run_limit = _run_limit(s)
    board.put(
        Slot.RUN_TIMEOUT, held.passed(Hold.RUN, run_limit), held.ended(Hold.RUN), held.onset[:, Hold.RUN]
    )
    _ends_of_travel(s, board)
    _overspeed(state, s, board)
    _unintended(s, held, board)
    _not_level(state, s, held, board)

    def told_run(row: int) -> Told:
        limit = float(run_limit[row if len(run_limit) > 1 else 0]) / MICROS
        said = s.limits.said("run_timeout.most", row)
        return Told((limited("run", seconds(held.us[row, Hold.RUN]), "≤", said, limit=limit),))

    def told_outside(row: int) -> Told:
        said = s.limits.said("stopped_outside_zone.hold", row)
        doubt = "mode_unknown" if s.mode_unknown[row] else ""
        score = s.limits.said("score.mode_unknown_factor", row).canonical if doubt else 1.0
        seen = (*_state(s, row), limited("held", seconds(held.us[row, outside]), "≤", said))
        return Told(seen, doubt, score)

    def told_end(slot: Slot, row: int) -> Told:
        switch = s.up_limit if slot is Slot.OVERRUN else s.down_limit
        name = "up_limit" if slot is Slot.OVERRUN else "down_limit"
        return Told((Observation(name=name, observed=shown(switch[row]), expected=False), *code_list(s, row)))

    def told_speed(row: int) -> Told:
        said = s.limits.said("overspeed.ratio", row)
        rated = s.limits.attribute("rated_speed")
        rated_here = float(rated[row if len(rated) > 1 else 0])
        most = said.canonical * rated_here
        return Told(
            (
                Observation(
                    name="speed",
                    observed=number(abs(s.speed[row])),
                    limit=f"≤ {most:.6g} m/s",
                    unit="m/s",
                    source=said.source,
                ),
                Observation(name="rated_speed", observed=number(rated_here), unit="m/s"),
            )
        )

    def told_unintended(row: int) -> Told:
        return Told((*_state(s, row), *code_list(s, row)))

    def told_level(row: int) -> Told:
        said = s.limits.said("not_level.stopping", row)
        stops = int(state["stop.off"][int(s.entity[row])])
        return Told(
            (
                limited("level_offset", number(s.level_offset[row]), "within ±", said),
                Observation(name="stops_off_level", observed=float(stops)),
            )
        )

    return {
        Slot.STOPPED_OUTSIDE_ZONE: told_outside,
        Slot.RUN_TIMEOUT: told_run,
        Slot.OVERRUN: partial(told_end, Slot.OVERRUN),
        Slot.HIT_BOTTOM: partial(told_end, Slot.HIT_BOTTOM),
        Slot.OVERSPEED: told_speed,
        Slot.UNINTENDED_MOVEMENT: told_unintended,
        Slot.NOT_LEVEL: told_level,
    }


def code_list(s: Signals, row: int) -> tuple[Observation, ...]:
    """The codes of this row, as they came."""
    codes = None if s.code_lists is None else s.code_lists[row]
    return () if not codes else (Observation(name="codes", observed=" ".join(codes)),)


def _state(s: Signals, row: int) -> tuple[Observation, ...]:
    said = (
        ("mode", mode_name(int(s.mode[row]))),
        ("moving", shown(s.moving[row])),
        ("in_door_zone", shown(s.zone[row])),
        ("door_closed", shown(s.door_closed[row])),
        ("person", shown(s.person[row])),
    )
    return tuple(Observation(name=name, observed=value) for name, value in said if value is not None)


def _run_limit(s: Signals) -> Ints:
    """µs: the lift's own limit, else the smaller of the most and the travel time with a margin, not less
    than the least. Source: motor run time limiter, GB/T 7588.1."""
    limits = s.limits
    travel, own = limits.attribute("travel_time"), limits.attribute("run_limit")
    most = limits.value("run_timeout.most")
    limit = np.where(np.isnan(travel), most, np.minimum(most, travel + limits.value("run_timeout.margin")))
    limit = np.maximum(limit, limits.value("run_timeout.least"))
    limit = np.where(np.isnan(own), limit, own)
    return np.asarray(np.rint(np.minimum(limit, 1e9) * MICROS), np.int64)


def _ends_of_travel(s: Signals, board: Board) -> None:
    """A limit switch, or the source's word: these always call the maintainer."""
    for slot, switch, fault in (
        (Slot.OVERRUN, s.up_limit, Fault.OVERRUN),
        (Slot.HIT_BOTTOM, s.down_limit, Fault.HIT_BOTTOM),
    ):
        on = (switch == YES) | s.says(fault)
        told_off = (switch == NO) | s.lacks(fault)
        still = (s.known_codes & fault.bit != 0) | (switch == YES)
        board.put(slot, on, told_off & ~still)


def _overspeed(state: State, s: Signals, board: Board) -> None:
    e = s.entity
    limit = s.limits.value("overspeed.ratio") * s.limits.attribute("rated_speed") * (1 + _ROUNDING)
    known = ~np.isnan(s.speed) & ~np.isnan(limit)
    above = np.abs(s.speed) > limit
    before, since = state["speed.above"][e], state["speed.since"][e]
    since = np.where(above & (before == 0), s.at, since)
    count = np.where(above, np.minimum(before + 1, 1000), np.where(known, 0, before))
    state["speed.above"][e], state["speed.since"][e] = count, since
    enough = above & (count >= s.limits.value("overspeed.samples"))
    board.put(Slot.OVERSPEED, enough, known & ~above, since)


def _unintended(s: Signals, held: Held, board: Board) -> None:
    """The controller's own code; or the car leaves the zone with an open door, at once where movement is
    reported and after a moment where only the zone is gone."""
    hold, code = Hold.LEFT_ZONE_OPEN, Fault.UNINTENDED_MOVEMENT
    left = held.now[:, hold] == YES
    seen = left & ((s.moving == YES) | (s.moved == YES))
    on = seen | held.reached(hold, s.limits.us("unintended_movement.hold")) | s.says(code)
    over = held.ended(hold) & (s.known_codes & code.bit == 0)
    board.put(Slot.UNINTENDED_MOVEMENT, on, over, np.where(left, held.onset[:, hold], s.at))


def _not_level(state: State, s: Signals, held: Held, board: Board) -> None:
    """Off the landing at several stops in a row, or far off for a while at one."""
    e, offset = s.entity, np.abs(s.level_offset)
    stops = (s.moving == NO) & (s.moved == YES) & ~np.isnan(offset) & s.in_service
    off = stops & (offset > s.limits.value("not_level.stopping"))
    before = state["stop.off"][e]
    count = np.where(off, np.minimum(before + 1, 1000), np.where(stops, 0, before))
    since = np.where(off & (before == 0), s.at, state["stop.off_since"][e])
    state["stop.off"][e], state["stop.off_since"][e] = count, since
    far = held.reached(Hold.OFF_LEVEL, s.limits.us("not_level.keeping_hold"))
    often = off & (count >= s.limits.value("not_level.stops"))
    onset = np.where(often, since, np.where(far, held.onset[:, Hold.OFF_LEVEL], s.at))
    board.put(Slot.NOT_LEVEL, far | often, stops & ~off, onset)
