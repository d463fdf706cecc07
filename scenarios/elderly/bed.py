"""Out of bed at night, and then nothing moves."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import Homes
from scenarios.elderly.localtime import Nights
from scenarios.elderly.policy import BedAbsent
from scenarios.elderly.presence import Presence
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.silence import Silence
from scenarios.elderly.words import BED_ABSENT, duration
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Ints, Out, State
from zhiwei.types import Observation

TIMER = "bed"
RULE = Rule("bed_absent", BED_ABSENT)


class BedAbsences:
    """State: since when out of bed in this night, and the last sign since then."""

    def __init__(
        self,
        layout: Layout,
        homes: Homes,
        episodes: Episodes,
        presence: Presence,
        silence: Silence,
        nights: Nights,
        settings: BedAbsent,
        timer: int,
    ) -> None:
        self._homes, self._episodes, self._presence, self._silence = homes, episodes, presence, silence
        self._nights, self._wait, self._source = nights, settings.wait.us, settings.wait.source
        self._bed, self._timer = layout.bed, timer
        self.fields: tuple[Field, ...] = (
            Field("bed.left_at", "int64", (), NEVER),
            Field("bed.still_since", "int64", (), NEVER),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """Leaving the bed at night starts the wait, every sign starts it anew, the bed ends it."""
        e, at = look.entity, look.at
        left_at = state["bed.left_at"][e]
        entered = (look.seen & look.on & self._bed).any(axis=1)
        left = (look.edge & ~look.on & self._bed).any(axis=1) & ~entered & self._nights.covers(look.local)
        moves = (look.inside | look.door) & (left_at != NEVER)
        touched = entered | left | moves
        if not touched.any():
            return
        is_open = self._episodes.is_open(state, e, RULE.name)
        back = is_open & (entered | moves)
        for cause, which in (("in_bed", back & entered), ("returned", back & ~entered)):
            self._episodes.clear_where(state, out, e[which], RULE.name, at[which], cause)
        # What was found once in an absence is not found again in the same one.
        left_at = np.where(entered | back, NEVER, left_at)
        left_at = np.where(left & (left_at == NEVER), at, left_at)
        waits = touched & (left_at != NEVER)
        state["bed.left_at"][e] = left_at
        state["bed.still_since"][e] = np.where(waits, at, state["bed.still_since"][e])
        timer = np.where(waits, np.maximum(at + self._wait, look.settled_at), state["timer"][e, self._timer])
        state["timer"][e, self._timer] = np.where(left_at == NEVER, NEVER, timer)

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Still out of bed, and nothing has moved. A morning is no absence."""
        local = self._homes.local(self._homes.of(state, entity), at)
        valid = self._nights.covers(local) & ~self._presence.suppressed(state, entity, at)
        valid &= ~self._silence.unknown(state, entity)
        for row in np.flatnonzero(valid).tolist():
            left_at, still = (int(state[f"bed.{name}"][entity[row]]) for name in ("left_at", "still_since"))
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                RULE.name,
                at=int(at[row]),
                onset=left_at,
                observations=(
                    Observation(name="out_of_bed", observed=_minutes(int(at[row]) - left_at), unit="min"),
                    Observation(
                        name="no_motion",
                        observed=_minutes(int(at[row]) - still),
                        limit=f"< {duration(self._wait)}",
                        unit="min",
                        source=self._source,
                    ),
                ),
            )
        ended = entity[~valid]
        state["bed.left_at"][ended] = NEVER


def _minutes(us: int) -> float:
    return round(us / MICROS / 60, 3)
