"""At home, away or unknown: out by the door and then nothing; what is declared goes before what is inferred.

Who was out and comes to the door is presumed to be in, seen or not: whoever falls behind it must be missed.
Unknown is decided where it matters (``silence.unknown``): a home that is not heard is neither.
"""

from collections.abc import Iterator

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS, DECLARED, NOTHING, Homes
from scenarios.elderly.policy import Away
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.standing import Told
from scenarios.elderly.words import NOT_BACK, clock_time, hours
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Ints, Out, Standing, State
from zhiwei.types import Observation

TIMER = "away"
RULE = Rule("not_back", NOT_BACK)
_DECLARED = ("nothing", "away", "visitor")
"""Words of NOTHING, AWAY and VISITOR."""


class Presence:
    """State: last door event, last sign inside, last sign of any kind, since when at home;
    whether the last door event was a return after which nothing was seen inside."""

    def __init__(self, layout: Layout, homes: Homes, episodes: Episodes, away: Away, timer: int) -> None:
        self._layout, self._homes, self._episodes, self._timer = layout, homes, episodes, timer
        self._settle, self._cap, self._source = away.settle.us, away.cap.us, away.cap.source
        self._standing = np.flatnonzero(layout.standing)
        self.fields: tuple[Field, ...] = (
            Field("presence.door_at", "int64", (), ALWAYS),
            Field("presence.left_at", "int64", (), ALWAYS),
            Field("presence.inside_at", "int64", (), ALWAYS),
            Field("presence.sign_at", "int64", (), ALWAYS),
            Field("presence.home_since", "int64", (), ALWAYS),
            Field("presence.returned", "bool"),
            Field("presence.declared", "uint8"),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """Fill what the other rules ask of presence, then take the rows into account."""
        e, at = look.entity, look.at
        look.was_away = self.away(state, e, at)
        look.sign_before = state["presence.sign_at"][e]
        look.presumed = state["presence.returned"][e]
        self._declare(state, look)
        door_at, inside_at = state["presence.door_at"][e], state["presence.inside_at"][e]
        since = state["presence.home_since"][e]
        state["presence.home_since"][e] = np.where(
            look.was_away & look.sign_any, np.maximum(since, at), since
        )
        moved = look.door & (at > door_at)
        settled = at - door_at >= self._settle
        # The door of somebody who was out is the way back in, and the next one the way out again.
        returned = look.presumed & ~(moved & settled) | (moved & look.was_away)
        # Who opens the door and closes it leaves once: the first movement since the last sign inside.
        left_at = state["presence.left_at"][e]
        leaves = moved & ~returned & ((left_at <= inside_at) | look.presumed)
        state["presence.left_at"][e] = np.where(leaves, at, left_at)
        inside_at = np.where(look.inside, np.maximum(inside_at, at), inside_at)
        door_at = np.where(moved, at, door_at)
        state["presence.inside_at"][e], state["presence.door_at"][e] = inside_at, door_at
        seen = look.inside & (inside_at >= door_at)
        state["presence.returned"][e] = returned & ~seen
        state["presence.sign_at"][e] = np.maximum(
            look.sign_before, np.where(look.inside | look.door, at, ALWAYS)
        )
        timer = np.where(leaves, at + self._cap, state["timer"][e, self._timer])
        back = seen | returned
        state["timer"][e, self._timer] = np.where(back, NEVER, timer)
        if back.any():
            self._episodes.clear_where(state, out, e[back], RULE.name, at[back], "returned")

    def use_water(self, state: State, look: Look) -> None:
        """Water counts as a sign, but not as one that somebody is in: machines use it, and leaks."""
        e = look.entity[look.used]
        state["presence.sign_at"][e] = np.maximum(state["presence.sign_at"][e], look.at[look.used])

    def away(self, state: State, entity: Ints, at: Ints) -> Bools:
        """(n,) out by the door, nothing inside since, and nobody in bed or in a room."""
        door_at = state["presence.door_at"][entity]
        out_by_door = door_at > state["presence.inside_at"][entity]
        settled = at - np.where(out_by_door, door_at, at) >= self._settle
        there = (state["signal.value"][entity][:, self._standing] == 1).any(axis=1)
        return np.asarray(out_by_door & settled & ~there & ~state["presence.returned"][entity])

    def declared(self, state: State, entity: Ints) -> Ints:
        """(n,) NOTHING, AWAY or VISITOR; the registry goes before the channel."""
        registered = self._homes.declared(self._homes.of(state, entity))
        return np.where(registered != NOTHING, registered, state["presence.declared"][entity])

    def suppressed(self, state: State, entity: Ints, at: Ints) -> Bools:
        """(n,) away, declared away, or not alone."""
        return np.asarray(self.away(state, entity, at) | (self.declared(state, entity) != NOTHING))

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Away for as long as the cap."""
        home = self._homes.of(state, entity)
        quiet = self.declared(state, entity) != NOTHING
        gone = self.away(state, entity, at) & ~quiet
        left = state["presence.left_at"][entity]
        local = self._homes.local(home, np.where(gone, left, 0))
        for row in np.flatnonzero(gone).tolist():
            seen = (
                Observation(
                    name="away",
                    observed=hours(int(at[row] - left[row])),
                    expected=hours(self._cap),
                    limit=f"≤ {hours(self._cap):g} h",
                    unit="h",
                    source=self._source,
                ),
                Observation(name="left_home", observed=clock_time(int(local[row]))),
            )
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                RULE.name,
                at=int(at[row]),
                onset=int(left[row]),
                observations=seen,
            )

    def terms(self, state: State, entity: int, at: int, told: Told) -> Iterator[Standing]:
        """Neither away nor declared to be away or not alone: what most rules ask."""
        e = np.array([entity])
        away = bool(self.away(state, e, np.array([at]))[0])
        since = int(state["presence.left_at"][entity]) if away else None
        yield told.term("away", not away, observed=away, needs=False, since=since)
        yield self._undeclared(state, e, told)

    def _undeclared(self, state: State, e: Ints, told: Told) -> Standing:
        word = _DECLARED[int(self.declared(state, e)[0])]
        return told.term("declared", word == _DECLARED[NOTHING], observed=word, needs=_DECLARED[NOTHING])

    def standing(self, state: State, entity: int, at: int) -> Iterator[Standing]:
        """Away for as long as the cap."""
        told, e = Told(NOT_BACK, RULE.name), np.array([entity])
        away = bool(self.away(state, e, np.array([at]))[0])
        left = int(state["presence.left_at"][entity])
        yield told.term("away", away, observed=away, needs=True, since=left if away else None)
        yield self._undeclared(state, e, told)
        if away:
            yield told.lasted("away_for", left, at, self._cap, self._source)

    def _declare(self, state: State, look: Look) -> None:
        words = look.rows.text.get("operator_state")
        e = look.entity
        if words is not None:
            for row, word in enumerate(words):
                if word in DECLARED:
                    before = state["presence.declared"][e[row]]
                    state["presence.declared"][e[row]] = DECLARED[word]
                    if before and DECLARED[word] == NOTHING:
                        look.returned = look.returned.copy()
                        look.returned[row] = True
        look.declared = self.declared(state, e)
