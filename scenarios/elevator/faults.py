"""Sensors that are found out, and what a source claims against its own sensors."""

import numpy as np

from scenarios.elevator.board import Board, Slot, Tell, Told
from scenarios.elevator.codes import SHUT_IN_BITS, Fault
from scenarios.elevator.motion import code_list
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import Signals
from scenarios.elevator.trilean import NO, YES, shown
from scenarios.elevator.words import limited, moment, seconds
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, State
from zhiwei.types import Observation

FIELDS = (Field("count.contradictions", "int32"),)


def step(s: Signals, sensed: Sensed, entrapped: Bools, board: Board) -> dict[Slot, Tell]:
    """Judge the rows. entrapped: (n,) an entrapment is open after this row."""
    stuck, level = sensed.person_stuck, sensed.level_fault
    board.put(Slot.PERSON_FAULT, stuck, ~stuck, sensed.stuck_since)
    board.put(Slot.LEVEL_FAULT, level, ~level)
    claimed = (s.codes & SHUT_IN_BITS != 0) & ~s.inspected
    joined = entrapped & (s.known_codes & SHUT_IN_BITS != 0)
    gone = s.codes_sent & (s.codes & SHUT_IN_BITS == 0)
    board.put(Slot.VENDOR_CLAIM, claimed & ~entrapped, gone | joined)

    def told_person(row: int) -> Told:
        constant, since = s.limits.said("person_fault.constant", row), sensed.stuck_since[row]
        lasted = 0.0 if since == NEVER else seconds(s.at[row] - since)
        return Told(
            (
                Observation(name="person", observed=shown(s.person[row])),
                limited("constant", lasted, "≤", constant),
                limited("trips", float(sensed.trips[row]), "<", s.limits.said("person_fault.trips", row)),
            ),
            "stuck",
        )

    def told_level(row: int) -> Told:
        stops, out = int(sensed.stops[row]), int(sensed.stops_out[row])
        share = round(100 * out / stops, 1) if stops else 0.0
        return Told(
            (
                Observation(name="in_door_zone", observed=shown(s.zone[row])),
                limited("stops_out_of_zone", share, "≤", s.limits.said("level_fault.share", row)),
                Observation(name="stops", observed=float(stops)),
            ),
            "misaligned",
        )

    def told_claim(row: int) -> Told:
        seen = tuple(
            Observation(name=name, observed=shown(value[row]))
            for name, value in (
                ("moving", s.moving),
                ("in_door_zone", s.zone),
                ("door_closed", s.door_closed),
                ("person", sensed.person),
            )
            if shown(value[row]) is not None
        )
        contradicted = _contradicted(s, sensed)[row]
        since = () if sensed.latched[row] == NEVER else (_since(int(sensed.latched[row])),)
        return Told(
            (*code_list(s, row), *seen, *since), "contradicted" if contradicted else "unconfirmed", 0.1
        )

    return {
        Slot.PERSON_FAULT: told_person,
        Slot.LEVEL_FAULT: told_level,
        Slot.VENDOR_CLAIM: told_claim,
    }


def count(state: State, s: Signals, sensed: Sensed, began: Bools) -> None:
    """Count the claims that begin against what the sensors say. began: (n,)."""
    if began.any():
        state["count.contradictions"][s.entity] += began & _contradicted(s, sensed)


def _contradicted(s: Signals, sensed: Sensed) -> Bools:
    """(n,) nobody is inside, the car runs, a door is open in the zone, or it stands elsewhere than said."""
    between = s.says(Fault.SHUT_IN_BETWEEN_FLOORS) & (sensed.zone == YES)
    at_level = s.says(Fault.SHUT_IN_AT_LEVEL) & (sensed.zone == NO)
    out = sensed.open_in_zone == YES
    return np.asarray((sensed.person == NO) | (s.moving == YES) | out | between | at_level)


def _since(latched: int) -> Observation:
    return Observation(name="person_latched_since", observed=moment(latched))
