"""Three-valued logic over arrays: a term that is not known makes a predicate unknown, not false.

0 = no, 1 = not known, 2 = yes (int8), so that "and" is the minimum, "or" the maximum and "not" 2 − x.
"""

from functools import reduce

import numpy as np
import numpy.typing as npt

from zhiwei.contracts import Bools, Floats

Trileans = npt.NDArray[np.int8]

NO = np.int8(0)
UNKNOWN = np.int8(1)
YES = np.int8(2)


def of_floats(values: Floats) -> Trileans:
    """0.0 and 1.0 to no and yes, NaN to not known."""
    return np.where(np.isnan(values), UNKNOWN, np.where(values > 0.5, YES, NO))


def of_bools(known: Bools, yes: Bools) -> Trileans:
    """Not known where ``known`` is false."""
    return np.where(known, np.where(yes, YES, NO), UNKNOWN)


def both(*terms: Trileans) -> Trileans:
    """All of the terms."""
    return reduce(np.minimum, terms)


def either(*terms: Trileans) -> Trileans:
    """Any of the terms."""
    return reduce(np.maximum, terms)


def negated(term: Trileans) -> Trileans:
    """Not."""
    return np.asarray(YES - term, np.int8)


def shown(value: int) -> bool | None:
    """As an observation has it."""
    return None if value == UNKNOWN else bool(value == YES)
