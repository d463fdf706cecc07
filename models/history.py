"""The past of an entity, as detectors on windows keep it: warm-up, and no learning from what was flagged.

Two rings of float32 for each channel: ``window`` holds the last rows that were accepted, ``raw`` the
last rows whatever they were, so that a lasting change can become the usual (``rebase``). Values that
came as float32 are kept exactly. Every operation treats each entity by itself, so that a result has
the same bits alone and among others.
"""

import numpy as np

from zhiwei.contracts import Array, Bools, Field, Floats, Ints, State

_MOST = float(np.finfo(np.float32).max)


def stored(x: Floats) -> Floats:
    """Values as the rings hold them: rounded to float32, cut at its range, NaN kept; again as float64.

    What is compared with a window must go through this first: 6.99 and its float32 are two numbers.
    """
    return np.clip(x, -_MOST, _MOST).astype(np.float32).astype(np.float64)


def each_once(entity: Ints) -> None:
    """Raises ValueError where an entity occurs twice: a scatter would keep one row and lose the other."""
    if len(entity) > 1:
        ranked = np.sort(entity)
        if (ranked[1:] == ranked[:-1]).any():
            raise ValueError("an entity occurs twice in one call; step its rows in rounds")


class History:
    """The last ``rows`` rows of each channel.

    A missing value takes the previous one, in warm-up (as CANARY does) and after it, so that window rows
    stay comparable. A channel that has had no value for ``rows`` rows holds nothing but such repetitions: it
    starts again. Slots of a channel that hold nothing are NaN.
    """

    def __init__(self, part: str, rows: int, channels: tuple[str, ...]) -> None:
        """part: what the names of the fields begin with; they end with ``rows``, for counters that were
        carried over without their rings, when a policy changes the length, would speak of nothing."""
        self.rows = rows
        self.window, self.raw = f"{part}.window.{rows}", f"{part}.raw.{rows}"
        self._place = {self.window: f"{part}.place.{rows}", self.raw: f"{part}.raw_place.{rows}"}
        self._filled = {self.window: f"{part}.filled.{rows}", self.raw: f"{part}.raw_filled.{rows}"}
        self._absent = f"{part}.absent.{rows}"
        rings, counters = (self.window, self.raw), (*self._filled.values(), self._absent)
        self.fields: tuple[Field, ...] = (
            *(Field(name, "float32", ("channel", rows), fill=np.nan, channels=channels) for name in rings),
            *(Field(name, "int16", ("channel",), channels=channels) for name in counters),
            *(Field(name, "int16") for name in self._place.values()),
        )

    def filled(self, state: State, entity: Ints) -> Ints:
        """(n, channels) how many values of this channel the window holds."""
        return state[self._filled[self.window]][entity].astype(np.int64)

    def full(self, state: State, entity: Ints) -> Bools:
        """(n, channels) whether the window holds this channel from end to end."""
        return np.asarray(state[self._filled[self.window]][entity] == self.rows)

    def begun(self, state: State, entity: Ints) -> Bools:
        """(n, channels) whether the channel is on its way into the window, or has filled ``raw``."""
        filled, raw = (state[self._filled[ring]][entity] for ring in (self.window, self.raw))
        return np.asarray((filled > 0) | (raw == self.rows))

    def values(self, state: State, entity: Ints) -> Floats:
        """(n, channels, rows) float64, a C-contiguous copy of the window in the order of the ring."""
        return state[self.window][entity].astype(np.float64)

    def in_order(self, state: State, entity: Ints) -> Floats:
        """(n, channels, rows) as ``values``, from the oldest row to the newest."""
        place = state[self._place[self.window]][entity].astype(np.int64)
        order = (place[:, None] + np.arange(self.rows)) % self.rows
        return np.take_along_axis(self.values(state, entity), order[:, None, :], axis=2)

    def latest(self, state: State, entity: Ints, ring: str) -> Floats:
        """(n, channels) the newest value in ``window`` or ``raw``, filled in or not; NaN where none is."""
        return self._latest(state, ring, entity).astype(np.float64)

    def learn(self, state: State, entity: Ints, x: Floats, flagged: Bools) -> None:
        """Rows into the rings: all that hold a value into ``raw``, those not flagged into the window.

        entity: (n,) each once. x: (n, channels) as given by ``stored``. A row without any value changes
        nothing. Raises ValueError if an entity occurs twice.
        """
        each_once(entity)
        missing = np.isnan(x)
        seen = ~missing.all(axis=1)
        if not seen.all():
            entity, x, missing, flagged = entity[seen], x[seen], missing[seen], flagged[seen]
        absent = np.where(missing, np.minimum(state[self._absent][entity] + 1, self.rows), 0)
        state[self._absent][entity] = absent
        gone, channel = np.nonzero((absent >= self.rows) & (state[self._filled[self.raw]][entity] > 0))
        for ring, filled in self._filled.items():
            state[filled][entity[gone], channel] = 0
            state[ring][entity[gone], channel] = np.nan
        self._push(state, self.raw, entity, x)
        accepted = ~flagged
        if accepted.all():
            self._push(state, self.window, entity, x)
        elif accepted.any():
            self._push(state, self.window, entity[accepted], x[accepted])

    def rebase(self, state: State, entity: Ints, keep: int | None = None) -> None:
        """The window becomes the last raw rows: all of them, or the last ``keep``."""
        keep = self.rows if keep is None else keep
        place = state[self._place[self.raw]][entity]
        age = (place[:, None].astype(np.int64) - 1 - np.arange(self.rows)) % self.rows  # 0 = the newest row
        kept = np.where((age < keep)[:, None, :], state[self.raw][entity], np.float32(np.nan))
        state[self.window][entity] = kept
        state[self._place[self.window]][entity] = place
        state[self._filled[self.window]][entity] = np.minimum(state[self._filled[self.raw]][entity], keep)

    def _latest(self, state: State, ring: str, entity: Ints) -> Array:
        place = state[self._place[ring]][entity].astype(np.int64)
        value = state[ring][entity, :, (place - 1) % self.rows]
        return np.where(state[self._filled[ring]][entity] > 0, value, np.float32(np.nan))

    def _push(self, state: State, ring: str, entity: Ints, x: Floats) -> None:
        value = np.where(np.isnan(x), self._latest(state, ring, entity), x)
        place, filled = state[self._place[ring]], state[self._filled[ring]]
        state[ring][entity, :, place[entity]] = value
        place[entity] = (place[entity] + 1) % self.rows
        filled[entity] = np.where(np.isnan(value), 0, np.minimum(filled[entity] + 1, self.rows))
