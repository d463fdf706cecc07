"""The urgent lane: the alarm button calls at once, whatever else is known of the lift.

Its finding ends when a row says that the button is released, or when no press has come for as long as the
policy allows. The same rows travel on the ordinary lane, where they move the branches of an entrapment.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.profiles import Profiles
from scenarios.elevator.words import ALARM_BUTTON
from zhiwei.clock import NEVER, to_datetime
from zhiwei.contracts import Claim, Field, Ints, Out, Round, State
from zhiwei.types import Evidence, Observation, Phase

PRESS = "alarm.press"
"""Timer, event time: no further press has come."""


class UrgentRules:
    """One finding, ``elevator.alarm_button``. State: whether it is open, and since when."""

    timers: tuple[str, ...] = (PRESS,)
    fields: tuple[Field, ...] = (Field("alarm.onset", "int64", (), NEVER),)

    def __init__(
        self,
        policy: ElevatorPolicy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        self._policy = policy
        self._profiles = Profiles(policy, attributes, entities)
        self._column = channels.index("alarm_button") if "alarm_button" in channels else None

    def step(self, state: State, rows: Round, out: Out) -> None:
        """A press raises, a release ends; a row without the channel says neither."""
        if self._column is None:
            return
        value, e = rows.values[:, self._column], rows.entity
        pressed, released = value > 0.5, value <= 0.5
        onset = state["alarm.onset"][e]
        open_ = onset != NEVER
        number = state.arrays.get("number")
        limits = self._profiles.limits(e if number is None else np.asarray(number[e], np.int64))
        deadline = rows.at + limits.us("alarm_button.ends")
        timer = state["timer"][e, 0]
        state["timer"][e, 0] = np.where(pressed, deadline, np.where(released, NEVER, timer))
        state["alarm.onset"][e] = np.where(pressed & ~open_, rows.at, np.where(released, NEVER, onset))
        for row in np.flatnonzero(pressed & ~open_).tolist():
            at = int(rows.at[row])
            out.claims.append(self._claim(int(e[row]), Phase.RAISED, at, at, "pressed"))
        for row in np.flatnonzero(released & open_).tolist():
            at = int(rows.at[row])
            since = min(int(onset[row]), at)
            out.claims.append(self._claim(int(e[row]), Phase.CLEARED, at, since, "released"))

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:  # noqa: ARG002 - one timer
        """No press for long. Arguments are (n,)."""
        onset = state["alarm.onset"][entity]
        state["alarm.onset"][entity] = NEVER
        for row in np.flatnonzero(onset != NEVER).tolist():
            since = min(int(onset[row]), int(at[row]))
            out.claims.append(self._claim(int(entity[row]), Phase.CLEARED, int(at[row]), since, "timeout"))

    def _claim(self, entity: int, phase: Phase, at: int, onset: int, note: str) -> Claim:
        seen = Observation(name="alarm_button", observed=note != "released", expected=False)
        return Claim(
            entity=entity,
            kind=ALARM_BUTTON,
            rule="alarm_button",
            phase=phase,
            at=at,
            onset=onset,
            score=1.0,
            severity=self._policy.severity["alarm_button"],
            evidence=Evidence(observations=(seen,), start=to_datetime(onset), end=to_datetime(at), note=note),
        )
