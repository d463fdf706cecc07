"""What every rule reads of a row: which channel means what, what changed, what is a sign of activity.

Nothing here judges anybody. Arrays are (rows, channels) unless said otherwise, and each row is treated by
itself, so that a result has the same bits alone and among others.
"""

import re
from dataclasses import dataclass

import numpy as np

from scenarios.elderly.homes import ALWAYS
from scenarios.elderly.policy import Late, RoomWords
from scenarios.elderly.schema import SCHEMA
from zhiwei.clock import MICROS
from zhiwei.contracts import Bools, Field, Floats, Ints, Round, State

NO_ROOM, BATHROOM, BEDROOM = 0, 1, 2
_WORDS = re.compile(r"[._]")
_UINT32 = (1 << 32) - 1


class Layout:
    """Columns by what they say. A room is the suffix; all bathrooms are one, and all bedrooms."""

    def __init__(self, channels: tuple[str, ...], words: RoomWords) -> None:
        self.channels = channels
        parts = [name.partition(".") for name in channels]
        self.family = [family for family, _, _ in parts]
        self.words = words
        self.suffix = [suffix for _, _, suffix in parts]
        self.room = np.array([self.kind_of(suffix) for suffix in self.suffix], np.int64)
        doors = self.of("door")
        entrance = [
            doors[c] and (not suffix or bool(set(_WORDS.split(suffix)) & set(words.entrance)))
            for c, suffix in enumerate(self.suffix)
        ]
        self.entrance = np.array(entrance, bool)
        self.motion = self.of("motion")
        self.bed = self.of("bed")
        self.presence = self.of("presence")
        self.standing = self.bed | self.presence
        """Say that somebody is there as long as they say so."""
        described = [SCHEMA.channel(name) for name in channels]
        self.low = np.array([-np.inf if c is None or c.low is None else c.low for c in described])
        self.high = np.array([np.inf if c is None or c.high is None else c.high for c in described])
        """Plausible range of each channel."""
        self.inside = self.motion | self.standing | (doors & ~self.entrance)
        """Show activity inside the home."""
        self.boolean = np.array([c is not None and c.dtype == "bool" for c in described], bool)
        self.switch = self.standing | doors
        """Of which the change counts, not the value: they repeat it as a heartbeat."""
        self.amends = np.array([c is not None and c.amends for c in described], bool)
        """Signs of activity, which count also when they come late."""

    def of(self, family: str) -> Bools:
        """(channels,) mask of a family."""
        return np.array([name == family for name in self.family], bool)

    def names(self, mask: Bools) -> tuple[str, ...]:
        """Channels of a mask."""
        return tuple(self.channels[place] for place in np.flatnonzero(mask).tolist())

    def kind_of(self, suffix: str) -> int:
        """BATHROOM, BEDROOM or NO_ROOM."""
        words = set(_WORDS.split(suffix))
        if words & set(self.words.bathroom):
            return BATHROOM
        return BEDROOM if words & set(self.words.bedroom) else NO_ROOM

    def same_room(self, one: int, other: int) -> bool:
        """Whether two columns are of one room."""
        kind = self.room[one]
        return bool(kind == self.room[other]) if kind else self.suffix[one] == self.suffix[other]


@dataclass(slots=True)
class Look:
    """The rows of a round as rules see them; (n,) unless said otherwise."""

    rows: Round
    home: Ints
    """Place in ``Homes``."""
    local: Ints
    """Local µs of ``at``."""
    seen: Bools
    """(n, channels) has a value."""
    on: Bools
    """(n, channels) has the value true."""
    edge: Bools
    """(n, channels) a switch that has changed."""
    heartbeat: Bools
    """The device sent it of its own accord, not because something happened."""
    sign: Bools
    """(n, channels) a sign of activity: motion, or the change of a switch."""
    upright: Bools
    """Radar says that the resident is upright."""
    inside: Bools
    """A sign from within the home."""
    door: Bools
    """The entrance door was opened or closed."""
    observed: Bools
    """Carries a value of a channel that can show activity inside."""
    used: Bools
    """Water was used; filled by the meter."""
    was_away: Bools
    """Presence before this row; filled by presence, as the next four."""
    presumed: Bools
    """Came back by the door and was not seen inside since."""
    sign_before: Ints
    """Last sign of any kind before this row."""
    declared: Ints
    """NOTHING, AWAY or VISITOR."""
    returned: Bools
    """What was declared has ended with this row."""
    settled_at: Ints
    """No deadline that this row sets comes before: rows of a burst are judged when all are there."""
    heard_again: Bools
    """The home was silent until this row; filled by silence."""

    @property
    def entity(self) -> Ints:
        return self.rows.entity

    @property
    def at(self) -> Ints:
        return self.rows.at

    @property
    def sign_any(self) -> Bools:
        """Any sign: inside, entrance door or water."""
        return np.asarray(self.inside | self.door | self.used)


class Signals:
    """State: the last value of each boolean and its time, and when each channel last showed activity."""

    def __init__(self, layout: Layout, late: Late) -> None:
        self._layout = layout
        self._late, self._settle = late.after.us, late.settle.us
        self.fields: tuple[Field, ...] = (
            Field("signal.value", "int8", ("channel",), -1),
            Field("signal.value_at", "int64", ("channel",), ALWAYS),
            # Seconds: evidence for people, on which nothing is decided.
            Field("signal.sign_s", "uint32", ("channel",)),
        )

    def read(self, state: State, rows: Round, home: Ints, local: Ints) -> Look:
        """What the rows say."""
        seen = self._plausible(rows)
        on, before = rows.values > 0.5, state["signal.value"][rows.entity]
        # A first value is a change only where it is true: a door that reports "closed" has not been moved.
        edge = seen & self._layout.switch & (on != (before == 1))
        return self._look(state, rows, home, local, seen, seen, edge)

    def read_late(self, state: State, rows: Round, home: Ints, local: Ints) -> Look:
        """What old rows say of the resident's activity, and nothing else that they say.

        A switch has changed only where what it said before is known: a first value is none, nor one that is
        older than the last.
        """
        seen = self._plausible(rows) & self._layout.amends
        on, before = rows.values > 0.5, state["signal.value"][rows.entity]
        newest = seen & (rows.at[:, None] > state["signal.value_at"][rows.entity])
        edge = newest & self._layout.switch & (before >= 0) & (on != (before == 1))
        return self._look(state, rows, home, local, seen, newest, edge)

    def _plausible(self, rows: Round) -> Bools:
        """What a working device cannot say is no value: -9999 is no temperature. NaN compares as outside."""
        return np.asarray((rows.values >= self._layout.low) & (rows.values <= self._layout.high))

    def _look(
        self, state: State, rows: Round, home: Ints, local: Ints, seen: Bools, newest: Bools, edge: Bools
    ) -> Look:
        """newest: (n, channels) values to be remembered."""
        layout, e, n = self._layout, rows.entity, len(rows.at)
        on, before = rows.values > 0.5, state["signal.value"][e]
        sign = (seen & on & layout.motion) | edge
        boolean = seen & layout.boolean
        kept = boolean & newest
        state["signal.value"][e] = np.where(kept, on, before)
        state["signal.value_at"][e] = np.where(kept, rows.at[:, None], state["signal.value_at"][e])
        # A release follows from what happened before; a battery level that comes with it does, too.
        happened = (sign | (boolean & (on != (before == 1)))).any(axis=1)
        for column in rows.text.values():
            happened |= np.array([word is not None for word in column], bool)
        if sign.any():
            second = np.minimum(np.maximum(rows.at // MICROS, 0), _UINT32).astype(np.uint32)[:, None]
            last = state["signal.sign_s"][e]
            state["signal.sign_s"][e] = np.where(sign, np.maximum(last, second), last)
        upright = np.zeros(n, bool)
        for name, column in rows.text.items():
            if name.partition(".")[0] == "posture":
                upright |= np.array([word == "upright" for word in column], bool)
        nobody = np.zeros(n, bool)
        return Look(
            rows=rows,
            home=home,
            local=local,
            seen=seen,
            on=on,
            edge=edge,
            heartbeat=~happened,
            sign=sign,
            upright=upright,
            inside=np.asarray((sign & layout.inside).any(axis=1) | upright),
            door=np.asarray((sign & layout.entrance).any(axis=1)),
            observed=np.asarray((seen & layout.inside).any(axis=1) | upright),
            used=nobody.copy(),
            was_away=nobody,
            presumed=nobody,
            sign_before=np.full(n, ALWAYS),
            declared=np.zeros(n, np.int64),
            returned=nobody,
            settled_at=np.where(rows.arrived - rows.at > self._late, rows.arrived + self._settle, ALWAYS),
            heard_again=nobody,
        )


def at_least(values: Floats, limit: float) -> Bools:
    """values ≥ limit, forgiving the last bits that float32 and sums lose."""
    return np.asarray(values >= limit - 1e-6 * abs(limit))
