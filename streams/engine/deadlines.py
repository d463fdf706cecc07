"""Which entities may have a deadline that time has passed, without a look at all of them at each step."""

import numpy as np
import numpy.typing as npt

from zhiwei.clock import NEVER
from zhiwei.contracts import Ints

BLOCK = 256
"""Entities that are looked at together."""


class Deadlines:
    """The earliest deadline of each clock, block of entities and timer, or an earlier time.

    A deadline that was put off or dropped leaves its time here until it passes; then its block is looked at,
    and no other. So a step costs by what it touches and by what is due, not by how many entities there are
    (measured: bench.entities).
    """

    def __init__(self) -> None:
        self._earliest: Ints | None = None
        """(clocks, blocks, timers) µs. None before the first look: until then others put in state, too."""

    def written(self, entities: Ints, clock: npt.NDArray[np.int16], timer: Ints) -> None:
        """These rows of state are new. entities: (n,) numbers, ascending; clock: (n,); timer: (n, timers)."""
        if self._earliest is None or not len(entities):
            return
        self._make_room(int(clock.max()) + 1, int(entities[-1]) // BLOCK + 1)
        for number in np.unique(clock).tolist():
            mine = clock == number
            block = entities[mine] // BLOCK
            first = np.flatnonzero(np.diff(block, prepend=-1))
            lowest = np.minimum.reduceat(timer[mine], first, axis=0)
            here = self._earliest[number]
            here[block[first]] = np.minimum(here[block[first]], lowest)

    def passed(self, limits: Ints, clock: npt.NDArray[np.int16], timer: Ints) -> Ints:
        """Numbers of entities, ascending: all that have a deadline up to their clock's limit, and others.

        limits: (clocks, timers) µs. clock, timer: of all entities, as for ``written``.
        """
        if self._earliest is None:
            self._earliest = np.empty((0, 0, timer.shape[1]), np.int64)
            self._make_room(len(limits), -(-len(timer) // BLOCK))
            self.written(np.arange(len(timer)), clock, timer)
        known = self._earliest[: len(limits)]
        due = (known <= limits[: len(known), None]).any(axis=(0, 2))
        first = np.flatnonzero(due) * BLOCK
        numbers = (first[:, None] + np.arange(BLOCK)).ravel()
        return numbers[numbers < len(timer)]

    def looked_at(self, entities: Ints, clock: npt.NDArray[np.int16], timer: Ints) -> None:
        """What ``passed`` told, as it is now, after what was due has fired; arguments: see ``written``."""
        if self._earliest is not None:
            self._earliest[:, np.unique(entities // BLOCK)] = NEVER
            self.written(entities, clock, timer)

    def _make_room(self, clocks: int, blocks: int) -> None:
        """At least so many of each; blocks by doubling."""
        assert self._earliest is not None
        have = self._earliest.shape
        if clocks <= have[0] and blocks <= have[1]:
            return
        room = (max(clocks, have[0]), have[1] if blocks <= have[1] else max(blocks, 2 * have[1]), have[2])
        grown = np.full(room, NEVER, np.int64)
        grown[: have[0], : have[1]] = self._earliest
        self._earliest = grown
