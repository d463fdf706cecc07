"""Out by the door at night and not back: shorter waiting in the cold."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS, NOTHING
from scenarios.elderly.localtime import DAY, MINUTE
from scenarios.elderly.policy import NightOut, minutes_of
from scenarios.elderly.presence import Presence
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.silence import Silence
from scenarios.elderly.words import NIGHT_OUT, duration
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Ints, Out, State
from zhiwei.types import Observation

TIMER = "night_out"
RULE = Rule("night_out", NIGHT_OUT)


class NightsOut:
    """State: since when out, and the last temperature outdoors."""

    def __init__(
        self,
        layout: Layout,
        episodes: Episodes,
        presence: Presence,
        silence: Silence,
        settings: NightOut,
        timer: int,
    ) -> None:
        self._episodes, self._presence, self._silence = episodes, presence, silence
        self._settings, self._timer = settings, timer
        self._start, self._end = minutes_of(settings.start) * MINUTE, minutes_of(settings.end) * MINUTE
        outdoor = [is_outdoor(layout, place) for place in range(len(layout.channels))]
        self._outdoor = np.flatnonzero(np.array(outdoor, bool) & layout.of("temperature")).tolist()
        self.fields: tuple[Field, ...] = (
            Field("night_out.since", "int64", (), NEVER),
            Field("night_out.wait_us", "int64"),
            Field("night_out.outdoor", "float32", (), np.nan),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """The door at night starts the wait, a sign inside ends it."""
        e, at = look.entity, look.at
        for column in self._outdoor:
            seen = look.seen[:, column]
            state["night_out.outdoor"][e[seen]] = look.rows.values[seen, column]
        if not (look.door.any() or look.inside.any()):
            return
        since = state["night_out.since"][e]
        known = since != NEVER
        back = look.inside & known & (at > np.where(known, since, 0))
        self._episodes.clear_where(state, out, e[back], RULE.name, at[back], "returned")
        since = np.where(back, NEVER, since)
        # Who was out already comes home by the door; a home that never showed activity cannot show a return.
        inside_at = state["presence.inside_at"][e]
        leaves = look.door & ~look.inside & ~look.was_away & self._at_night(look.local)
        leaves &= (since == NEVER) & (inside_at != ALWAYS)
        cold = state["night_out.outdoor"][e] < float(self._settings.cold_below.value)
        wait = np.where(cold, self._settings.wait_cold.us, self._settings.wait.us)
        timer = state["timer"][e, self._timer]
        timer = np.where(leaves, np.maximum(at + wait, look.settled_at), np.where(back, NEVER, timer))
        state["timer"][e, self._timer] = timer
        state["night_out.wait_us"][e] = np.where(leaves, wait, state["night_out.wait_us"][e])
        state["night_out.since"][e] = np.where(leaves, at, since)

    def _at_night(self, local: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        time = local % DAY
        if self._start <= self._end:
            return np.asarray((time >= self._start) & (time < self._end))
        return np.asarray((time >= self._start) | (time < self._end))

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Not back in time."""
        quiet = (self._presence.declared(state, entity) != NOTHING) | self._silence.unknown(state, entity)
        for row in np.flatnonzero(~quiet).tolist():
            since, wait = (
                int(state["night_out.since"][entity[row]]),
                int(state["night_out.wait_us"][entity[row]]),
            )
            limit = self._settings.wait_cold if wait == self._settings.wait_cold.us else self._settings.wait
            seen = [
                Observation(
                    name="no_return",
                    observed=round((int(at[row]) - since) / MICROS / 60, 3),
                    limit=f"back within {duration(wait)}",
                    unit="min",
                    source=limit.source,
                )
            ]
            outdoor = float(state["night_out.outdoor"][entity[row]])
            if not np.isnan(outdoor):
                seen.append(Observation(name="temperature.outdoor", observed=round(outdoor, 2), unit="°C"))
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                RULE.name,
                at=int(at[row]),
                onset=since,
                observations=tuple(seen),
            )


def is_outdoor(layout: Layout, column: int) -> bool:
    """Whether a channel is of the air outside."""
    return bool(set(layout.suffix[column].replace("_", ".").split(".")) & set(layout.words.outdoor))
