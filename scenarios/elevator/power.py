"""Mains: a lift without them, also when somebody is shut in; fusion joins the two."""

import numpy as np

from scenarios.elevator.board import Board, Slot, Tell, Told
from scenarios.elevator.codes import Fault
from scenarios.elevator.motion import code_list
from scenarios.elevator.signals import Signals
from scenarios.elevator.trilean import NO, UNKNOWN, YES
from zhiwei.types import Observation


def step(s: Signals, board: Board) -> dict[Slot, Tell]:
    """Judge the rows. The power channel goes before a code that says "main power off"."""
    silent = s.power == UNKNOWN
    on = (s.power == NO) | (silent & s.says(Fault.POWER_OFF))
    board.put(Slot.POWER_LOSS, on, np.asarray((s.power == YES) | (silent & s.lacks(Fault.POWER_OFF))))

    def told(row: int) -> Told:
        known = s.power[row] != UNKNOWN
        seen = Observation(name="mains", observed=bool(s.power[row] == YES), expected=True)
        return Told(((seen,) if known else ()) + code_list(s, row))

    return {Slot.POWER_LOSS: told}
