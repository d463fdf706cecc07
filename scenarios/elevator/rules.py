"""The elevator rules, composed: signals, sensors, timers, entrapment, then the simple findings.

Pure steps over arrays. What a rule needs to remember is in its ``fields``; the engine owns the arrays.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from scenarios.elevator import (
    board,
    camera,
    doors,
    faults,
    holds,
    motion,
    power,
    sensors,
    signals,
    silence,
    standing,
)
from scenarios.elevator.board import Board, Slot
from scenarios.elevator.entrapment import CONTACT, Entrapment
from scenarios.elevator.holds import Held, Hold
from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.profiles import Profiles
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import Intake, Signals
from scenarios.elevator.trilean import NO, Trileans
from zhiwei.contracts import Field, Ints, Out, Round, Standing, State

_CONTACT, _OFFLINE, _EBIKE = range(3)


class ElevatorRules:
    """One policy over a fixed list of channels."""

    timers: tuple[str, ...] = (CONTACT, silence.OFFLINE, camera.SEEN)
    fields: tuple[Field, ...] = (
        *signals.FIELDS,
        *sensors.FIELDS,
        *holds.FIELDS,
        *Entrapment.fields,
        *board.FIELDS,
        *doors.FIELDS,
        *motion.FIELDS,
        *faults.FIELDS,
        *silence.FIELDS,
    )

    def __init__(
        self,
        policy: ElevatorPolicy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        """Never raises for what the registry says: an attribute that cannot be read is not known."""
        self._policy, self._channels = policy, channels
        self._profiles = Profiles(policy, attributes, entities)
        self._intake = Intake(policy, channels, self._profiles)
        self._entrapment = Entrapment(policy, _CONTACT)

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Rows of a round. Sensors come first: one that is found out has no say in the row that shows it."""
        seen, sensed, held = self._read(state, rows)
        e = rows.entity
        self._entrapment.step(state, seen, sensed, held, out)
        silence.step(self._policy, state, seen, _OFFLINE, out)
        columns = Board.blank(rows.at)
        tell = {
            **doors.step(state, seen, held, columns),
            **motion.step(state, seen, held, columns),
            **power.step(seen, columns),
            **camera.step(state, seen, columns, _EBIKE),
            **faults.step(seen, sensed, self._entrapment.open(state, e), columns),
        }
        begun = columns.settle(state, seen, tell, self._policy, out)
        faults.count(state, seen, sensed, begun[:, Slot.VENDOR_CLAIM])

    def _read(self, state: State, rows: Round) -> tuple[Signals, Sensed, Held]:
        """What the rows say, what the sensors are worth, and how long each predicate has held."""
        seen = self._intake.read(state, rows, self._profiles.limits(_numbers(state, rows.entity)))
        sensed = sensors.step(state, seen, self._entrapment.open(state, rows.entity))
        held = holds.step(
            state,
            rows.entity,
            rows.at,
            self._predicates(state, seen, sensed),
            another_run=seen.another_run,
            turned=seen.turned,
            gap_us=seen.gap_us,
        )
        return seen, sensed, held

    def _predicates(self, state: State, seen: Signals, sensed: Sensed) -> Trileans:
        """(n, len(Hold)) trileans."""
        now = np.full((len(seen), len(Hold)), NO, np.int8)
        self._entrapment.predicates(now, seen, sensed)
        doors.predicates(now, seen, sensed)
        motion.predicates(state, now, seen, sensed)
        return now

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """A deadline has passed."""
        limits = self._profiles.limits(_numbers(state, entity))
        if timer == CONTACT:
            self._entrapment.fire(state, entity, at, limits, out)
        elif timer == silence.OFFLINE:
            silence.fire(self._policy, state, entity, at, limits, out)
        elif timer == camera.SEEN:
            camera.fire(self._policy, state, entity, at, out)

    def standing(self, state: State, entity: int, at: int, now: int) -> tuple[Standing, ...]:  # noqa: ARG002
        """The terms of an entrapment, and of silence. Timers are advanced by rows alone, so the time of the
        last row counts, and not ``at``."""
        row = standing.blank(state, entity, len(self._channels))
        if row is None:
            return ()
        state = standing.copied(state)
        seen, sensed, held = self._read(state, row)
        terms = standing.Terms(state, entity, seen, sensed, held, now)
        return (*terms.all(), *standing.offline(state, entity, _OFFLINE, seen.limits, now))


def _numbers(state: State, entity: Ints) -> Ints:
    """The number of each entity among those that the rules were made for.

    The engine hands over copies of the rows it touches and says in ``number`` whose they are; without it
    the state is that of all entities, in their order.
    """
    number = state.arrays.get("number")
    return entity if number is None else np.asarray(number[entity], np.int64)
