"""SOS, smoke and gas: raised with the row that says so, ended when the device says so and stays so."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS
from scenarios.elderly.policy import Trigger
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.words import GAS, SMOKE, SOS, duration
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, Ints, Out, State
from zhiwei.types import Observation

TIMER = "release"
KIND = {"sos": SOS, "smoke": SMOKE, "gas": GAS}
PRESSED_AGAIN = "pressed_again"
"""Cause: the end was never reported, and another press is another call."""


def rules_of(layout: Layout) -> list[Rule]:
    """One for each trigger channel, called like it."""
    return [
        Rule(name, KIND[family])
        for name, family in zip(layout.channels, layout.family, strict=True)
        if family in KIND
    ]


def times_of(trigger: Trigger, rules: list[Rule]) -> tuple[Ints, Ints]:
    """For each trigger channel: how long a release must last, and after what pause a press is another."""
    button = [rule.kind == SOS for rule in rules]
    hold = [(trigger.release if b else trigger.alarm_release).us for b in button]
    renew = [(trigger.renew if b else trigger.alarm_renew).us for b in button]
    return np.array(hold, np.int64), np.array(renew, np.int64)


class Triggers:
    """State, by trigger channel: the last row that said so, and when its release counts."""

    def __init__(self, layout: Layout, episodes: Episodes, trigger: Trigger, timer: int) -> None:
        self.rules = rules_of(layout)
        self._episodes, self._timer = episodes, timer
        self._columns = np.array([layout.channels.index(rule.name) for rule in self.rules], np.int64)
        self._hold, self._renew = times_of(trigger, self.rules)
        names = tuple(rule.name for rule in self.rules)
        self.fields: tuple[Field, ...] = (
            Field("trigger.last_at", "int64", ("channel",), ALWAYS, channels=names),
            Field("trigger.released_at", "int64", ("channel",), NEVER, channels=names),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """A row that says so raises; Python only for those."""
        self._answered(state, look, out)
        seen = look.seen[:, self._columns]
        if not seen.any():
            return
        on = look.on[:, self._columns]
        for row, place in np.argwhere(seen & on).tolist():
            self._pressed(state, out, int(look.entity[row]), place, int(look.at[row]))
        e = look.entity
        is_open = state["open"][e][:, self._episodes.places([rule.name for rule in self.rules])] != NEVER
        released_at = state["trigger.released_at"][e]
        released = seen & ~on & is_open & (released_at == NEVER)
        released_at = np.where(released, look.at[:, None] + self._hold, released_at)
        state["trigger.released_at"][e] = released_at
        state["timer"][e, self._timer] = released_at.min(axis=1)

    def _pressed(self, state: State, out: Out, entity: int, place: int, at: int) -> None:
        rule, rules = self.rules[place], self._episodes
        last = int(state["trigger.last_at"][entity, place])
        state["trigger.last_at"][entity, place] = max(last, at)
        state["trigger.released_at"][entity, place] = NEVER
        if rules.is_open(state, np.array([entity]), rule.name)[0]:
            if at - last < self._renew[place]:
                return
            rules.clear(state, out, entity, rule.name, at=at, cause=PRESSED_AGAIN)
        rules.open(state, out, entity, rule.name, at=at, onset=at, observations=(said(rule),), samples=1)

    def _answered(self, state: State, look: Look, out: Out) -> None:
        """The resident says that the button was pressed by mistake."""
        words = look.rows.text.get("operator_state")
        for row in [] if words is None else [row for row, word in enumerate(words) if word == "false_press"]:
            one = slice(row, row + 1)
            for place, rule in enumerate(self.rules):
                if rule.kind == SOS:
                    self._episodes.clear_where(
                        state, out, look.entity[one], rule.name, look.at[one], "false_press"
                    )
                    state["trigger.released_at"][look.entity[row], place] = NEVER

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Released, and not pressed again since."""
        released_at = state["trigger.released_at"][entity]
        due = released_at <= at[:, None]
        for row, place in np.argwhere(due).tolist():
            self._episodes.clear(
                state,
                out,
                int(entity[row]),
                self.rules[place].name,
                at=int(at[row]),
                cause="released",
                observations=(
                    Observation(
                        name=self.rules[place].name,
                        observed=False,
                        limit=f"for {duration(int(self._hold[place]))}",
                    ),
                ),
            )
        released_at = np.where(due, NEVER, released_at)
        state["trigger.released_at"][entity] = released_at
        state["timer"][entity, self._timer] = released_at.min(axis=1)


def said(rule: Rule) -> Observation:
    """The channel said so."""
    return Observation(name=rule.name, observed=True, expected=False)
