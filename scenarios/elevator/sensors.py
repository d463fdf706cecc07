"""What the sensors are worth: a person is latched, stuck and misaligned sensors are found out.

Both faults are decided from state alone, row by row, so that the branches of an entrapment can be switched
off with the row that shows it.
"""

from dataclasses import dataclass

import numpy as np

from scenarios.elevator.signals import HAS_PERSON, Signals
from scenarios.elevator.trilean import NO, UNKNOWN, YES, Trileans, both, negated
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Ints, State

FIELDS = (
    Field("person.latched", "int64", (), NEVER),
    Field("person.constant", "int8", (), -1),
    Field("person.since", "int64", (), NEVER),
    Field("person.trips", "int32"),
    Field("level.stop", "int8"),  # of the present stop: 0 nothing known, 1 out of the zone, 2 in it
    Field("level.since", "int64", (), NEVER),
    Field("level.stops", "int32"),
    Field("level.out", "int32"),
    Field("level.fault", "bool"),
)
_UNSEEN, _OUT, _IN = 0, 1, 2


@dataclass(slots=True)
class Sensed:
    """(n,) arrays."""

    person: Trileans
    """Somebody is in the car, latched; not known where the sensor is judged stuck or says nothing."""
    latched: Ints
    """Since when; NEVER."""
    person_stuck: Bools
    stuck_since: Ints
    trips: Ints
    level_fault: Bools
    stops: Ints
    stops_out: Ints
    zone: Trileans
    """Not known where the level sensor is judged misaligned."""
    open_in_zone: Trileans
    """The way out: with a misaligned level sensor, an open door alone."""


def step(state: State, signals: Signals, frozen: Bools) -> Sensed:
    """One more row of each lift.

    frozen: (n,) an entrapment is open: a level sensor is not doubted just then.
    """
    stuck, since, trips = _person_fault(state, signals)
    level_fault, stops, out = _level_fault(state, signals, frozen)
    zone = np.where(level_fault, UNKNOWN, signals.zone)
    opened = negated(signals.door_closed)
    open_in_zone = np.where(level_fault, opened, both(zone, opened))
    person, latched = _latch(state, signals, stuck, open_in_zone)
    return Sensed(person, latched, stuck, since, trips, level_fault, stops, out, zone, open_in_zone)


def _person_fault(state: State, s: Signals) -> tuple[Bools, Ints, Ints]:
    """Constant over many trips for long: (n,) judged stuck, since when, trips meanwhile."""
    e, limits = s.entity, s.limits
    constant, since = state["person.constant"][e], state["person.since"][e]
    changed = s.person_sent & (s.person != constant)
    constant = np.where(changed, s.person, constant)
    since = np.where(changed, s.at, since)
    trips = np.where(changed, 0, state["person.trips"][e] + s.trips)
    state["person.constant"][e], state["person.since"][e] = constant, since
    state["person.trips"][e] = np.minimum(trips, 1_000_000)
    lasting = s.at - np.where(constant < 0, s.at, since) > limits.us("person_fault.constant")
    return np.asarray(lasting & (trips >= limits.value("person_fault.trips"))), since, trips


def _level_fault(state: State, s: Signals, frozen: Bools) -> tuple[Bools, Ints, Ints]:
    """Nearly all stops of a day out of the zone: (n,) judged misaligned, stops, those out of the zone."""
    e, limits = s.entity, s.limits
    stop, since = state["level.stop"][e], state["level.since"][e]
    stops, out = state["level.stops"][e], state["level.out"][e]
    leaves = (s.moving == YES) & (stop != _UNSEEN)
    over = leaves & (
        (since == NEVER) | (s.at - np.where(since == NEVER, s.at, since) > limits.us("level_fault.period"))
    )
    since = np.where(over, s.at, since)
    stops = np.where(over, 0, stops) + leaves
    out = np.where(over, 0, out) + (leaves & (stop == _OUT))
    stands = (s.moving == NO) & s.in_service
    seen = np.where(s.zone == YES, _IN, np.where(s.zone == NO, _OUT, _UNSEEN))
    stop = np.where(s.moving == YES, _UNSEEN, np.where(stands, np.maximum(stop, seen), stop))
    judged = leaves & ~frozen & (stops >= limits.value("level_fault.stops"))
    verdict = out * 100.0 > stops * limits.value("level_fault.share")
    fault = np.where(judged, verdict, state["level.fault"][e])
    state["level.stop"][e], state["level.since"][e] = stop, since
    state["level.stops"][e], state["level.out"][e] = stops, out
    state["level.fault"][e] = fault
    return fault, stops, out


def _latch(state: State, s: Signals, stuck: Bools, open_in_zone: Trileans) -> tuple[Trileans, Ints]:
    """A trapped person sits down or faints and the sensor goes quiet: no reason to forget them.

    From the first positive behind a closed door until a door opens in the zone; silence and "nobody" do
    not end it. (n,) the person term, and since when it is latched.
    """
    e = s.entity
    latched = state["person.latched"][e]
    begins = (s.person == YES) & (latched == NEVER)
    latched = np.where((open_in_zone == YES) | stuck, NEVER, np.where(begins, s.at, latched))
    state["person.latched"][e] = latched
    has = s.has & HAS_PERSON != 0
    person = np.where(latched != NEVER, YES, np.where(stuck | ~has, UNKNOWN, s.person))
    return person, latched
