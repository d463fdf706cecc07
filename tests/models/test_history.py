from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.history import History, stored

ROWS = 4
ENTITY = np.array([0])
cell = st.one_of(st.none(), st.integers(-5, 5))
step = st.tuples(st.tuples(cell, cell), st.booleans(), st.sampled_from([None, None, None, 2, ROWS]))
"""Values of two channels, whether the row is flagged, and how many rows a rebase after it keeps."""


class Lists:
    """The same with lists of one channel, without rings."""

    def __init__(self) -> None:
        self.window: list[float] = []
        self.raw: list[float] = []
        self.absent = 0

    def learn(self, value: float | None, *, flagged: bool) -> None:
        self.absent = 0 if value is not None else self.absent + 1
        if self.absent >= ROWS:
            self.window, self.raw = [], []
        for ring in [self.raw] if flagged else [self.raw, self.window]:
            if value is not None or ring:
                ring.append(float(value) if value is not None else ring[-1])
            del ring[:-ROWS]

    def rebase(self, keep: int) -> None:
        self.window = self.raw[-keep:]


@given(steps=st.lists(step, max_size=30))
def test_rings_hold_what_lists_would(blank: Any, steps: list[Any]) -> None:
    history = History("test", ROWS, ("a", "b"))
    state = blank(history.fields, 1, 2)
    lists = [Lists(), Lists()]
    for values, flagged, keep in steps:
        x = np.array([[np.nan if v is None else v for v in values]], np.float64)
        history.learn(state, ENTITY, x, np.array([flagged]))
        if values != (None, None):
            for column, value in zip(lists, values, strict=True):
                column.learn(value, flagged=flagged)
        if keep is not None:
            history.rebase(state, ENTITY, keep)
            for column in lists:
                column.rebase(keep)
        for channel, column in enumerate(lists):
            in_order = history.in_order(state, ENTITY)[0, channel]
            assert in_order[~np.isnan(in_order)].tolist() == column.window
            assert history.filled(state, ENTITY)[0, channel] == len(column.window)
            latest = history.latest(state, ENTITY, history.window)[0, channel]
            assert latest == column.window[-1] if column.window else np.isnan(latest)


def test_another_length_shares_no_field_with_this_one() -> None:
    names = {field.name for field in History("test", 4, ("a",)).fields}
    assert names.isdisjoint(field.name for field in History("test", 5, ("a",)).fields)


def test_values_beyond_float32_are_cut_at_its_range() -> None:
    top = float(np.finfo(np.float32).max)
    assert stored(np.array([1e300, -1e300, 6.99])).tolist() == [top, -top, float(np.float32(6.99))]


def test_an_entity_that_occurs_twice_is_refused(blank: Any) -> None:
    history = History("test", ROWS, ("a",))
    state = blank(history.fields, 2, 1)
    with pytest.raises(ValueError, match="occurs twice"):
        history.learn(state, np.array([1, 1]), np.zeros((2, 1)), np.zeros(2, bool))
