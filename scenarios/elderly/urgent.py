"""The urgent lane: a trigger row raises at once, whatever was before. Fusion joins the ordinary finding.

What is kept is only what ends a finding: without an end the next call would be an update of the last one.
"""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import Homes
from scenarios.elderly.policy import ElderlyPolicy
from scenarios.elderly.signals import Layout
from scenarios.elderly.triggers import rules_of, said, times_of
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, Ints, Out, Round, State

TIMER = "handed_over"
"""The ordinary lane has the same row and follows it from here."""


class UrgentRules:
    """Rules ``urgent.<channel>``. Every trigger row is a claim: the first of a call raises, others update."""

    def __init__(self, policy: ElderlyPolicy, channels: tuple[str, ...], homes: Homes) -> None:
        trigger = policy.sections.trigger
        layout = Layout(channels, policy.sections.rooms)
        found = rules_of(layout) if trigger is not None else []
        self._rules = [Rule(f"urgent.{rule.name}", rule.kind) for rule in found]
        self._said = [said(rule) for rule in found]
        self._columns = np.array([layout.channels.index(rule.name) for rule in found], np.int64)
        self._renew = times_of(trigger, found)[1] if trigger is not None else np.empty(0, np.int64)
        self._homes = homes
        self._episodes = Episodes(self._rules, policy.sections.severity)
        names = tuple(rule.name for rule in self._rules)
        self.timers: tuple[str, ...] = (TIMER,)
        self.fields: tuple[Field, ...] = (
            *self._episodes.fields,
            Field("urgent.until", "int64", ("channel",), NEVER, channels=names),
        )

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Each row that says so is claimed; a home without consent has no rules."""
        e = rows.entity
        allowed = rows.arrived < self._homes.withdrawn_from(self._homes.of(state, e))
        on = (rows.values[:, self._columns] > 0.5) & allowed[:, None]
        for row, place in np.argwhere(on).tolist():
            at = int(rows.at[row])
            self._episodes.open(
                state,
                out,
                int(e[row]),
                self._rules[place].name,
                at=at,
                onset=at,
                observations=(self._said[place],),
                samples=1,
            )
            until = state["urgent.until"][e[row], place]
            end = at + int(self._renew[place])
            state["urgent.until"][e[row], place] = end if until == NEVER else max(int(until), end)
        state["timer"][e, 0] = state["urgent.until"][e].min(axis=1, initial=NEVER)

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """No such row for as long as makes the next one another call."""
        assert timer == TIMER
        until = state["urgent.until"][entity]
        due = until <= at[:, None]
        for row, place in np.argwhere(due).tolist():
            self._episodes.clear(
                state, out, int(entity[row]), self._rules[place].name, at=int(at[row]), cause=TIMER
            )
        until = np.where(due, NEVER, until)
        state["urgent.until"][entity] = until
        state["timer"][entity, 0] = until.min(axis=1, initial=NEVER)
