"""How long predicates have held, in event time, over gaps and unknowns.

A gap up to the limit counts as held; of a longer one nothing counts, and the timer goes on from where it
stood. A row that does not know the predicate is no row to its timer. Only "no" sets it back, or a row that
says that the car has made another run.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from scenarios.elevator.trilean import NO, YES
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Ints, State


class Hold(IntEnum):
    """The predicates that are timed."""

    OUT_OF_ZONE = 0
    """Branch A."""
    PERSON_UNKNOWN = 1
    """Branch A with a person sensor that is judged stuck."""
    IN_ZONE = 2
    """Branches B and B'."""
    FREE = 3
    """The door is open in the zone."""
    EMPTY_OUT_OF_ZONE = 4
    DOOR_OPEN_MOVING = 5
    DOOR_BLOCKED = 6
    LEFT_ZONE_OPEN = 7
    OFF_LEVEL = 8
    RUN = 9


_STANDING = np.isin(
    np.arange(len(Hold)),
    [Hold.OUT_OF_ZONE, Hold.PERSON_UNKNOWN, Hold.IN_ZONE, Hold.EMPTY_OUT_OF_ZONE, Hold.OFF_LEVEL, Hold.RUN],
)
"""A changed count of runs says that the car was elsewhere meanwhile, or that this is another run."""

FIELDS = (
    Field("hold.held", "int64", (len(Hold),)),
    Field("hold.last", "int64", (len(Hold),), NEVER),
    Field("hold.onset", "int64", (len(Hold),), NEVER),
)


@dataclass(slots=True)
class Held:
    """(n, len(Hold)) arrays of the rows at hand."""

    now: npt.NDArray[np.int8]
    """The predicate in this row, a trilean."""
    us: Ints
    """How long it has held."""
    onset: Ints
    """Since when; NEVER where it does not hold."""
    fresh: Bools
    """It began, or began again, with this row."""

    def reached(self, hold: Hold, limit_us: Ints) -> Bools:
        """Held as long as the limit, and this row says that it still holds."""
        return np.asarray((self.now[:, hold] == YES) & (self.us[:, hold] >= limit_us))

    def passed(self, hold: Hold, limit_us: Ints) -> Bools:
        """Held longer than the limit, and this row says that it still holds."""
        return np.asarray((self.now[:, hold] == YES) & (self.us[:, hold] > limit_us))

    def ended(self, hold: Hold) -> Bools:
        """This row says that it does not hold."""
        return np.asarray(self.now[:, hold] == NO)

    def running(self, hold: Hold) -> Bools:
        """Began and was not set back; this row may not know."""
        return np.asarray(self.onset[:, hold] != NEVER)


def step(
    state: State,
    entity: Ints,
    at: Ints,
    now: npt.NDArray[np.int8],
    *,
    another_run: Bools,
    turned: Bools,
    gap_us: Ints,
) -> Held:
    """One more row of each lift.

    now: (n, len(Hold)) trileans. another_run: (n,) the count of runs has changed. turned: (n,) the car goes
    the other way than before. gap_us: (n,) or (1,) the longest gap that counts as held.
    """
    held, last, onset = (state[field.name][entity] for field in FIELDS)
    yes = now == YES
    restart = another_run[:, None] & _STANDING
    restart[:, Hold.RUN] |= turned
    before = (onset != NEVER) & ~restart
    goes_on = yes & before
    begins = yes & ~before
    # A row of another device may be a little older than the one before it: it adds nothing.
    passed = np.where(goes_on, at[:, None] - np.where(goes_on, last, 0), 0)
    counts = goes_on & (passed > 0) & (passed <= gap_us[:, None])
    stays = (before & (now != NO)) | begins
    held = np.where(stays & ~begins, held + np.where(counts, passed, 0), 0)
    onset = np.where(begins, at[:, None], np.where(stays, onset, NEVER))
    newest = np.maximum(at[:, None], np.where(goes_on, last, at[:, None]))
    last = np.where(yes, newest, np.where(stays, last, NEVER))
    for field, values in zip(FIELDS, (held, last, onset), strict=True):
        state[field.name][entity] = values
    return Held(now, held, onset, begins)
