"""What the car's camera recognises: an electric bicycle or scooter in the car (电动车入梯)."""

import numpy as np

from scenarios.elevator.board import Board, Slot, Tell, Told, claim, is_open, mark
from scenarios.elevator.codes import Fault
from scenarios.elevator.motion import code_list
from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.signals import Signals
from scenarios.elevator.words import limited, number, unit_of
from zhiwei.clock import NEVER
from zhiwei.contracts import Array, Ints, Out, State
from zhiwei.types import Observation, Phase

SEEN = "camera.ebike"
"""Timer, event time: no further picture has shown it."""


def step(state: State, s: Signals, board: Board, timer: int) -> dict[Slot, Tell]:
    """Judge the rows. timer: place of SEEN among the timers.

    A picture below the confidence says that it is gone; a camera that says nothing more is believed for as
    long as the policy allows.
    """
    least = s.limits.value("ebike.confidence")
    on = (s.ebike >= least) | s.says(Fault.EBIKE)
    off = s.ebike < least
    if (on | off).any():
        deadline = np.where(on, s.at + s.limits.us("ebike.ends"), NEVER)
        before = state["timer"][s.entity, timer]
        state["timer"][s.entity, timer] = np.where(on | off, deadline, before)
    board.put(Slot.EBIKE, on, off)

    def told(row: int) -> Told:
        said = s.limits.said("ebike.confidence", row)
        confidence = number(s.ebike[row])
        seen = []
        if confidence is not None:
            seen.append(limited("ebike", confidence, "<", said))
        for name, column in (("ebike_class", s.ebike_class), ("ebike_image", s.ebike_image)):
            word = _word(column, row)
            if word is not None:
                seen.append(Observation(name=name, observed=word, unit=unit_of(name)))
        score = said.canonical if confidence is None else min(max(confidence, 0.0), 1.0)
        return Told((*seen, *code_list(s, row)), score=score)

    return {Slot.EBIKE: told}


def fire(policy: ElevatorPolicy, state: State, entity: Ints, at: Ints, out: Out) -> None:
    """Nothing more has been seen. Arguments are (n,)."""
    open_ = is_open(state, entity, Slot.EBIKE)
    mark(state, entity, Slot.EBIKE, np.zeros(len(entity), bool))
    for row in np.flatnonzero(open_).tolist():
        e = int(entity[row])
        onset = int(state["board.onset"][e, Slot.EBIKE])
        out.claims.append(
            claim(policy, Slot.EBIKE, e, Phase.CLEARED, int(at[row]), onset, Told((), "timeout"))
        )


def _word(column: Array | None, row: int) -> str | None:
    return None if column is None else column[row]
