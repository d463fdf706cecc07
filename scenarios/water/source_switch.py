"""The operators have said that they switch the source, and what steps is what such a switch moves.

Then the multi-parameter event is a note for the record and pages nobody. It is an event all the same as soon
as a disinfectant, turbidity or anything else contributes that the policy does not name.
"""

from collections.abc import Collection

import numpy as np

from scenarios.water.policy import SourceSwitch
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Round, State
from zhiwei.schema import quantity_of

CHANNEL = "operator_state"


class Announced:
    """State: when the operators last said so, and when each channel was last away from its usual level.

    channels: all of the policy's ``steps`` are among them.
    """

    def __init__(self, channels: tuple[str, ...], settings: SourceSwitch) -> None:
        self.severity = settings.severity
        self._steps = settings.steps
        self._allowed = frozenset((*settings.steps, *settings.may_move))
        self._states = frozenset(settings.states)
        self._announced_us = round(settings.announced.seconds * MICROS)
        self._together_us = round(settings.together.seconds * MICROS)
        self._columns = np.array([channels.index(name) for name in settings.steps], np.int64)
        self.fields: tuple[Field, ...] = (
            Field("switch.said_at", "int64", (), NEVER),
            Field("switch.moved_at", "int64", (len(settings.steps),), NEVER),
        )

    def step(self, state: State, rows: Round) -> None:
        """One more row of each entity: what the operators say, which channels have departed."""
        e, at = rows.entity, rows.at
        said = rows.text.get(CHANNEL)
        for row in () if said is None else np.flatnonzero(said != np.array(None)).tolist():
            assert said is not None
            is_switch = said[row].strip().lower() in self._states
            state["switch.said_at"][e[row]] = at[row] if is_switch else NEVER
        departed = state["signal.departed"][e[:, None], self._columns]
        for row, place in np.argwhere(departed).tolist() if departed.any() else ():
            state["switch.moved_at"][e[row], place] = at[row]

    def explains(self, state: State, entity: int, contributing: Collection[str], start: int, at: int) -> bool:
        """Whether an event with its first outlier at ``start`` is the switch and, until ``at``, no more."""
        said = int(state["switch.said_at"][entity])
        if said == NEVER or at - said > self._announced_us or not self.allows(contributing):
            return False
        moved = state["switch.moved_at"][entity]
        return all(
            name in contributing or (moved[place] != NEVER and moved[place] >= start - self._together_us)
            for place, name in enumerate(self._steps)
        )

    def allows(self, contributing: Collection[str]) -> bool:
        """Whether a switch may move all of these."""
        return self._allowed.issuperset(map(quantity_of, contributing))
