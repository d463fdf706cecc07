"""No sign of activity for too long: the personal line of that time of day, and caps from the first minute.

A row with a sign moves the deadline; when it passes, presence decides whether it means anything.
"""

from collections.abc import Iterator

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS, NOTHING, Homes
from scenarios.elderly.localtime import Nights
from scenarios.elderly.personal_line import HOURS, PersonalLine
from scenarios.elderly.policy import NoActivity
from scenarios.elderly.presence import Presence
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.silence import Silence
from scenarios.elderly.standing import Told
from scenarios.elderly.words import HOUR, LATE_DATA, NO_ACTIVITY, clock_time, duration, hours
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Floats, Ints, Out, Standing, State
from zhiwei.types import Observation

TIMER = "inactive"
RULE = Rule("no_activity", NO_ACTIVITY)
_SPAN = HOURS + 2


class Inactivity:
    """State: since when inactivity is counted at the earliest, and when the open finding was raised."""

    def __init__(
        self,
        layout: Layout,
        homes: Homes,
        episodes: Episodes,
        presence: Presence,
        silence: Silence,
        nights: Nights,
        settings: NoActivity,
        timer: int,
    ) -> None:
        self._layout, self._homes, self._episodes = layout, homes, episodes
        self._presence, self._silence, self._nights = presence, silence, nights
        self._settings, self._timer = settings, timer
        self._cap_awake, self._cap = settings.cap_awake.us, settings.cap.us
        self._line = PersonalLine(episodes, settings)
        self.fields: tuple[Field, ...] = (
            *self._line.fields,
            Field("inactive.floor", "int64", (), ALWAYS),
            Field("inactive.since", "int64", (), NEVER),
            Field("inactive.raised_at", "int64", (), NEVER),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """Learn from what ended, clear what is over, set the next deadline."""
        e, at = look.entity, look.at
        out.scores = self._scores(state, look)
        floor = state["inactive.floor"][e]
        self._learn(state, look, floor)
        # Only what was observed counts: from the first row that could have shown activity, not through a
        # time without devices, and not through one that was declared.
        floor = np.where(look.observed & (floor == ALWAYS), at, floor)
        floor = np.where(look.heard_again & (floor != ALWAYS), np.maximum(floor, look.rows.arrived), floor)
        declared = (look.declared != NOTHING) | look.returned
        floor = np.where(declared & (floor != ALWAYS), np.maximum(floor, at), floor)
        state["inactive.floor"][e] = floor
        self._clear(state, look, out)
        since = np.maximum(floor, state["presence.sign_at"][e])
        moved = (floor != ALWAYS) & ((since != state["inactive.since"][e]) | (look.declared != NOTHING))
        some = np.flatnonzero(moved & ~self._episodes.is_open(state, e, RULE.name))
        if len(some):
            self._arm(state, e[some], look.home[some], since[some], look.settled_at[some])

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Inactive for as long as the line or a cap. Away says nothing; the next sign counts anew."""
        home = self._homes.of(state, entity)
        unseen = (self._presence.declared(state, entity) != NOTHING) | self._silence.unknown(state, entity)
        away = self._presence.away(state, entity, at)
        since = state["inactive.since"][entity]
        local, local_since = self._homes.local(home, at), self._homes.local(home, since)
        line = self._lines(state, entity)
        for row in np.flatnonzero(~unseen & ~away).tolist():
            state["inactive.raised_at"][entity[row]] = at[row]
            crossed = int(line[row, int(local[row]) // HOUR % HOURS])
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                RULE.name,
                at=int(at[row]),
                onset=int(since[row]),
                observations=(
                    self._limit(int(at[row] - since[row]), crossed),
                    *self._last_signs(state, int(entity[row]), int(local_since[row] - since[row])),
                ),
                note="personal_line" if 0 < crossed <= at[row] - since[row] else "cap",
            )
        some = np.flatnonzero(unseen)
        if len(some):
            state["inactive.floor"][entity[some]] = at[some]
            self._arm(state, entity[some], home[some], at[some], at[some])

    # -------------------------------------------------------------- deadlines

    def _arm(self, state: State, entity: Ints, home: Ints, since: Ints, earliest: Ints) -> None:
        """Set the deadline for an inactivity that began at ``since``, not before ``earliest``; (n,) µs."""
        state["inactive.since"][entity] = since
        state["timer"][entity, self._timer] = np.maximum(self._deadline(state, entity, home, since), earliest)

    def _deadline(self, state: State, entity: Ints, home: Ints, since: Ints) -> Ints:
        """(n,) when an inactivity that began at ``since`` is too long, µs.

        Local hours are taken by the zone's offset at ``since``; where a zone changes its offset meanwhile
        the deadline is off by that hour.
        """
        local = self._homes.local(home, since)
        deadline = np.minimum(self._nights.awake_after(local, self._cap_awake), local + self._cap)
        line = self._lines(state, entity)
        warm = np.flatnonzero(line.any(axis=1))
        if len(warm):
            start = local[warm, None]
            hour = start // HOUR + np.arange(_SPAN)
            limit = np.take_along_axis(line[warm], hour % HOURS, axis=1)
            crossing = np.maximum(hour * HOUR, start + limit)
            crosses = (limit > 0) & (crossing < (hour + 1) * HOUR)
            deadline[warm] = np.minimum(deadline[warm], np.where(crosses, crossing, NEVER).min(axis=1))
        return np.asarray(deadline - (local - since))

    def _lines(self, state: State, entity: Ints) -> Ints:
        """(n, 24) µs, 0 where there is none. Who is only presumed to be in is judged by the caps alone."""
        return np.where(state["presence.returned"][entity][:, None], 0, self._line.line(state, entity))

    def _scores(self, state: State, look: Look) -> Floats:
        """(n,) how far inactivity had come before this row: 0.5 at the limit; NaN = nothing to judge by."""
        e = look.entity
        deadline, since = state["timer"][e, self._timer], state["inactive.since"][e]
        known = (deadline != NEVER) & (since != NEVER)
        passed = np.where(known, look.at - np.where(known, since, 0), 0)
        whole = np.where(known, np.where(known, deadline, 1) - np.where(known, since, 0), 1)
        score = np.where(known, 0.5 * np.minimum(np.maximum(passed / np.maximum(whole, 1), 0), 1), np.nan)
        return np.where(self._episodes.is_open(state, e, RULE.name), 1.0, score)

    # -------------------------------------------------------------- signs

    def _learn(self, state: State, look: Look, floor: Ints) -> None:
        signs = look.sign_any & (look.at > look.sign_before)
        if not signs.any():
            return
        before = look.sign_before
        counts = (before != ALWAYS) & (before >= floor) & (floor != ALWAYS)
        counts &= ~look.was_away & (look.declared == NOTHING) & ~(look.presumed & ~look.inside)
        shift = look.local - look.at
        since = np.where(counts, before + shift, NEVER)
        some = np.flatnonzero(signs)
        self._line.learn(state, look.entity[some], since[some], look.local[some], counts[some])

    def _clear(self, state: State, look: Look, out: Out) -> None:
        e, at = look.entity, look.at
        onset = self._episodes.onset(state, e, RULE.name)
        if (onset == NEVER).all():
            return
        signs = look.sign_any & (at > onset)
        over = (onset != NEVER) & (signs | (look.declared != NOTHING))
        for row in np.flatnonzero(over).tolist():
            raised_at = int(state["inactive.raised_at"][e[row]])
            when, cause = int(at[row]), "returned"
            if not signs[row]:
                cause = "declared"
            elif when < raised_at:
                cause, when = LATE_DATA, max(int(look.rows.arrived[row]), raised_at)
            self._episodes.clear(
                state,
                out,
                int(e[row]),
                RULE.name,
                at=when,
                cause=cause,
                observations=(Observation(name="last_sign", observed=clock_time(int(look.local[row]))),),
            )

    # -------------------------------------------------------------- what stands

    def standing(self, state: State, entity: int, at: int) -> Iterator[Standing]:
        """Home, alone, heard, and still for as long as the line or a cap."""
        told, e = Told(NO_ACTIVITY, RULE.name), np.array([entity])
        since, deadline = int(state["inactive.since"][entity]), int(state["timer"][entity, self._timer])
        if since == NEVER:
            yield told.term("observed", None, observed=False, needs=True)
            return
        yield from self._presence.terms(state, entity, at, told)
        yield self._silence.term(state, entity, told)
        if deadline == NEVER:  # it has passed
            home = self._homes.of(state, e)
            deadline = int(self._deadline(state, e, home, np.array([since]))[0])
        days, warm_up = self._line.age_days(state, entity), self._settings.warm_up
        line = bool(self._lines(state, e).any())
        source = self._settings.percentile.source if line else self._settings.cap_awake.source
        yield told.lasted("inactivity", since, at, deadline - since, source)
        if not line:
            yield told.at_most("warm_up_day", float(days), warm_up, decides=False)

    # -------------------------------------------------------------- evidence

    def _limit(self, passed: int, line: int) -> Observation:
        s = self._settings
        if 0 < line <= passed:
            source = (
                f"personal line of this hour: {s.percentile.value:g} % of the past days + {s.buffer.value:g}"
            )
            return _inactivity(passed, line, f"{source} {s.buffer.unit}; {s.percentile.source}")
        limit = s.cap if passed >= self._cap else s.cap_awake
        awake = "" if passed >= self._cap else " of awake time"
        observation = _inactivity(passed, limit.us, limit.source)
        return Observation(
            name=observation.name,
            observed=observation.observed,
            expected=observation.expected,
            limit=f"{observation.limit}{awake}",
            unit="h",
            source=limit.source,
        )

    def _last_signs(self, state: State, entity: int, shift: int) -> tuple[Observation, ...]:
        """The last sign of each device, the latest first."""
        seconds = state["signal.sign_s"][entity]
        places = sorted(np.flatnonzero(seconds).tolist(), key=lambda place: (-int(seconds[place]), place))
        return tuple(
            Observation(
                name=self._layout.channels[place],
                observed=clock_time(int(seconds[place]) * MICROS + shift),
                limit="last sign",
            )
            for place in places
        )


def _inactivity(passed: int, limit: int, source: str) -> Observation:
    return Observation(
        name="inactivity",
        observed=hours(passed),
        expected=hours(limit),
        limit=f"< {duration(limit)}",
        unit="h",
        source=source,
    )
