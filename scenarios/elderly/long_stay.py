"""Too long in the bathroom or the bedroom, by presence or by the last room that showed activity."""

from collections.abc import Iterator

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import Homes
from scenarios.elderly.localtime import Nights
from scenarios.elderly.policy import LongStay, Threshold
from scenarios.elderly.presence import Presence
from scenarios.elderly.signals import BATHROOM, BEDROOM, NO_ROOM, Layout, Look
from scenarios.elderly.silence import Silence
from scenarios.elderly.standing import Told
from scenarios.elderly.words import LONG_STAY, duration, hours
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Ints, Out, Standing, State
from zhiwei.types import Observation

TIMERS = ("stay.bathroom", "stay.bedroom")
RULES = tuple(Rule(f"long_stay.{room}", LONG_STAY) for room in ("bathroom", "bedroom"))
_ROOMS = (BATHROOM, BEDROOM)


class LongStays:
    """State, by kind of room: since when the resident is there; whether another room ever showed activity."""

    def __init__(
        self,
        layout: Layout,
        homes: Homes,
        episodes: Episodes,
        presence: Presence,
        silence: Silence,
        nights: Nights,
        settings: LongStay,
        timers: tuple[int, int],
    ) -> None:
        self._homes, self._episodes, self._presence, self._silence = homes, episodes, presence, silence
        self._nights, self._settings, self._timers = nights, settings, timers
        # A door between rooms may be passed in either direction: it says nothing of where somebody is.
        in_room = layout.motion | layout.presence
        bed_room = np.where(layout.bed, BEDROOM, layout.room)
        there = in_room | layout.bed
        self._in = [there & (bed_room == room) for room in _ROOMS]
        passed = layout.inside & ~there & (layout.room == NO_ROOM)
        self._else = [(there & (bed_room != room)) | passed | layout.entrance for room in _ROOMS]
        self._presence_of = [layout.presence & (layout.room == room) for room in _ROOMS]
        names = ("bathroom", "bedroom")
        self.fields: tuple[Field, ...] = (
            Field("stay.since", "int64", ("channel",), NEVER, channels=names),
            Field("stay.moves", "bool", ("channel",), channels=names),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """Enter, leave, and set the deadline."""
        e, at = look.entity, look.at
        shown = look.sign | (look.seen & look.on & np.logical_or.reduce(self._presence_of))
        if not shown.any() and not self._nobody(look, 0).any() and not self._nobody(look, 1).any():
            return
        for k in range(len(_ROOMS)):
            since = state["stay.since"][e, k]
            elsewhere = (look.sign & self._else[k]).any(axis=1)
            state["stay.moves"][e, k] |= elsewhere
            known = since != NEVER
            leaves = known & (elsewhere | self._nobody(look, k)) & (at >= np.where(known, since, 0))
            self._episodes.clear_where(state, out, e[leaves], RULES[k].name, at[leaves], "left")
            since = np.where(leaves, NEVER, since)
            enters = (shown & self._in[k]).any(axis=1) & ~elsewhere & (since == NEVER)
            since = np.where(enters, at, since)
            state["stay.since"][e, k] = since
            timer = state["timer"][e, self._timers[k]]
            timer = np.where(leaves, NEVER, timer)
            if enters.any():
                timer[enters] = self._deadline(k, look.local[enters]) - (look.local - at)[enters]
            state["timer"][e, self._timers[k]] = timer

    def standing(self, state: State, entity: int, at: int) -> Iterator[Standing]:
        """Room by room: there, alone, heard, and for too long."""
        e = np.array([entity])
        home = self._homes.of(state, e)
        for k, room in enumerate(("bathroom", "bedroom")):
            told, since = Told(LONG_STAY, room), int(state["stay.since"][entity, k])
            there = since != NEVER
            yield told.term("in_room", there, observed=there, needs=True, since=since if there else None)
            if not there:
                continue
            moves = bool(state["stay.moves"][entity, k])
            yield told.term("other_rooms_seen", moves, observed=moves, needs=True)
            yield from self._presence.terms(state, entity, at, told)
            yield self._silence.term(state, entity, told)
            local = self._homes.local(home, np.array([since]))
            deadline = int((self._deadline(k, local) - local)[0])
            yield told.lasted("stay", since, at, deadline, self._limit(k, local).source)

    def _limit(self, k: int, local: Ints) -> Threshold:
        """Of a stay that began at ``local``, (1,) µs."""
        s = self._settings
        if _ROOMS[k] == BEDROOM:
            return s.bedroom
        return s.bathroom_night if self._nights.covers(local)[0] else s.bathroom

    def _nobody(self, look: Look, k: int) -> Bools:
        """(n,) radar says that the room is empty."""
        mask = self._presence_of[k]
        return np.asarray((look.seen & ~look.on & mask).any(axis=1) & ~(look.on & mask).any(axis=1))

    def _deadline(self, k: int, local: Ints) -> Ints:
        """(n,) local µs at which a stay that began at ``local`` is too long."""
        s = self._settings
        if _ROOMS[k] == BEDROOM:
            return self._nights.awake_after(local, s.bedroom.us)
        return local + np.where(self._nights.covers(local), s.bathroom_night.us, s.bathroom.us)

    def fire(self, state: State, k: int, entity: Ints, at: Ints, out: Out) -> None:
        """Still there. Of a home that shows activity nowhere else, a room says nothing."""
        since = state["stay.since"][entity, k]
        valid = (since != NEVER) & state["stay.moves"][entity, k]
        valid &= ~self._presence.suppressed(state, entity, at) & ~self._silence.unknown(state, entity)
        home = self._homes.of(state, entity)
        night = self._nights.covers(self._homes.local(home, np.where(valid, since, 0)))
        s = self._settings
        for row in np.flatnonzero(valid).tolist():
            limit, awake = s.bedroom, " outside sleep time"
            if _ROOMS[k] == BATHROOM:
                limit, awake = (s.bathroom_night, " at night") if night[row] else (s.bathroom, "")
            stay = Observation(
                name=TIMERS[k],
                observed=hours(int(at[row] - since[row])),
                expected=hours(limit.us),
                limit=f"< {duration(limit.us)}{awake}",
                unit="h",
                source=limit.source,
            )
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                RULES[k].name,
                at=int(at[row]),
                onset=int(since[row]),
                observations=(stay,),
            )
