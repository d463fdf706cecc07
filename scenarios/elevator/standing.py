"""What stands between a lift and an entrapment: every term of every branch, by the rules' own functions.

A row without any value is read at the time of the lift's last row, on a copy of its state: signals, sensors
and timers then say what they said of that row, and nothing else can be told than what was decided by.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scenarios.elevator.entrapment import Branch, Entrapment
from scenarios.elevator.holds import Held, Hold
from scenarios.elevator.profiles import Limits
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import Signals
from scenarios.elevator.trilean import NO, YES, negated, shown
from scenarios.elevator.words import ENTRAPMENT, mode_name, seconds
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Array, Round, Standing, State

OFFLINE = "elevator.offline"
_ROW = 0
"""The blank row is the only one."""


def blank(state: State, entity: int, channels: int) -> Round | None:
    """A row that says nothing, at the time of the last one; None for a lift without rows."""
    at = state["signal.at"][[entity]]
    if at[0] == NEVER:
        return None
    return Round(
        entity=np.array([entity]),
        at=at,
        arrived=at,
        flags=np.zeros(1, np.uint16),
        values=np.full((1, channels), np.nan),
    )


def copied(state: State) -> State:
    """The same arrays, to be written."""
    return State({name: array.copy() for name, array in state.arrays.items()})


@dataclass(slots=True)
class Terms:
    """The terms of an entrapment, of one lift."""

    state: State
    """After the blank row."""
    entity: int
    signals: Signals
    sensed: Sensed
    held: Held
    now: int
    """Engine time, µs."""

    def all(self) -> Iterator[Standing]:
        """Branch by branch."""
        yield from self._out_of_zone(Branch.OUT_OF_ZONE, Hold.OUT_OF_ZONE)
        if self.sensed.person_stuck[_ROW]:
            yield from self._out_of_zone(Branch.PERSON_UNKNOWN, Hold.PERSON_UNKNOWN)
        yield from self._in_zone(Branch.IN_ZONE)
        yield from self._in_zone(Branch.IN_ZONE_WITHOUT_EVIDENCE)
        yield from self._button()
        yield from self._contact()

    # -------------------------------------------------------------- branches

    def _out_of_zone(self, branch: Branch, hold: Hold) -> Iterator[Standing]:
        yield from self._standing_still(branch)
        yield _trilean(branch, "in_door_zone", self.sensed.zone, needs=False)
        if branch is Branch.PERSON_UNKNOWN:
            yield _term(branch, "person_sensor_stuck", holds=True, observed=True, needs=True)
        else:
            yield self._person(branch)
        yield self._level(branch)
        yield self._lasted(branch, hold, "entrapment.out_of_zone")

    def _in_zone(self, branch: Branch) -> Iterator[Standing]:
        level_fault = bool(self.sensed.level_fault[_ROW])
        evidence = Entrapment.evidence_words(int(self.state["entrapment.evidence"][self.entity]))
        yield from self._standing_still(branch)
        yield _trilean(branch, "door_closed", self.signals.door_closed, needs=True)
        if not level_fault:
            yield _trilean(branch, "in_door_zone", self.sensed.zone, needs=True)
        yield self._person(branch)
        if branch is Branch.IN_ZONE:
            yield self._level(branch)
            yield _term(
                branch, "evidence", holds=bool(evidence), observed=evidence[0] if evidence else "none"
            )
            yield self._lasted(branch, Hold.IN_ZONE, "entrapment.in_zone")
        else:
            has = bool(Entrapment.has_evidence(self.signals, self.sensed)[_ROW])
            yield _term(branch, "evidence_channel", holds=not has, observed=has, needs=False)
            yield self._lasted(branch, Hold.IN_ZONE, "entrapment.in_zone_without_evidence")

    def _button(self) -> Iterator[Standing]:
        branch, state, e = Branch.ALARM_BUTTON, self.state, self.entity
        pressed_at = int(state["entrapment.pressed_at"][e])
        pressed = pressed_at == int(self.signals.at[_ROW])
        claimed = bool(Entrapment.open(state, self.signals.entity)[_ROW])
        used = bool(state["entrapment.press_used"][e]) and not claimed
        yield _term(
            branch,
            "alarm_button",
            holds=pressed,
            observed=pressed,
            needs=True,
            since=None if pressed_at == NEVER else pressed_at,
        )
        if pressed:
            yield _term(branch, "press_told_before", holds=not used, observed=used, needs=False)
        person = self.sensed.person[_ROW]
        yield _term(branch, "person", holds=bool(person != NO), observed=shown(person))
        opened = self.sensed.open_in_zone[_ROW]
        yield _term(branch, "open_in_zone", holds=bool(opened != YES), observed=shown(opened), needs=False)

    def _contact(self) -> Iterator[Standing]:
        branch, held = Branch.CONTACT_LOST, self.held
        evidence = self.state["entrapment.evidence"][self.signals.entity]
        watched = bool(Entrapment.under_way(held, evidence)[_ROW])
        yield _term(branch, "under_way", holds=watched, observed=watched, needs=True)
        arrived = int(self.state["silence.arrived"][self.entity])
        said = self.signals.limits.said("entrapment.contact_lost", _ROW)
        limit = int(self.signals.limits.us("entrapment.contact_lost")[_ROW])
        yield _term(
            branch,
            "silence",
            holds=self.now - arrived >= limit,
            observed=seconds(max(self.now - arrived, 0)),
            needs=said.canonical,
            sign="≥",
            unit="s",
            since=arrived,
            source=said.source,
        )

    # -------------------------------------------------------------- terms

    def _standing_still(self, branch: Branch) -> Iterator[Standing]:
        mode = mode_name(int(self.signals.mode[_ROW]))
        in_service = bool(self.signals.in_service[_ROW])
        yield _term(branch, "mode", holds=in_service, observed=mode)
        yield _trilean(branch, "moving", self.signals.moving, needs=False)

    def _person(self, branch: Branch) -> Standing:
        latched = int(self.sensed.latched[_ROW])
        name = "person_sensor_stuck" if self.sensed.person_stuck[_ROW] else "person"
        person = self.sensed.person[_ROW]
        if name != "person":
            return _term(branch, name, holds=None, observed=True, needs=False)
        return _term(
            branch,
            name,
            holds=shown(person),
            observed=shown(person),
            needs=True,
            since=None if latched == NEVER else latched,
        )

    def _level(self, branch: Branch) -> Standing:
        fault = bool(self.sensed.level_fault[_ROW])
        return _term(branch, "level_sensor_fault", holds=not fault, observed=fault, needs=False)

    def _lasted(self, branch: Branch, hold: Hold, key: str) -> Standing:
        said = self.signals.limits.said(key, _ROW)
        onset, held = int(self.held.onset[_ROW, hold]), int(self.held.us[_ROW, hold])
        return _term(
            branch,
            "held",
            holds=held >= int(self.signals.limits.us(key)[_ROW]),
            observed=seconds(held),
            needs=said.canonical,
            sign="≥",
            unit="s",
            since=None if onset == NEVER else onset,
            source=said.source,
        )


def offline(state: State, entity: int, timer: int, limits: Limits, now: int) -> Iterator[Standing]:
    """Silence of the lift against its deadline. timer: place of the deadline among the timers."""
    arrived, deadline = int(state["silence.arrived"][entity]), int(state["timer"][entity, timer])
    if deadline == NEVER:
        return  # said already, or nothing has come yet
    yield Standing(
        kind=OFFLINE,
        way="silence",
        name="silence",
        holds=now >= deadline,
        observed=round((now - arrived) / MICROS, 3),
        needs=round((deadline - arrived) / MICROS, 3),
        sign="≥",
        unit="s",
        since=arrived,
        source=limits.said("offline.intervals", _ROW).source,
    )


def _trilean(branch: Branch, name: str, value: Array, *, needs: bool) -> Standing:
    wanted = value[_ROW] if needs else negated(value)[_ROW]
    return _term(branch, name, holds=shown(wanted), observed=shown(value[_ROW]), needs=needs)


def _term(
    branch: Branch,
    name: str,
    *,
    holds: bool | None,
    observed: float | bool | str | None = None,
    needs: float | bool | str | None = None,
    sign: str = "",
    unit: str = "",
    since: int | None = None,
    source: str = "",
) -> Standing:
    return Standing(
        kind=ENTRAPMENT,
        way=str(branch),
        name=name,
        holds=holds,
        observed=observed,
        needs=needs,
        sign="≥" if sign else "",
        unit=unit,
        since=since,
        source=source,
    )
