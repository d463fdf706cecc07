"""The findings that are simply there or not: what begins and what ends them, one column each.

A rule fills its column of ``on`` and ``off``; what was not open and is on begins, what is open and off ends.
A row that does not know leaves both false, and nothing changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.signals import Signals
from zhiwei.clock import NEVER, to_datetime
from zhiwei.contracts import Array, Bools, Claim, Field, Ints, Out, State
from zhiwei.types import Evidence, Observation, Phase


class Slot(IntEnum):
    """The columns. Names in lower case are the rules' names, and the kinds' but for sensor faults."""

    DOOR_OPEN_MOVING = 0
    DOOR_CYCLING = 1
    DOOR_BLOCKED = 2
    OVERRUN = 3
    HIT_BOTTOM = 4
    OVERSPEED = 5
    UNINTENDED_MOVEMENT = 6
    NOT_LEVEL = 7
    RUN_TIMEOUT = 8
    STOPPED_OUTSIDE_ZONE = 9
    POWER_LOSS = 10
    EBIKE = 11
    VENDOR_CLAIM = 12
    PERSON_FAULT = 13
    LEVEL_FAULT = 14
    OFFLINE = 15

    @property
    def graded(self) -> str:
        """The name that has a severity in the policy."""
        return "sensor_fault" if self in (Slot.PERSON_FAULT, Slot.LEVEL_FAULT) else self.name.lower()

    @property
    def kind(self) -> str:
        return f"elevator.{self.graded}"

    @property
    def rule(self) -> str:
        return {Slot.PERSON_FAULT: "fault.person", Slot.LEVEL_FAULT: "fault.level"}.get(
            self, self.name.lower()
        )


FIELDS = (
    Field("board.open", "int32"),  # bits by slot
    Field("board.onset", "int64", (len(Slot),), NEVER),
)
_BITS = np.array([1 << slot for slot in Slot], np.int32)


@dataclass(frozen=True, slots=True)
class Told:
    """What a finding says of one row."""

    observations: tuple[Observation, ...]
    note: str = ""
    score: float = 1.0


Tell = Callable[[int], Told]
"""Row to what is said."""


@dataclass(slots=True)
class Board:
    """One round's columns: (n, len(Slot))."""

    on: Bools
    off: Bools
    onset: Ints
    """Used where a finding begins; the row's own time unless a rule knows better."""

    @classmethod
    def blank(cls, at: Ints) -> "Board":
        """Nothing is known."""
        shape = (len(at), len(Slot))
        return cls(np.zeros(shape, bool), np.zeros(shape, bool), np.broadcast_to(at[:, None], shape).copy())

    def put(self, slot: Slot, on: Bools, off: Bools, onset: Ints | None = None) -> None:
        """One rule's columns, (n,) each."""
        self.on[:, slot], self.off[:, slot] = on, off
        if onset is not None:
            self.onset[:, slot] = onset

    def settle(
        self, state: State, s: Signals, tell: dict[Slot, Tell], policy: ElevatorPolicy, out: Out
    ) -> Bools:
        """Begin and end findings. (n, len(Slot)) what has begun."""
        bits: Array = state["board.open"][s.entity]
        open_: Bools = bits[:, None] & _BITS != 0
        begins: Bools = self.on & ~open_
        ends = self.off & open_ & ~self.on
        changed = begins | ends
        if not changed.any():
            return begins
        entity = s.entity
        state["board.onset"][entity] = np.where(begins, self.onset, state["board.onset"][entity])
        state["board.open"][entity] = bits ^ (changed * _BITS).sum(axis=1, dtype=np.int32)
        for row, column in zip(*(place.tolist() for place in np.nonzero(changed)), strict=True):
            slot, e = Slot(column), int(entity[row])
            phase = Phase.RAISED if begins[row, column] else Phase.CLEARED
            onset = int(state["board.onset"][e, slot])
            out.claims.append(claim(policy, slot, e, phase, int(s.at[row]), onset, tell[slot](row)))
        return begins


def is_open(state: State, entity: Ints, slot: Slot) -> Bools:
    """(n,) whether the finding is open."""
    return np.asarray(state["board.open"][entity] & np.int32(1 << slot) != 0)


def mark(state: State, entity: Ints, slot: Slot, open_: npt.ArrayLike) -> None:
    """Open or end a finding whose claim is made elsewhere (deadlines)."""
    bits = state["board.open"][entity]
    bit = np.int32(1 << slot)
    state["board.open"][entity] = np.where(open_, bits | bit, bits & ~bit)


def claim(
    policy: ElevatorPolicy, slot: Slot, entity: int, phase: Phase, at: int, onset: int, told: Told
) -> Claim:
    """One claim of a simple finding."""
    onset = min(onset, at)  # the clocks of devices, and ours, differ a little
    if slot is Slot.VENDOR_CLAIM and phase is Phase.RAISED:
        phase = Phase.SUSPECTED  # a source's word alone: for a person to look at, never a call
    return Claim(
        entity=entity,
        kind=slot.kind,
        rule=slot.rule,
        phase=phase,
        at=at,
        onset=onset,
        score=told.score,
        severity=policy.severity[slot.graded],
        evidence=Evidence(
            observations=told.observations, start=to_datetime(onset), end=to_datetime(at), note=told.note
        ),
    )
