"""The bound on deadlines: whatever is written, no entity that is due is passed over."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.deadlines import BLOCK, Deadlines
from zhiwei.clock import NEVER
from zhiwei.contracts import Ints

ENTITIES, CLOCKS, TIMERS = 3 * BLOCK + 7, 2, 2
Step = tuple[dict[int, tuple[int, int, int]], tuple[int, int], bool]


def due(limits: Ints, clock: npt.NDArray[np.int16], timer: Ints) -> set[int]:
    return set(np.flatnonzero((timer <= limits[clock]).any(axis=1)).tolist())


a_time = st.one_of(st.integers(0, 100), st.just(NEVER))
some_rows = st.dictionaries(
    st.integers(0, ENTITIES - 1), st.tuples(st.integers(0, CLOCKS - 1), a_time, a_time), max_size=6
)
steps = st.lists(st.tuples(some_rows, st.tuples(st.integers(0, 9), st.integers(0, 9)), st.booleans()))


@given(steps)
def test_every_entity_that_is_due_is_looked_at_whatever_was_written_before(steps: list[Step]) -> None:
    deadlines, count = Deadlines(), 1
    clock = np.zeros(ENTITIES, np.int16)
    timer = np.full((ENTITIES, TIMERS), NEVER)
    limits = np.zeros((CLOCKS, TIMERS), np.int64)
    for rows, passes, fires in steps:
        entities = np.array(sorted(rows), np.int64)
        for entity, (number, *times) in rows.items():
            clock[entity], timer[entity] = number, times
            count = max(count, entity + 1)
        deadlines.written(entities, clock[entities], timer[entities])
        limits += np.array(passes)[:, None]
        seen = deadlines.passed(limits, clock[:count], timer[:count])
        wanted = due(limits, clock[:count], timer[:count])
        assert wanted <= set(seen.tolist())
        assert sorted(set(seen.tolist())) == seen.tolist()
        if fires:  # else they are held back
            timer[sorted(wanted)] = NEVER
            entities = np.array(sorted(wanted), np.int64)
            deadlines.written(entities, clock[entities], timer[entities])
        deadlines.looked_at(seen, clock[seen], timer[seen])


def test_only_the_block_of_what_is_due_is_looked_at_and_once_for_a_deadline_that_was_put_off() -> None:
    deadlines = Deadlines()
    clock, timer = np.zeros(ENTITIES, np.int16), np.full((ENTITIES, 1), 100)
    timer[BLOCK + 3] = 10
    assert not len(deadlines.passed(np.array([[9]]), clock, timer))
    put_off = np.array([BLOCK + 3])
    timer[put_off] = 200
    deadlines.written(put_off, clock[put_off], timer[put_off])
    seen = deadlines.passed(np.array([[10]]), clock, timer)
    assert seen.tolist() == list(range(BLOCK, 2 * BLOCK))
    deadlines.looked_at(seen, clock[seen], timer[seen])
    assert not len(deadlines.passed(np.array([[99]]), clock, timer))
    assert len(deadlines.passed(np.array([[100]]), clock, timer)) == ENTITIES
