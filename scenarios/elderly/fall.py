"""Falls seen by radar: a hold, so that who gets up again is a near-fall and no emergency."""

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS
from scenarios.elderly.policy import Fall
from scenarios.elderly.signals import BATHROOM, Layout, Look
from scenarios.elderly.words import FALL, duration
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Bools, Field, Ints, Out, State
from zhiwei.types import Observation

TIMER = "fall"


def rules_of(layout: Layout) -> list[Rule]:
    """One for each radar, called like its channel."""
    return [Rule(name, FALL) for name in layout.names(layout.of("fall"))]


class Falls:
    """State, by radar: since when a fall waits and until when, when it last said so; near-falls."""

    def __init__(self, layout: Layout, episodes: Episodes, fall: Fall, timer: int) -> None:
        self._episodes, self._timer = episodes, timer
        self.rules = rules_of(layout)
        self._columns = np.flatnonzero(layout.of("fall"))
        bathroom = layout.room[self._columns] == BATHROOM
        self._hold = np.where(bathroom, fall.hold_bathroom.us, fall.hold.us)
        self._source = [(fall.hold_bathroom if b else fall.hold).source for b in bathroom]
        self._renew = fall.renew.us
        # Motion elsewhere is upright motion; of a radar without a room nothing is known to be elsewhere.
        self._elsewhere = np.array(
            [
                [
                    bool(layout.suffix[c]) and layout.motion[m] and not layout.same_room(c, m)
                    for c in self._columns.tolist()
                ]
                for m in range(len(layout.channels))
            ],
            np.bool_,
        ).reshape(len(layout.channels), len(self._columns))
        names = tuple(rule.name for rule in self.rules)
        self._places = episodes.places(names)
        self.fields: tuple[Field, ...] = (
            Field("fall.waiting", "int64", ("channel",), NEVER, channels=names),
            Field("fall.due", "int64", ("channel",), NEVER, channels=names),
            Field("fall.last_at", "int64", ("channel",), ALWAYS, channels=names),
            Field("fall.near", "uint16"),
        )

    def step(self, state: State, look: Look, out: Out) -> None:
        """Upright motion first: it speaks of earlier falls, not of one in the same row."""
        e, at = look.entity, look.at[:, None]
        waiting = state["fall.waiting"][e]
        fell = look.on[:, self._columns] & look.seen[:, self._columns]
        is_open = state["open"][e][:, self._places] != NEVER
        if not (fell.any() or (waiting != NEVER).any() or is_open.any()):
            return
        upright = look.upright[:, None] | self._moved_elsewhere(look)
        near = upright & (waiting != NEVER) & (at > waiting)
        count = state["fall.near"][e].astype(np.int64) + np.count_nonzero(near, axis=1)
        state["fall.near"][e] = np.minimum(count, 65_535)
        for row, place in np.argwhere(upright & is_open).tolist():
            if look.at[row] > state["open"][e[row], self._places[place]]:
                self._episodes.clear(
                    state, out, int(e[row]), self.rules[place].name, at=int(look.at[row]), cause="upright"
                )
        waiting = np.where(near, NEVER, waiting)
        is_open = state["open"][e][:, self._places] != NEVER
        # While a fall is open its radar repeats it; after a pause it may be another one, and waits as well.
        again = at - state["fall.last_at"][e] >= self._renew
        begins = fell & (waiting == NEVER) & (~is_open | again)
        waiting = np.where(begins, at, waiting)
        due = np.where(begins, np.maximum(at + self._hold, look.settled_at[:, None]), state["fall.due"][e])
        state["fall.due"][e] = np.where(waiting == NEVER, NEVER, due)
        last = state["fall.last_at"][e]
        state["fall.last_at"][e] = np.where(fell, np.maximum(last, at), last)
        state["fall.waiting"][e] = waiting
        state["timer"][e, self._timer] = state["fall.due"][e].min(axis=1)

    def _moved_elsewhere(self, look: Look) -> Bools:
        """(n, radars)"""
        moved = np.zeros((len(look.at), len(self._columns)), bool)
        for place in range(len(self._columns)):
            moved[:, place] = (look.sign & self._elsewhere[:, place]).any(axis=1)
        return moved

    def fire(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """Held without upright motion."""
        waiting = state["fall.waiting"][entity]
        due = state["fall.due"][entity] <= at[:, None]
        for row, place in np.argwhere(due).tolist():
            held = Observation(
                name="no_upright_motion",
                observed=round((int(at[row]) - int(waiting[row, place])) / MICROS, 3),
                limit=f"< {duration(int(self._hold[place]))}",
                unit="s",
                source=self._source[place],
            )
            near = Observation(name="near_falls_before", observed=int(state["fall.near"][entity[row]]))
            one, rule = entity[row : row + 1], self.rules[place].name
            self._episodes.clear_where(state, out, one, rule, at[row : row + 1], "fell_again")
            self._episodes.open(
                state,
                out,
                int(entity[row]),
                rule,
                at=int(at[row]),
                onset=int(waiting[row, place]),
                observations=(
                    Observation(name=self.rules[place].name, observed=True, expected=False),
                    held,
                    near,
                ),
                samples=1,
            )
        state["fall.waiting"][entity] = np.where(due, NEVER, waiting)
        state["fall.due"][entity] = np.where(due, NEVER, state["fall.due"][entity])
        state["timer"][entity, self._timer] = state["fall.due"][entity].min(axis=1)
