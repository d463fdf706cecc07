"""Devices that are no longer heard, on engine time. A silent device is unknown, not inactive.

The rules do not see device ids: a device is its channel. What it sends of its own accord is its heartbeat; a
device that only speaks when something happens has none, and its silence says nothing of it. A home that is
silent as a whole is one finding, of the gateway, not one for each device.
"""

import numpy as np
import numpy.typing as npt

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.policy import Silence as Settings
from scenarios.elderly.signals import Layout, Look
from scenarios.elderly.standing import Told
from scenarios.elderly.words import DEVICE_SILENT, HOUR, duration, hours
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Bools, Field, Ints, Out, Standing, State
from zhiwei.types import Observation

TIMER = "silence"
HOME = "home"
_WEEK = 7 * 24 * HOUR
_ANY, _BEATEN, _KINDS = 0, 1, 2
"""Pauses: whatever ended them; ended by a heartbeat."""


def rules_of(layout: Layout) -> list[Rule]:
    """One for each channel, and one for the home."""
    return [Rule(f"silence.{name}", DEVICE_SILENT) for name in (*layout.channels, HOME)]


Pauses = npt.NDArray[np.float32]


class Silence:
    """State, by channel and for the home: last arrival; of this week and of the last, the longest pause and
    the longest that a heartbeat ended."""

    def __init__(self, layout: Layout, episodes: Episodes, settings: Settings, timer: int) -> None:
        self._episodes, self._timer, self._settings = episodes, timer, settings
        self._names = [rule.name for rule in rules_of(layout)]
        self._places = episodes.places(self._names)
        self._home = len(layout.channels)
        self._inside = np.flatnonzero(layout.inside)
        self._periods = float(settings.periods.value)
        self._least, self._longest = settings.at_least.us, settings.longest.us
        self._learn = settings.learn.us
        fixed = [settings.after.get(family) for family in layout.family]
        self._fixed = np.array([NEVER if f is None else f.us for f in (*fixed, None)], np.int64)
        names = (*layout.channels, HOME)
        self.fields: tuple[Field, ...] = (
            Field("silence.arrived", "int64", ("channel",), NEVER, channels=names),
            Field("silence.pause", "float32", ("channel", _KINDS, 2), 0.0, channels=names),
            Field("silence.first", "int64", (), NEVER),
            Field("silence.week", "int64"),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """A row ends silences, teaches pauses and moves the deadline."""
        e, arrived = look.entity, look.rows.arrived
        heard = np.c_[look.seen, np.ones(len(e), bool)]
        last = state["silence.arrived"][e]
        is_open = state["open"][e][:, self._places] != NEVER
        look.heard_again = is_open[:, self._home]
        pause = self._pauses(state, look, heard, last, is_open)
        first = state["silence.first"][e]
        first = np.where(first == NEVER, arrived, first)
        state["silence.first"][e] = first
        known = last != NEVER
        # After a silence of the whole home each device gets its time anew.
        moved = heard | (known & look.heard_again[:, None])
        last = np.where(
            moved,
            np.where(known, np.maximum(np.where(known, last, 0), arrived[:, None]), arrived[:, None]),
            last,
        )
        state["silence.arrived"][e] = last
        for row, place in np.argwhere(is_open & heard).tolist():
            self._episodes.clear(
                state, out, int(e[row]), self._names[place], at=int(arrived[row]), cause="heard_again"
            )
        deadline = self._deadline(last, pause, first, is_open & ~heard)
        state["timer"][e, self._timer] = deadline.min(axis=1)

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """A device, or the home, has not been heard for as long as its deadline says."""
        last = state["silence.arrived"][entity]
        pause = state["silence.pause"][entity].max(axis=3)
        is_open = state["open"][entity][:, self._places] != NEVER
        deadline = self._deadline(last, pause, state["silence.first"][entity], is_open)
        due = deadline <= at[:, None]
        for row in range(len(entity)):
            home_due = int(deadline[row, self._home])
            if due[row, self._home]:
                self._raise(
                    state, out, int(entity[row]), self._home, int(at[row]), int(last[row, self._home])
                )
                continue  # one finding for all; the next row sets the next deadline
            quiet = at[row] - last[row, self._home] > self._usual(float(pause[row, self._home, _ANY]))
            if quiet and home_due != NEVER:
                state["timer"][entity[row], self._timer] = home_due  # perhaps the whole home: wait for it
                continue
            for place in np.flatnonzero(due[row]).tolist():
                self._raise(state, out, int(entity[row]), place, int(at[row]), int(last[row, place]))
                deadline[row, place] = NEVER
            state["timer"][entity[row], self._timer] = deadline[row].min()

    def unknown(self, state: State, entity: Ints) -> Bools:
        """(n,) nothing can be said of the resident: the home, or every device inside, is silent."""
        is_open = state["open"][entity][:, self._places] != NEVER
        present = state["silence.arrived"][entity][:, self._inside] != NEVER
        silent = is_open[:, self._inside]
        all_silent = present.any(axis=1) & (silent | ~present).all(axis=1)
        return np.asarray(is_open[:, self._home] | all_silent)

    def term(self, state: State, entity: int, told: Told) -> Standing:
        """The home is heard: without it nothing can be said of the resident."""
        unknown = bool(self.unknown(state, np.array([entity]))[0])
        since = int(state["silence.arrived"][entity, self._home]) if unknown else None
        return told.term("home_silent", not unknown, observed=unknown, needs=False, since=since)

    def is_silent(self, state: State, entity: Ints, column: int) -> Bools:
        """(n,) whether this channel is judged silent, by itself or with its home."""
        is_open = state["open"][entity][:, self._places] != NEVER
        return np.asarray(is_open[:, self._home] | is_open[:, column])

    # -------------------------------------------------------------- cadence

    def _pauses(self, state: State, look: Look, heard: Bools, last: Ints, is_open: Bools) -> Pauses:
        """(n, channels + 1, kinds) longest usual pauses, s, with these rows. A silence is no usual pause."""
        e, arrived = look.entity, look.rows.arrived
        pause = state["silence.pause"][e]
        week = arrived // _WEEK
        turned = week > state["silence.week"][e]
        if turned.any():
            pause[turned, :, :, 1] = pause[turned, :, :, 0]
            pause[turned, :, :, 0] = 0
            state["silence.week"][e] = np.maximum(week, state["silence.week"][e])
        usual = heard & (last != NEVER) & ~is_open & ~is_open[:, self._home, None]
        gap = (np.where(usual, arrived[:, None] - np.where(usual, last, 0), 0) / MICROS).astype(np.float32)
        pause[:, :, _ANY, 0] = np.maximum(pause[:, :, _ANY, 0], gap)
        beaten = np.where(look.heartbeat[:, None], gap, np.float32(0))
        pause[:, :, _BEATEN, 0] = np.maximum(pause[:, :, _BEATEN, 0], beaten)
        state["silence.pause"][e] = pause
        return np.asarray(pause.max(axis=3))

    def _usual(self, pause_s: float) -> int:
        """µs after which a home that pauses so long is quiet, if not yet silent."""
        return round(1.5 * pause_s * MICROS)

    def _deadline(self, last: Ints, pause: Pauses, first: Ints, done: Bools) -> Ints:
        """(n, channels + 1) µs; NEVER where nothing is known of a heartbeat, or the silence is open.

        A heartbeat ends the long pauses; where they end with what the resident does, there is none.
        """
        known = last != NEVER
        newest = np.where(known, last, 0)
        long_enough = newest - np.where(first == NEVER, 0, first)[:, None] >= self._learn
        longest = (pause[:, :, _ANY].astype(np.float64) * MICROS).astype(np.int64)
        beats = (pause[:, :, _BEATEN] > 0) & (2 * pause[:, :, _BEATEN] >= pause[:, :, _ANY])
        wait = np.maximum((longest * self._periods).astype(np.int64), self._least)
        learned = long_enough & beats & (longest <= self._longest)
        wait = np.where(self._fixed != NEVER, self._fixed, np.where(learned, wait, 0))
        return np.where(known & ~done & (wait > 0), newest + wait, NEVER)

    def _raise(self, state: State, out: Out, entity: int, place: int, at: int, last: int) -> None:
        limit = self._fixed[place] if self._fixed[place] != NEVER else at - last
        source = self._settings.periods.source
        if self._fixed[place] != NEVER:
            family = self._names[place].split(".")[1]
            source = self._settings.after[family].source
        silent = Observation(
            name=self._names[place].removeprefix("silence."),
            observed=hours(at - last),
            limit=f"heard within {duration(int(limit))}",
            unit="h",
            source=source,
        )
        self._episodes.open(state, out, entity, self._names[place], at=at, onset=last, observations=(silent,))
