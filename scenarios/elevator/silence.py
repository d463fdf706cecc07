"""A lift that is no longer heard of: silence on engine time, which stands still while our own intake is down.

Lifts report every second while they run and every minute while they stand, so the interval is the longest
gap of late, not the usual one: it rises at once and falls slowly. A gap in which the lift counted as offline
teaches nothing.
"""

import numpy as np

from scenarios.elevator.board import Slot, Told, claim, is_open, mark
from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.profiles import Limits
from scenarios.elevator.signals import Signals
from scenarios.elevator.words import limited, seconds
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Ints, Out, State
from zhiwei.types import Phase

OFFLINE = "silence.offline"
"""Timer, engine time."""

FIELDS = (
    Field("silence.arrived", "int64", (), NEVER),
    Field("silence.interval", "float64"),  # µs
)
_FALL = 1 / 256
"""Share of the difference by which the interval follows a shorter gap: forgets over some hundred rows."""


def step(policy: ElevatorPolicy, state: State, s: Signals, timer: int, out: Out) -> None:
    """A row ends the silence and moves the deadline. timer: place of OFFLINE among the timers."""
    e = s.entity
    before, interval = state["silence.arrived"][e], state["silence.interval"][e]
    first = before == NEVER
    gap = np.maximum(s.arrived - np.where(first, s.arrived, before), 0).astype(np.float64)
    offline = is_open(state, e, Slot.OFFLINE)
    slower = interval + _FALL * (gap - interval)
    interval = np.where(first | offline, interval, np.where(gap > interval, gap, slower))
    declared = s.limits.attribute("report_interval")
    interval = np.where(np.isnan(declared), interval, declared * MICROS)
    wait = np.maximum(interval * s.limits.value("offline.intervals"), s.limits.us("offline.at_least"))
    newest = np.where(first, s.arrived, np.maximum(before, s.arrived))
    state["silence.arrived"][e] = newest
    state["silence.interval"][e] = interval
    state["timer"][e, timer] = newest + np.minimum(wait, 1e15).astype(np.int64)
    if not offline.any():
        return
    mark(state, e, Slot.OFFLINE, False)
    for row in np.flatnonzero(offline).tolist():
        entity, arrived = int(e[row]), int(s.arrived[row])
        onset = int(state["board.onset"][entity, Slot.OFFLINE])
        told = _told(s.limits, row, max(arrived, onset) - onset)
        out.claims.append(
            claim(policy, Slot.OFFLINE, entity, Phase.CLEARED, max(arrived, onset), onset, told)
        )


def fire(policy: ElevatorPolicy, state: State, entity: Ints, at: Ints, limits: Limits, out: Out) -> None:
    """Nothing has come until the deadline. Arguments are (n,)."""
    onset = state["silence.arrived"][entity]
    state["board.onset"][entity, Slot.OFFLINE] = onset
    mark(state, entity, Slot.OFFLINE, True)
    for row, e in enumerate(entity.tolist()):
        told = _told(limits, row, int(at[row] - onset[row]))
        out.claims.append(claim(policy, Slot.OFFLINE, e, Phase.RAISED, int(at[row]), int(onset[row]), told))


def _told(limits: Limits, row: int, silent: int) -> Told:
    said = limits.said("offline.intervals", row)
    return Told((limited("silence", seconds(silent), "≤", said),))
