"""What a row says of a lift, with what earlier rows said where this one is of another device.

A null is a null where the source usually sends that channel in the same message. Where a lift's channels
come in several messages, a value stays known for the longest gap that counts as held.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenarios.elevator.codes import MODE_EVENTS, Fault, Reader
from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.profiles import Limits, Profiles
from scenarios.elevator.schema import DIRECTIONS, DOOR_STATES, MODES, POWERS
from scenarios.elevator.trilean import NO, UNKNOWN, YES, Trileans, of_bools, of_floats
from zhiwei.clock import NEVER
from zhiwei.contracts import Array, Bools, Field, Floats, Ints, Round, State

Small = npt.NDArray[np.int8]

NOTHING = -1
"""Of an enum: not known. Otherwise the place in its tuple of the schema."""

_BASIC = ("moving", "in_door_zone", "door_closed", "person", "mode")
MOVING, ZONE, DOOR, PERSON, MODE = range(5)
_BITS = np.array([1, 2, 4, 8, 16], np.int8)

HAS_PERSON, HAS_EVIDENCE = 1, 2
"""Bits of what a lift has ever sent."""

CLOSED, OPEN, CLOSING, OPENING = range(4)


class _Numbers(dict[str | None, int]):
    """Place of each word; a missing or an unknown one has none."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__((word, place) for place, word in enumerate(words))

    def __missing__(self, word: str | None) -> int:
        return NOTHING


_MODE_NUMBER, _DOOR_NUMBER = _Numbers(MODES), _Numbers(DOOR_STATES)
_DIRECTION_NUMBER, _POWER_NUMBER = _Numbers(DIRECTIONS), _Numbers(POWERS)
_NORMAL, _INSPECTION, _MODE_UNKNOWN = (_MODE_NUMBER[name] for name in ("normal", "inspection", "unknown"))
_OUT_OF_USE = np.array([name in ("inspection", "firefighter", "out_of_service") for name in MODES])
_EVENT_MODE = tuple((fault.bit, _MODE_NUMBER[mode]) for fault, mode in MODE_EVENTS)
_EVENT_BITS = sum(bit for bit, _ in _EVENT_MODE)

FIELDS = (
    Field("signal.at", "int64", (), NEVER),
    Field("signal.basic", "int8", (5,), NOTHING),
    Field("signal.basic_at", "int64", (5,), NEVER),
    Field("signal.together", "int8", (5,)),  # bits of the channels that came in one message with this one
    Field("signal.has", "int8"),
    Field("signal.mode_event", "int8", (), NOTHING),
    Field("signal.mode_event_at", "int64", (), NEVER),
    Field("signal.door_state", "int8", (), NOTHING),
    Field("signal.direction", "int8"),
    Field("signal.floor", "float32", (), np.nan),
    Field("signal.run_count", "float64", (), np.nan),
    Field("signal.codes", "int64"),
    Field("signal.work_order", "bool"),
    Field("count.unknown_codes", "int32"),
    Field("count.mode_disagreements", "int32"),
)


@dataclass(slots=True)
class Signals:
    """(n,) arrays. Trileans are those of ``trilean``; enums are places in the schema's tuples."""

    entity: Ints
    at: Ints
    arrived: Ints
    limits: Limits
    gap_us: Ints
    has: Small
    moving: Trileans
    moved: Trileans
    """``moving`` of the row before."""
    zone: Trileans
    door_closed: Trileans
    person: Trileans
    """As the sensor says."""
    person_sent: Bools
    """This very row carries the sensor."""
    mode: Small
    mode_unknown: Bools
    in_service: Bools
    inspected: Bools
    door_state: Small
    """Of this row."""
    door_before: Small
    another_run: Bools
    trips: Ints
    """Runs that began since the row before."""
    turned: Bools
    floor: Floats
    """The last one known."""
    speed: Floats
    alarm: Trileans
    calls: Floats
    codes: Ints
    """Mask of faults that this row's list says; 0 where it has none."""
    known_codes: Ints
    """Mask of the last list."""
    codes_sent: Bools
    up_limit: Trileans
    down_limit: Trileans
    power: Trileans
    """Whether mains are on."""
    level_offset: Floats
    ebike: Floats
    work_order: Bools
    ebike_class: Array | None
    ebike_image: Array | None
    code_lists: Array | None

    def __len__(self) -> int:
        return len(self.at)

    def says(self, fault: Fault) -> Bools:
        """This row's list has the code."""
        return np.asarray(self.codes & fault.bit != 0)

    def lacks(self, fault: Fault) -> Bools:
        """This row has a list, and the code is not in it."""
        return np.asarray(self.codes_sent & (self.codes & fault.bit == 0))


class Intake:
    """Rows to signals, over the channels at hand."""

    fields = FIELDS

    def __init__(self, policy: ElevatorPolicy, channels: tuple[str, ...], profiles: Profiles) -> None:
        self._column = {name: place for place, name in enumerate(channels)}
        self._evidence = policy.evidence
        self._reader = Reader(profiles.tables)

    def read(self, state: State, rows: Round, limits: Limits) -> Signals:
        """Take the rows into account. limits: of these rows."""
        e, at, n = rows.entity, rows.at, len(rows.at)
        state["signal.at"][e] = at
        gap = limits.us("intake.gap")
        codes, codes_sent = self._codes(state, rows, limits)
        door_state = _enum(rows.text, "door_state", _DOOR_NUMBER, n)
        alarm = of_floats(self._values(rows, "alarm_button"))
        alarm = np.where(codes & Fault.ALARM_BUTTON.bit != 0, YES, alarm)
        calls = self._values(rows, "calls")
        moved = _as_trilean(state["signal.basic"][e, MOVING])
        sent = self._basic(rows, door_state, n)
        basic = _remembered(state, e, at, sent, gap, limits.us("intake.mode_event"))
        mode = self._mode(state, e, at, basic[:, MODE], sent[:, MODE], codes, limits)
        run_count, runs_before = self._values(rows, "run_count"), state["signal.run_count"][e]
        counted = ~np.isnan(run_count) & ~np.isnan(runs_before)
        another_run = counted & (run_count != runs_before)
        moving = _as_trilean(basic[:, MOVING])
        began = (moving == YES) & (moved == NO)
        trips = np.where(
            counted, np.where(another_run, run_count - np.where(counted, runs_before, 0), 0), began
        )
        state["signal.run_count"][e] = np.where(np.isnan(run_count), runs_before, run_count)
        door_before = state["signal.door_state"][e]
        door_now = np.where(
            door_state != NOTHING, door_state, np.where(sent[:, DOOR] == 1, np.int8(CLOSED), door_before)
        )
        state["signal.door_state"][e] = door_now
        known_mode = mode != NOTHING
        return Signals(
            entity=e,
            at=at,
            arrived=rows.arrived,
            limits=limits,
            gap_us=gap,
            has=self._has(state, e, sent, alarm, calls, door_state, codes_sent),
            moving=moving,
            moved=moved,
            zone=_as_trilean(basic[:, ZONE]),
            door_closed=_as_trilean(basic[:, DOOR]),
            person=_as_trilean(basic[:, PERSON]),
            person_sent=sent[:, PERSON] != NOTHING,
            mode=mode,
            mode_unknown=~known_mode | (mode == _MODE_UNKNOWN),
            in_service=~(known_mode & _OUT_OF_USE[mode]),
            inspected=mode == _INSPECTION,
            door_state=door_state,
            door_before=door_before,
            another_run=another_run,
            trips=np.clip(trips, 0, 1e6).astype(np.int64),
            turned=self._turned(state, rows, e, n),
            floor=self._floor(state, rows, e),
            speed=self._values(rows, "speed"),
            alarm=alarm,
            calls=calls,
            codes=codes,
            known_codes=state["signal.codes"][e],
            codes_sent=codes_sent,
            up_limit=of_floats(self._values(rows, "up_limit")),
            down_limit=of_floats(self._values(rows, "down_limit")),
            power=self._power(rows, n),
            level_offset=self._values(rows, "level_offset"),
            ebike=self._values(rows, "ebike"),
            work_order=self._work_order(state, rows, e),
            ebike_class=rows.text.get("ebike_class"),
            ebike_image=rows.text.get("ebike_image"),
            code_lists=rows.text.get("codes"),
        )

    # -------------------------------------------------------------- channels

    def _values(self, rows: Round, name: str) -> Floats:
        place = self._column.get(name)
        return np.full(len(rows.at), np.nan) if place is None else rows.values[:, place]

    def _basic(self, rows: Round, door_state: Small, n: int) -> Small:
        """(n, 5) what this very row says; NOTHING where it is silent."""
        sent = np.full((n, 5), NOTHING, np.int8)
        for place, name in enumerate(_BASIC[:MODE]):
            column = self._column.get(name)
            if column is not None:
                values = rows.values[:, column]
                sent[:, place] = np.where(np.isnan(values), NOTHING, values > 0.5)
        derived = (sent[:, DOOR] == NOTHING) & (door_state != NOTHING)
        sent[:, DOOR] = np.where(derived, door_state == CLOSED, sent[:, DOOR])
        sent[:, MODE] = _enum(rows.text, "mode", _MODE_NUMBER, n)
        return sent

    def _codes(self, state: State, rows: Round, limits: Limits) -> tuple[Ints, Bools]:
        """Masks of this round's lists, and which rows have one. Keeps the last mask, counts the unknown."""
        mask: Ints = np.zeros(len(rows.at), np.int64)
        column = rows.text.get("codes")
        if column is None:
            return mask, np.zeros(len(rows.at), bool)
        sent: Bools = np.asarray(column != np.array(None), np.bool_)
        some = np.flatnonzero(sent)
        if len(some):
            e = rows.entity[some]
            mask[some], unknown = self._reader.read(limits.table(some), column[some])
            state["signal.codes"][e] = mask[some]
            state["count.unknown_codes"][e] += unknown.astype(np.int32)
        return mask, sent

    def _mode(
        self, state: State, e: Ints, at: Ints, mode: Small, sent: Small, codes: Ints, limits: Limits
    ) -> Small:
        """The mode field; where the source has none, the last of its mode events, for as long as allowed."""
        some = np.flatnonzero(codes & _EVENT_BITS)
        if len(some):
            told = np.full(len(some), NOTHING, np.int8)
            for bit, number in _EVENT_MODE:
                told[codes[some] & bit != 0] = number
            state["signal.mode_event"][e[some]] = told
            state["signal.mode_event_at"][e[some]] = at[some]
            disagree = (sent[some] != NOTHING) & (sent[some] != told)
            state["count.mode_disagreements"][e[some]] += disagree
        event, event_at = state["signal.mode_event"][e], state["signal.mode_event_at"][e]
        age = at - np.where(event == NOTHING, at, event_at)
        valid = (event != NOTHING) & (age <= limits.us("intake.mode_event"))
        return np.where((mode == NOTHING) & valid, event, mode)

    def _has(
        self,
        state: State,
        e: Ints,
        sent: Small,
        alarm: Trileans,
        calls: Floats,
        door_state: Small,
        codes_sent: Bools,
    ) -> Small:
        """What the lift has sent at any time, this row included."""
        shows = {
            "alarm_button": alarm != UNKNOWN,
            "calls": ~np.isnan(calls),
            "door_state": door_state != NOTHING,
            "codes": codes_sent,
        }
        evidence = np.zeros(len(e), bool)
        for name in self._evidence:
            evidence |= shows[name]
        person = sent[:, PERSON] != NOTHING
        has = state["signal.has"][e] | np.where(person, HAS_PERSON, 0) | np.where(evidence, HAS_EVIDENCE, 0)
        state["signal.has"][e] = has
        return np.asarray(has, np.int8)

    def _turned(self, state: State, rows: Round, e: Ints, n: int) -> Bools:
        """Whether the car goes the other way than when it last went."""
        if "direction" not in rows.text:
            return np.zeros(n, bool)
        now, before = _enum(rows.text, "direction", _DIRECTION_NUMBER, n), state["signal.direction"][e]
        state["signal.direction"][e] = np.where(now > 0, now, before)
        return np.asarray((now > 0) & (before > 0) & (now != before))

    def _floor(self, state: State, rows: Round, e: Ints) -> Floats:
        place = self._column.get("floor")
        if place is None:
            return np.full(len(e), np.nan)
        now = rows.values[:, place]
        floor = np.where(np.isnan(now), state["signal.floor"][e], now)
        state["signal.floor"][e] = floor
        return floor

    def _power(self, rows: Round, n: int) -> Trileans:
        number = _enum(rows.text, "power", _POWER_NUMBER, n)
        return of_bools(number != NOTHING, number == 0)

    def _work_order(self, state: State, rows: Round, e: Ints) -> Bools:
        """Open until a row says otherwise."""
        now = self._values(rows, "work_order")
        open_ = np.where(np.isnan(now), state["signal.work_order"][e], now > 0.5).astype(bool)
        state["signal.work_order"][e] = open_
        return open_


def _enum(text: Mapping[str, Array], name: str, numbers: _Numbers, n: int) -> Small:
    """(n,) place of each word; NOTHING for a missing or an unknown one."""
    column = text.get(name)
    if column is None:
        return np.full(n, NOTHING, np.int8)
    # A look-up per row, all of it in C; comparing the column with each word in turn costs more.
    return np.fromiter(map(numbers.__getitem__, column.tolist()), np.int8, n)


def _as_trilean(value: Small) -> Trileans:
    return np.where(value == NOTHING, UNKNOWN, np.where(value == 1, YES, NO))


def _remembered(state: State, e: Ints, at: Ints, sent: Small, gap: Ints, mode_age: Ints) -> Small:
    """(n, 5) what is known now. Learns which channels come in one message."""
    before, before_at = state["signal.basic"][e], state["signal.basic_at"][e]
    together = state["signal.together"][e]
    here = sent != NOTHING
    bits = (here * _BITS).sum(axis=1, dtype=np.int8)
    nulled = ~here & (together & bits[:, None] != 0)
    kept = ~here & ~nulled & (before != NOTHING)
    age = np.abs(at[:, None] - np.where(kept, before_at, at[:, None]))
    oldest = np.empty((len(gap), 5), np.int64)
    oldest[:, :MODE] = gap[:, None]
    oldest[:, MODE] = mode_age
    known = np.where(here, sent, np.where(kept & (age <= oldest), before, np.int8(NOTHING)))
    state["signal.basic"][e] = np.where(here, sent, np.where(nulled, np.int8(NOTHING), before))
    state["signal.basic_at"][e] = np.where(here, at[:, None], before_at)
    state["signal.together"][e] = np.where(here, together | bits[:, None], together)
    return known
