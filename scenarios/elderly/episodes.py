"""What is open in each home: one place that makes claims, so that learning and consent can ask it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scenarios.elderly.policy import Severities
from scenarios.elderly.words import DEVICE_BATTERY, KINDS
from zhiwei.clock import NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Ints, Out, State
from zhiwei.types import Evidence, Observation, Phase

_HARMLESS = frozenset({DEVICE_BATTERY})
"""Kinds that say nothing of the resident's day."""


class Rule(NamedTuple):
    """A rule that may be open once in a home."""

    name: str
    kind: str


class Episodes:
    """State ``open``: (homes, rules) onset of what is open, NEVER where nothing is."""

    def __init__(self, rules: Sequence[Rule], severities: Severities) -> None:
        self.rules = tuple(rules)
        self._place = {rule.name: place for place, rule in enumerate(rules)}
        self._severity = {kind: severities.of(kind) for kind in KINDS}
        self._marks = np.array([rule.kind not in _HARMLESS for rule in rules], bool)
        names = tuple(self._place)
        self.fields: tuple[Field, ...] = (
            Field("open", "int64", ("channel",), NEVER, channels=names),
            Field("found", "bool"),
        )
        """``found``: something was raised since the resident's day was last asked for."""

    def onset(self, state: State, entity: Ints, rule: str) -> Ints:
        """(n,) µs; NEVER where the rule is not open."""
        found: Ints = state["open"][entity, self._place[rule]]
        return found

    def is_open(self, state: State, entity: Ints, rule: str) -> Bools:
        """(n,)"""
        return np.asarray(self.onset(state, entity, rule) != NEVER)

    def places(self, rules: Sequence[str]) -> Ints:
        """Columns of ``open`` of these rules."""
        return np.array([self._place[rule] for rule in rules], np.int64)

    def day_had_findings(self, state: State, entity: Ints) -> Bools:
        """(n,) whether something was found since the last call, or is still open. Forgets the former."""
        still = ((state["open"][entity] != NEVER) & self._marks).any(axis=1)
        found = state["found"][entity] | still
        state["found"][entity] = still
        return np.asarray(found)

    def open(
        self,
        state: State,
        out: Out,
        entity: int,
        rule: str,
        *,
        at: int,
        onset: int,
        observations: tuple[Observation, ...] = (),
        note: str = "",
        samples: int = 0,
    ) -> None:
        """Raise it. Where it is open already this is an update, and its onset stays."""
        place = self._place[rule]
        before = int(state["open"][entity, place])
        onset = min(onset, at) if before == NEVER else before
        state["open"][entity, place] = onset
        state["found"][entity] |= bool(self._marks[place])
        out.claims.append(self._claim(entity, place, Phase.RAISED, at, onset, observations, note, samples))

    def clear(
        self,
        state: State,
        out: Out,
        entity: int,
        rule: str,
        *,
        at: int,
        cause: str,
        observations: tuple[Observation, ...] = (),
    ) -> None:
        """End it, for a cause that people can read. It must be open."""
        self._clear(state, out, entity, self._place[rule], at, cause, observations)

    def clear_where(self, state: State, out: Out, entity: Ints, rule: str, at: Ints, cause: str) -> None:
        """End it in those of these homes where it is open; at: (n,)."""
        for row in np.flatnonzero(self.is_open(state, entity, rule)).tolist():
            self.clear(state, out, int(entity[row]), rule, at=int(at[row]), cause=cause)

    def clear_all(self, state: State, out: Out, entity: int, at: int, cause: str) -> None:
        """End whatever is open in a home."""
        for place in np.flatnonzero(state["open"][entity] != NEVER).tolist():
            self._clear(state, out, entity, place, at, cause, ())

    def _clear(
        self,
        state: State,
        out: Out,
        entity: int,
        place: int,
        at: int,
        cause: str,
        observations: tuple[Observation, ...],
    ) -> None:
        onset = int(state["open"][entity, place])
        state["open"][entity, place] = NEVER
        # Devices have clocks of their own: an end is never before its beginning.
        at = max(at, onset)
        out.claims.append(self._claim(entity, place, Phase.CLEARED, at, onset, observations, cause, 0))

    def _claim(
        self,
        entity: int,
        place: int,
        phase: Phase,
        at: int,
        onset: int,
        observations: tuple[Observation, ...],
        note: str,
        samples: int,
    ) -> Claim:
        rule = self.rules[place]
        return Claim(
            entity=entity,
            kind=rule.kind,
            rule=rule.name,
            phase=phase,
            at=at,
            onset=onset,
            score=1.0,
            severity=self._severity[rule.kind],
            evidence=Evidence(
                observations=observations,
                start=to_datetime(onset),
                end=to_datetime(at),
                samples=samples,
                note=note,
            ),
        )
