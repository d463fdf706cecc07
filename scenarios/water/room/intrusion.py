"""Somebody was at the tank without order, and soon after the water changed: one critical finding.

The change is turbidity or a disinfectant beyond its limit, or an event to which one of them contributes; a
pre-alarm is none. It must be found after somebody came: who comes when the alarm is on comes because of it.
"""

from collections.abc import Sequence

import numpy as np

from scenarios.water.room.access import ORDER, Access
from scenarios.water.room.settings import Intrusion
from scenarios.water.words import EVENT, INTRUSION
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Out, Round, State
from zhiwei.schema import quantity_of
from zhiwei.types import Evidence, Observation, Phase

_QUANTITIES = frozenset({"turbidity", "free_chlorine", "total_chlorine", "chlorine_dioxide"})
_KINDS = frozenset(
    {
        "water.turbidity_high",
        "water.chlorine_low",
        "water.chlorine_high",
        "water.chlorine_dioxide_low",
        "water.chlorine_dioxide_high",
    }
)


class Intrusions:
    """State: who came when and which way, and what has changed since."""

    def __init__(self, access: Access, settings: Intrusion) -> None:
        self._access, self._settings = access, settings
        self._within_us = round(settings.within.seconds * MICROS)
        self.fields: tuple[Field, ...] = (
            Field("intrusion.here", "bool"),
            Field("intrusion.came_at", "int64", (), NEVER),
            Field("intrusion.left_at", "int64", (), NEVER),
            Field("intrusion.ways", "bool", ("channel",), channels=access.ways),
            Field("intrusion.limits", "int8"),  # limits of _KINDS that are passed
            Field("intrusion.event", "bool"),
            Field("intrusion.changed_onset", "int64", (), NEVER),
            Field("intrusion.changed_at", "int64", (), NEVER),
            Field("intrusion.onset", "int64", (), NEVER),
        )

    def step(self, state: State, rows: Round, claims: Sequence[Claim], out: Out) -> None:
        """One more row of each entity. claims: what this round has found of the water."""
        changed = self._changes(state, claims)
        e, at = rows.entity, rows.at
        here, was = self._access.without_order(state, e), state["intrusion.here"][e]
        watched = here | was | changed[e] | (state["intrusion.onset"][e] != NEVER)
        some = np.flatnonzero(watched)
        if not len(some):
            return
        e, at, here, was = e[some], at[some], here[some], was[some]
        came = np.where(here & ~was, at, state["intrusion.came_at"][e])
        left = np.where(here, at, state["intrusion.left_at"][e])
        state["intrusion.here"][e], state["intrusion.came_at"][e] = here, came
        state["intrusion.left_at"][e] = left
        if here.any():
            state["intrusion.ways"][e[here]] = self._access.open_ways(state, e[here])
        since, found_at = state["intrusion.changed_onset"][e], state["intrusion.changed_at"][e]
        open_ = (state["intrusion.limits"][e] > 0) | state["intrusion.event"][e]
        onset = state["intrusion.onset"][e]
        near = (
            (came != NEVER)
            & (came <= found_at)
            & (since - np.where(left == NEVER, 0, left) <= self._within_us)
        )
        raised = open_ & near & (onset == NEVER) & (changed[e] | (here & ~was))
        cleared = (onset != NEVER) & ~open_ & ~here
        state["intrusion.onset"][e] = np.where(raised, came, np.where(cleared, NEVER, onset))
        for row in np.flatnonzero(raised).tolist():
            span = (int(came[row]), int(at[row]))
            seen = self._seen(state, int(e[row]), since_s=max(0, int(since[row] - left[row])) / MICROS)
            because = tuple(
                o for c in claims if c.entity == e[row] and _counts(c) for o in c.evidence.observations
            )
            out.claims.append(self._claim(int(e[row]), Phase.RAISED, span, (*seen, *because)))
        for row in np.flatnonzero(cleared).tolist():
            span = (int(onset[row]), int(at[row]))
            out.claims.append(self._claim(int(e[row]), Phase.CLEARED, span, (), "returned"))

    def _changes(self, state: State, claims: Sequence[Claim]) -> Bools:
        """By index into the state: of whom a change has been found with this row."""
        changed = np.zeros(len(state["intrusion.here"]), bool)
        for claim in claims:
            one, begins = claim.entity, claim.phase is Phase.RAISED
            if claim.kind in _KINDS:
                state["intrusion.limits"][one] += 1 if begins else -1
            elif claim.kind == EVENT:
                state["intrusion.event"][one] = begins and _counts(claim)
            if begins and _counts(claim):
                changed[one] = True
                state["intrusion.changed_onset"][one] = claim.onset
                state["intrusion.changed_at"][one] = claim.at
        return changed

    def _seen(self, state: State, entity: int, *, since_s: float) -> tuple[Observation, ...]:
        within = self._settings.within
        ways = zip(self._access.ways, state["intrusion.ways"][entity], strict=True)
        return (
            *(Observation(name=name, observed=True, expected=False) for name, is_open in ways if is_open),
            Observation(name=ORDER, observed=False),
            Observation(
                name="since_access",
                observed=round(since_s, 3),
                limit=f"≤ {within.seconds:g}",
                unit="s",
                source=within.source,
            ),
        )

    def _claim(
        self,
        entity: int,
        phase: Phase,
        span: tuple[int, int],
        observations: tuple[Observation, ...],
        note: str = "",
    ) -> Claim:
        onset, at = span
        return Claim(
            entity=entity,
            kind=INTRUSION,
            rule="intrusion",
            phase=phase,
            at=at,
            onset=onset,
            score=1.0,
            severity=self._settings.severity,
            evidence=Evidence(
                observations=observations, start=to_datetime(onset), end=to_datetime(at), note=note
            ),
        )


def _counts(claim: Claim) -> bool:
    """Whether a finding says that turbidity or a disinfectant has changed."""
    if claim.phase is not Phase.RAISED:
        return False
    named = (quantity_of(seen.name) for seen in claim.evidence.observations)
    return claim.kind in _KINDS or (claim.kind == EVENT and not _QUANTITIES.isdisjoint(named))
