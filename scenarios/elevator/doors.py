"""Doors: open while the car moves, cycling, blocked."""

from functools import partial

import numpy as np
import numpy.typing as npt

from scenarios.elevator.board import Board, Slot, Tell, Told
from scenarios.elevator.holds import Held, Hold
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import CLOSED, CLOSING, NOTHING, OPEN, OPENING, Signals
from scenarios.elevator.trilean import NO, UNKNOWN, YES, both, negated, of_bools, shown
from scenarios.elevator.words import limited, mode_name, number, seconds
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, State
from zhiwei.types import Observation

_KEPT = 8
"""Attempts remembered; the policy may ask for no more."""

FIELDS = (Field("door.attempts", "int64", (_KEPT,), NEVER),)  # the newest last


def predicates(now: npt.NDArray[np.int8], s: Signals, sensed: Sensed) -> None:
    """Fill the columns of ``now`` (n, len(Hold)) that belong here."""
    opened = negated(s.door_closed)
    speed = np.abs(s.speed)
    # Releveling moves the car slowly, in the zone, with an open door. Without a speed the zone decides.
    travels = np.where(
        np.isnan(speed),
        np.where(sensed.zone == NO, YES, UNKNOWN),
        np.where(speed > s.limits.value("door_open_moving.speed"), YES, NO),
    )
    under_way = both(s.moving, opened, travels)
    now[:, Hold.DOOR_OPEN_MOVING] = np.where(s.inspected, NO, under_way)
    every = np.ones(len(s), bool)
    normal = of_bools(every, s.mode_unknown | (s.mode == 1))
    now[:, Hold.DOOR_BLOCKED] = both(normal, sensed.open_in_zone)


def step(state: State, s: Signals, held: Held, board: Board) -> dict[Slot, Tell]:
    """Judge the rows; returns how each finding is told."""
    us = s.limits.us
    for slot, hold, key in (
        (Slot.DOOR_OPEN_MOVING, Hold.DOOR_OPEN_MOVING, "door_open_moving.hold"),
        (Slot.DOOR_BLOCKED, Hold.DOOR_BLOCKED, "door_blocked.hold"),
    ):
        board.put(slot, held.passed(hold, us(key)), held.ended(hold), held.onset[:, hold])
    _cycling(state, s, board)

    def told_held(slot: Slot, row: int) -> Told:
        moving = slot is Slot.DOOR_OPEN_MOVING
        hold = Hold.DOOR_OPEN_MOVING if moving else Hold.DOOR_BLOCKED
        said = s.limits.said("door_open_moving.hold" if moving else "door_blocked.hold", row)
        seen = [
            Observation(name="moving", observed=shown(s.moving[row])),
            Observation(name="in_door_zone", observed=shown(s.zone[row])),
            Observation(name="door_closed", observed=shown(s.door_closed[row])),
            Observation(name="mode", observed=mode_name(int(s.mode[row]))),
            Observation(name="speed", observed=number(s.speed[row]), unit="m/s"),
        ]
        known = tuple(one for one in seen if one.observed is not None)
        doubt = "" if moving or not s.mode_unknown[row] else "mode_unknown"
        score = s.limits.said("score.mode_unknown_factor", row).canonical if doubt else 1.0
        return Told((*known, limited("held", seconds(held.us[row, hold]), "≤", said)), doubt, score)

    def told_cycling(row: int) -> Told:
        times = state["door.attempts"][int(s.entity[row])]
        window = s.limits.said("door_cycling.window", row)
        said = s.limits.said("door_cycling.attempts", row)
        recent = (times != NEVER) & (
            s.at[row] - np.where(times == NEVER, s.at[row], times) <= window.canonical * 1e6
        )
        return Told(
            (
                limited("close_attempts", float(recent.sum()), "<", said),
                Observation(name="window", observed=window.canonical, unit="s"),
            )
        )

    return {
        Slot.DOOR_OPEN_MOVING: partial(told_held, Slot.DOOR_OPEN_MOVING),
        Slot.DOOR_BLOCKED: partial(told_held, Slot.DOOR_BLOCKED),
        Slot.DOOR_CYCLING: told_cycling,
    }


def _cycling(state: State, s: Signals, board: Board) -> None:
    """An attempt is a closing that ends in anything but closed; a closed door forgets them."""
    closed = (s.door_state == CLOSED) | ((s.door_state == NOTHING) & (s.door_closed == YES))
    failed = (s.door_before == CLOSING) & ((s.door_state == OPEN) | (s.door_state == OPENING))
    if not (closed | failed).any():
        return
    times = state["door.attempts"][s.entity]
    times = np.where(failed[:, None], np.concatenate([times[:, 1:], s.at[:, None]], axis=1), times)
    times = np.where(closed[:, None], NEVER, times)
    state["door.attempts"][s.entity] = times
    known = times != NEVER
    age = s.at[:, None] - np.where(known, times, s.at[:, None])
    recent = known & (age <= s.limits.us("door_cycling.window")[:, None])
    onset = np.where(recent, times, s.at[:, None]).min(axis=1)
    enough = recent.sum(axis=1) >= s.limits.value("door_cycling.attempts")
    board.put(Slot.DOOR_CYCLING, failed & enough, closed, onset)
