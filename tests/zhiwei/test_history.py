"""Where a line may be drawn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.history import Gap, unbroken

TIMES = st.lists(st.integers(0, 30), max_size=8).map(sorted)
GAPS = st.lists(
    st.tuples(st.none() | st.integers(0, 30), st.none() | st.integers(0, 30)).map(
        lambda ends: Gap(ends[0], ends[1], "overtaken", 1)
    ),
    max_size=3,
)


@given(TIMES, GAPS)
def test_two_points_are_in_one_run_only_if_no_gap_lies_between_them(at, gaps) -> None:
    runs = unbroken(np.array(at, np.int64), gaps)
    assert [place for run in runs for place in range(len(at))[run]] == list(range(len(at)))
    cuts = {run.start for run in runs[1:]}
    for place in range(1, len(at)):
        moments = [at[place - 1] + part * (at[place] - at[place - 1]) / 8 for part in range(9)][1:-1]
        lies = any(
            (gap.start_us is None or moment > gap.start_us) and (gap.end_us is None or moment < gap.end_us)
            for gap in gaps
            for moment in moments
            if at[place] > at[place - 1]
        )
        if lies:
            assert place in cuts


def test_a_pair_that_only_touches_the_end_of_a_gap_is_not_parted() -> None:
    gap = Gap(10, 20, "overtaken", 1)
    assert unbroken(np.array([5, 10, 20, 25]), [gap]) == [slice(0, 2), slice(2, 4)]


def test_without_points_there_is_no_run() -> None:
    assert unbroken(np.array([], np.int64), [Gap(None, None, "unreadable", 1)]) == []


def test_an_open_gap_parts_all_that_comes_after_its_beginning() -> None:
    assert unbroken(np.array([1, 2, 3]), [Gap(1, None, "unreadable", 1)]) == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 3),
    ]
