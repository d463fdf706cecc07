"""Entrapment (困人): one rule, so that one finding lives from a suspicion to its end, whatever the branch.

A out of the zone, B in the zone with evidence, B' without, C the alarm button, D contact lost. See the README
for the predicates. Timers run on event time and are advanced by rows alone; only D runs on engine time.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from scenarios.elevator.codes import SHUT_IN_BITS, Fault
from scenarios.elevator.holds import FIELDS as HOLD_FIELDS
from scenarios.elevator.holds import Held, Hold
from scenarios.elevator.policy import ElevatorPolicy
from scenarios.elevator.profiles import Limits
from scenarios.elevator.sensors import Sensed
from scenarios.elevator.signals import CLOSED, CLOSING, HAS_EVIDENCE, OPENING, Signals
from scenarios.elevator.trilean import NO, YES, both, negated, of_bools, shown
from scenarios.elevator.words import ENTRAPMENT, limited, mode_name, moment, seconds
from zhiwei.clock import NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Floats, Ints, Out, State
from zhiwei.types import Evidence, Observation, Phase, Severity

CONTACT = "silence.contact"
"""Timer, engine time: nothing has come since a lift with somebody in trouble was last heard of."""

RULE = "entrapment"


class Branch(StrEnum):
    """Why it is claimed. Stable words."""

    OUT_OF_ZONE = "out_of_zone"
    IN_ZONE = "in_zone"
    IN_ZONE_WITHOUT_EVIDENCE = "in_zone_without_evidence"
    ALARM_BUTTON = "alarm_button"
    CONTACT_LOST = "contact_lost"
    PERSON_UNKNOWN = "person_unknown"


_NONE, _SUSPECTED, _RAISED = 0, 1, 2
_PRESSED, _CALL, _FAILED_OPENING = 1, 2, 4
_EVIDENCE_WORDS = ((_PRESSED, "alarm_button"), (_CALL, "unserved_call"), (_FAILED_OPENING, "failed_opening"))
_SHARE = 0.5
"""Of ``out.scores`` that a timer on its way can reach before anything is claimed."""


@dataclass(slots=True)
class _Verdict:
    """(n,) what the row says, before it is compared with what is claimed already."""

    out_of_zone: Bools
    in_zone: Bools
    unknown_person: Bools
    without_evidence: Bools
    pressed: Bools
    free: Bools


class Entrapment:
    """State: the phase of the finding, its onset, and what its branches need beside their timers."""

    fields = (
        Field("entrapment.phase", "int8"),
        Field("entrapment.onset", "int64", (), NEVER),
        Field("entrapment.score", "float64"),
        Field("entrapment.evidence", "int8"),  # bits, of the present stop in the zone
        Field("entrapment.pressed_at", "int64", (), NEVER),
        Field("entrapment.press_used", "bool"),
        Field("entrapment.floor", "float32", (), np.nan),  # where the finding began
        Field("entrapment.moved", "bool"),  # it has run normally since
        Field("entrapment.freed_at", "int64", (), NEVER),
        Field("entrapment.mode_unknown", "bool"),
        Field("entrapment.work_order", "bool"),
    )

    def __init__(self, policy: ElevatorPolicy, timer: int) -> None:
        """timer: place of CONTACT among the timers."""
        self._policy, self._timer = policy, timer

    @staticmethod
    def open(state: State, entity: Ints) -> Bools:
        """(n,) whether a finding is suspected or raised."""
        return np.asarray(state["entrapment.phase"][entity] != _NONE)

    @staticmethod
    def has_evidence(s: Signals, sensed: Sensed) -> Bools:
        """(n,) whether the lift could show that somebody asks in vain."""
        return np.asarray((s.has & HAS_EVIDENCE != 0) & ~sensed.level_fault)

    @staticmethod
    def evidence_words(bits: int) -> tuple[str, ...]:
        """What was seen in the present stop. Stable words."""
        return tuple(word for bit, word in _EVIDENCE_WORDS if bits & bit)

    @staticmethod
    def under_way(held: Held, evidence: npt.NDArray[np.int8]) -> Bools:
        """(n,) whether branch A or B has begun: what branch D watches over."""
        return np.asarray(held.running(Hold.OUT_OF_ZONE) | (held.running(Hold.IN_ZONE) & (evidence != 0)))

    @staticmethod
    def predicates(now: npt.NDArray[np.int8], s: Signals, sensed: Sensed) -> None:
        """Fill the columns of ``now`` (n, len(Hold)) that belong here."""
        service = of_bools(np.ones(len(s), bool), s.in_service)
        standing = both(service, negated(s.moving))
        outside = both(standing, negated(sensed.zone))
        closed = both(standing, s.door_closed)
        person = sensed.person
        # A misaligned level sensor switches branch A off and leaves branch B' with the door alone.
        now[:, Hold.OUT_OF_ZONE] = np.where(sensed.level_fault, NO, both(outside, person))
        now[:, Hold.PERSON_UNKNOWN] = np.where(sensed.person_stuck & ~sensed.level_fault, outside, NO)
        now[:, Hold.IN_ZONE] = both(np.where(sensed.level_fault, closed, both(closed, sensed.zone)), person)
        now[:, Hold.FREE] = sensed.open_in_zone

    # -------------------------------------------------------------- rows

    def step(self, state: State, s: Signals, sensed: Sensed, held: Held, out: Out) -> None:
        """Judge the rows; gives ``out.scores``."""
        e = s.entity
        phase = state["entrapment.phase"][e]
        evidence = self._evidence(state, s, held)
        self._follow_release(state, s, sensed, held, phase)
        verdict = self._verdict(state, s, sensed, held, evidence)
        raised = (verdict.out_of_zone | verdict.in_zone) & (phase != _RAISED)
        suspected = (
            (verdict.unknown_person | verdict.without_evidence | verdict.pressed) & (phase == _NONE) & ~raised
        )
        cleared = verdict.free & (phase != _NONE) & ~raised
        state["entrapment.press_used"][e] |= verdict.pressed
        for row in np.flatnonzero(raised | suspected | cleared).tolist():
            if cleared[row]:
                out.claims.append(self._cleared(state, s, sensed, held, row))
                continue
            branch = _branch(verdict, row)
            out.claims.append(
                self._opened(
                    state, s, sensed, held, row, branch, int(evidence[row]), first=phase[row] == _NONE
                )
            )
        phase = np.where(raised, _RAISED, np.where(suspected, _SUSPECTED, np.where(cleared, _NONE, phase)))
        state["entrapment.phase"][e] = phase
        self._watch_contact(state, s, held, phase, evidence)
        out.scores = self._scores(state, s, held, phase)

    def _evidence(self, state: State, s: Signals, held: Held) -> npt.NDArray[np.int8]:
        """(n,) bits of what was seen in the present stop: a press, an unserved call, a failed opening."""
        e = s.entity
        begun = held.running(Hold.IN_ZONE)
        kept = np.where(begun & ~held.fresh[:, Hold.IN_ZONE], state["entrapment.evidence"][e], 0)
        kept = np.where(np.isnan(s.calls), kept, kept & ~np.int8(_CALL))
        failed = (s.door_before == OPENING) & ((s.door_state == CLOSED) | (s.door_state == CLOSING))
        failed |= s.says(Fault.DOOR_OPENING)
        kept = kept | np.where(s.alarm == YES, _PRESSED, 0) | np.where(s.calls > 0, _CALL, 0)
        kept = np.where(begun, kept | np.where(failed, _FAILED_OPENING, 0), 0).astype(np.int8)
        state["entrapment.evidence"][e] = kept
        return np.asarray(kept, np.int8)

    def _verdict(
        self, state: State, s: Signals, sensed: Sensed, held: Held, evidence: npt.NDArray[np.int8]
    ) -> _Verdict:
        e, us = s.entity, s.limits.us
        press, used = self._press(state, s)
        freed_at = state["entrapment.freed_at"][e]
        freed = freed_at != NEVER
        let_out = freed & (s.at - np.where(freed, freed_at, s.at) >= us("entrapment.clear"))
        return _Verdict(
            out_of_zone=held.reached(Hold.OUT_OF_ZONE, us("entrapment.out_of_zone")),
            in_zone=held.reached(Hold.IN_ZONE, us("entrapment.in_zone"))
            & (evidence != 0)
            & ~sensed.level_fault,
            unknown_person=held.reached(Hold.PERSON_UNKNOWN, us("entrapment.out_of_zone")),
            without_evidence=held.reached(Hold.IN_ZONE, us("entrapment.in_zone_without_evidence"))
            & ~self.has_evidence(s, sensed),
            # An unknown door or zone does not excuse: only a door that is known to be open in the zone does.
            pressed=press & ~used & (sensed.person != NO) & (sensed.open_in_zone != YES),
            free=held.reached(Hold.FREE, us("entrapment.clear")) | let_out,
        )

    @staticmethod
    def _press(state: State, s: Signals) -> tuple[Bools, Bools]:
        """(n,) whether the button is pressed, and whether this press has led to a claim already: a button
        that sticks calls once. Many sources never say that it is released, so a pause ends a press too."""
        e = s.entity
        press, pressed_at = s.alarm == YES, state["entrapment.pressed_at"][e]
        known = pressed_at != NEVER
        pause = s.at - np.where(known, pressed_at, s.at) > s.limits.us("entrapment.press")
        used = state["entrapment.press_used"][e] & (s.alarm != NO) & ~(press & pause)
        state["entrapment.press_used"][e] = used
        state["entrapment.pressed_at"][e] = np.where(press, s.at, pressed_at)
        return press, used

    @staticmethod
    def _follow_release(
        state: State, s: Signals, sensed: Sensed, held: Held, phase: npt.NDArray[np.int8]
    ) -> None:
        """The car runs normally to another landing and its door opens there: remembered, since the door
        may close again before the hold is over. An inspection moves the car, but lets nobody out."""
        e = s.entity
        open_ = phase != _NONE
        if not open_.any():
            return
        moved = open_ & (state["entrapment.moved"][e] | ((s.moving == YES) & s.in_service))
        elsewhere = moved & (np.abs(s.floor - state["entrapment.floor"][e]) >= 1)
        freed_at = state["entrapment.freed_at"][e]
        arrives = elsewhere & (sensed.open_in_zone == YES) & (freed_at == NEVER)
        freed_at = np.where(arrives, s.at, freed_at)
        stuck_again = held.now[:, Hold.OUT_OF_ZONE] == YES
        state["entrapment.moved"][e] = moved
        state["entrapment.freed_at"][e] = np.where(open_ & ~stuck_again, freed_at, NEVER)

    def _watch_contact(
        self, state: State, s: Signals, held: Held, phase: Ints, evidence: npt.NDArray[np.int8]
    ) -> None:
        """Set the deadline of branch D while A or B is under way and nothing is claimed."""
        watched = (phase == _NONE) & self.under_way(held, evidence)
        deadline = s.arrived + s.limits.us("entrapment.contact_lost")
        state["timer"][s.entity, self._timer] = np.where(watched, deadline, NEVER)
        # What fire() tells, since it sees no row.
        state["entrapment.mode_unknown"][s.entity] = s.mode_unknown
        state["entrapment.work_order"][s.entity] = s.work_order

    def _scores(self, state: State, s: Signals, held: Held, phase: Ints) -> Floats:
        """(n,) of the finding that is open; else how far a timer is; NaN where no predicate is known."""
        us = s.limits.us
        way = np.maximum(
            held.us[:, Hold.OUT_OF_ZONE] / us("entrapment.out_of_zone"),
            held.us[:, Hold.IN_ZONE] / us("entrapment.in_zone_without_evidence"),
        )
        score = _SHARE * np.minimum(way, 1.0)
        known = (held.now[:, [Hold.OUT_OF_ZONE, Hold.IN_ZONE]] != 1).any(axis=1)
        score = np.where(known | (way > 0), score, np.nan)
        return np.where(phase == _NONE, score, state["entrapment.score"][s.entity])

    # -------------------------------------------------------------- deadline

    def fire(self, state: State, entity: Ints, at: Ints, limits: Limits, out: Out) -> None:
        """Branch D: silence while A or B was under way. Arguments are (n,)."""
        onsets = state[HOLD_FIELDS[2].name][entity]
        for row, e in enumerate(entity.tolist()):
            hold = Hold.OUT_OF_ZONE if onsets[row, Hold.OUT_OF_ZONE] != NEVER else Hold.IN_ZONE
            onset = int(onsets[row, hold])
            if onset == NEVER or state["entrapment.phase"][e] != _NONE:
                continue
            reasons = ["contact_lost_with_person"]
            score = self._policy.value("score.contact_lost")
            score = self._lessened(
                score,
                bool(state["entrapment.mode_unknown"][e]),
                bool(state["entrapment.work_order"][e]),
                reasons,
            )
            said = limits.said("entrapment.contact_lost", row)
            held = state[HOLD_FIELDS[0].name][e, hold]
            observations = (
                *_reasons(Branch.CONTACT_LOST, reasons),
                limited("silence", said.canonical, ">", said),
                Observation(name="held", observed=seconds(held), unit="s"),
                *_latched(int(state["person.latched"][e])),
            )
            self._remember(state, e, onset, score, float(state["signal.floor"][e]), first=True)
            state["entrapment.phase"][e] = _SUSPECTED
            out.claims.append(
                self._claim(e, Phase.SUSPECTED, int(at[row]), onset, score, observations, reasons[0])
            )

    # -------------------------------------------------------------- claims

    def _opened(
        self,
        state: State,
        s: Signals,
        sensed: Sensed,
        held: Held,
        row: int,
        branch: Branch,
        evidence: int,
        *,
        first: bool,
    ) -> Claim:
        e, at = int(s.entity[row]), int(s.at[row])
        certain = branch in (Branch.OUT_OF_ZONE, Branch.IN_ZONE)
        hold = _HOLD[branch]
        onset = at if hold is None else int(held.onset[row, hold])
        score = s.limits.said(f"score.{branch}", row).canonical
        reasons = ["person_unknown"] if sensed.person[row] != YES else []
        score = self._lessened(score, bool(s.mode_unknown[row]), bool(s.work_order[row]), reasons)
        if s.known_codes[row] & SHUT_IN_BITS:
            score = min(score + s.limits.said("score.vendor_agrees", row).canonical, 1.0)
        observations = [
            *_reasons(branch, reasons),
            *_seen(s, sensed, row),
            *_latched(int(sensed.latched[row])),
        ]
        if hold is not None:
            said = s.limits.said(_LIMIT[branch], row)
            observations.append(limited("held", seconds(held.us[row, hold]), "≥", said))
        observations += [
            Observation(name="evidence", observed=word) for word in self.evidence_words(evidence)
        ]
        if s.known_codes[row] & SHUT_IN_BITS:
            observations.append(Observation(name="vendor_claim", observed="entrapment"))
        self._remember(state, e, onset, score, float(s.floor[row]), first=first)
        return self._claim(
            e,
            Phase.RAISED if certain else Phase.SUSPECTED,
            at,
            onset,
            score,
            tuple(observations),
            ",".join(reasons) or str(branch),
        )

    def _lessened(self, score: float, mode_unknown: bool, work_order: bool, reasons: list[str]) -> float:
        """Doubts lower the score and are named."""
        if mode_unknown:
            reasons.append("mode_unknown")
            score *= self._policy.value("score.mode_unknown_factor")
        if work_order:
            reasons.append("work_order_open")
            score *= self._policy.value("score.work_order_factor")
        return score

    @staticmethod
    def _remember(state: State, e: int, onset: int, score: float, floor: float, *, first: bool) -> None:
        state["entrapment.onset"][e], state["entrapment.score"][e] = onset, score
        if first:
            state["entrapment.floor"][e] = floor
            state["entrapment.moved"][e] = False
            state["entrapment.freed_at"][e] = NEVER

    def _cleared(self, state: State, s: Signals, sensed: Sensed, held: Held, row: int) -> Claim:
        e = int(s.entity[row])
        said = s.limits.said("entrapment.clear", row)
        opened = held.reached(Hold.FREE, s.limits.us("entrapment.clear"))[row]
        since = held.onset[row, Hold.FREE] if opened else state["entrapment.freed_at"][e]
        state["entrapment.moved"][e], state["entrapment.freed_at"][e] = False, NEVER
        word = "door_open_in_zone" if opened else "moved_to_another_landing"
        observations = (*_seen(s, sensed, row), limited(word, seconds(s.at[row] - since), "≥", said))
        return self._claim(
            e,
            Phase.CLEARED,
            int(s.at[row]),
            int(state["entrapment.onset"][e]),
            float(state["entrapment.score"][e]),
            observations,
            word,
        )

    def _claim(
        self,
        entity: int,
        phase: Phase,
        at: int,
        onset: int,
        score: float,
        observations: tuple[Observation, ...],
        note: str,
    ) -> Claim:
        doubtful = phase is Phase.SUSPECTED
        onset = min(onset, at)  # the clocks of devices, and ours, differ a little
        severity: Severity = self._policy.severity["entrapment_suspected" if doubtful else "entrapment"]
        return Claim(
            entity=entity,
            kind=ENTRAPMENT,
            rule=RULE,
            phase=phase,
            at=at,
            onset=onset,
            score=score,
            severity=severity,
            evidence=Evidence(
                observations=observations,
                start=to_datetime(onset),
                end=to_datetime(at),
                note=note,
            ),
        )


_HOLD: dict[Branch, Hold | None] = {
    Branch.OUT_OF_ZONE: Hold.OUT_OF_ZONE,
    Branch.IN_ZONE: Hold.IN_ZONE,
    Branch.IN_ZONE_WITHOUT_EVIDENCE: Hold.IN_ZONE,
    Branch.PERSON_UNKNOWN: Hold.PERSON_UNKNOWN,
    Branch.ALARM_BUTTON: None,
}
_LIMIT: dict[Branch, str] = {
    Branch.OUT_OF_ZONE: "entrapment.out_of_zone",
    Branch.IN_ZONE: "entrapment.in_zone",
    Branch.IN_ZONE_WITHOUT_EVIDENCE: "entrapment.in_zone_without_evidence",
    Branch.PERSON_UNKNOWN: "entrapment.out_of_zone",
}


def _branch(verdict: _Verdict, row: int) -> Branch:
    """The strongest of those that speak."""
    if verdict.out_of_zone[row]:
        return Branch.OUT_OF_ZONE
    if verdict.in_zone[row]:
        return Branch.IN_ZONE
    if verdict.pressed[row]:
        return Branch.ALARM_BUTTON
    return Branch.PERSON_UNKNOWN if verdict.unknown_person[row] else Branch.IN_ZONE_WITHOUT_EVIDENCE


def _reasons(branch: Branch, reasons: list[str]) -> tuple[Observation, ...]:
    return (
        Observation(name="branch", observed=str(branch)),
        *(Observation(name="reason", observed=reason) for reason in reasons),
    )


def _seen(s: Signals, sensed: Sensed, row: int) -> tuple[Observation, ...]:
    """The terms of the predicate, as they are known."""
    said = (
        ("mode", mode_name(int(s.mode[row]))),
        ("moving", shown(s.moving[row])),
        ("in_door_zone", shown(s.zone[row])),
        ("door_closed", shown(s.door_closed[row])),
        ("person", shown(sensed.person[row])),
        ("alarm_button", shown(s.alarm[row])),
    )
    return tuple(Observation(name=name, observed=value) for name, value in said if value is not None)


def _latched(since: int) -> tuple[Observation, ...]:
    return () if since == NEVER else (Observation(name="person_latched_since", observed=moment(since)),)
