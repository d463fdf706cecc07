from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.mvnn import Mvnn
from zhiwei.contracts import Floats

ENTITY = np.array([0])
CHANNELS = ("free_chlorine", "ph_2")


def make(history: int = 6, threshold: float = 0.8) -> Mvnn:
    precision = {"free_chlorine": 0.1, "ph": 0.5, "default": 9.0}
    return Mvnn(
        channels=CHANNELS,
        settings={"history": history, "threshold": threshold, "precision": precision},
        file="test",
    )


def by_hand(window: list[list[float]], x: list[float], precision: list[float], threshold: float) -> float:
    """Smallest distance of x to a row of the window, over the channels of x; the golden file's words."""
    channels = [c for c in range(len(x)) if not np.isnan(x[c])]
    sd = []
    for c in range(len(x)):
        deviation = float(np.std([row[c] for row in window], ddof=1))
        least = precision[c] / threshold
        sd.append(1.001 * least if deviation < least else deviation)
    return min(sum(((x[c] - row[c]) / sd[c]) ** 2 for c in channels) ** 0.5 for row in window)


value = st.floats(-50, 50, width=32)
rows_of_two = st.lists(st.tuples(value, value), min_size=7, max_size=25)


@settings(deadline=None)
@given(rows=rows_of_two, holes=st.sets(st.integers(0, 24), max_size=5), threshold=st.sampled_from([0.8, 3.0]))
def test_the_score_is_that_of_the_rule_worked_by_hand(
    blank: Any, rows: list[tuple[float, float]], holes: set[int], threshold: float
) -> None:
    detector = make(threshold=threshold)
    state = blank(detector.fields, 1, 2)
    window: list[list[float]] = []
    for step, (a, b) in enumerate(rows):
        x = [a, np.nan if step in holes and step > 0 else b]
        score = float(detector.score(state, ENTITY, np.array([x]))[0])
        if len(window) < 6:
            assert np.isnan(score)
            outlier = False
        else:
            distance = by_hand(window[-6:], x, [0.1, 0.5], threshold)
            assert score == pytest.approx(distance / (distance + threshold), rel=1e-9, abs=1e-9)
            outlier = score >= 0.5
        detector.learn(state, ENTITY, np.array([x]), np.array([outlier]))
        if not outlier:
            window.append([v if not np.isnan(v) else window[-1][c] for c, v in enumerate(x)])


def filled(detector: Mvnn, blank: Any, rows: Floats) -> Any:
    state = blank(detector.fields, 1, rows.shape[1])
    for row in rows:
        detector.learn(state, ENTITY, row[None, :], np.array([False]))
    return state


WINDOW = np.array([[1.0, 7.0], [1.1, 7.0], [2.0, 9.0], [1.0, 7.5], [1.2, 7.0], [1.1, 7.5]])


def test_rounding_of_a_flat_channel_is_no_outlier(blank: Any) -> None:
    detector = make()
    state = filled(detector, blank, np.tile([[1.0, 7.0]], (6, 1)))
    one_step, nine_steps = np.array([[1.0, 7.5]]), np.array([[1.0, 11.5]])
    assert detector.score(state, ENTITY, one_step)[0] < 0.5 <= detector.score(state, ENTITY, nine_steps)[0]


def test_expected_is_the_most_similar_row(blank: Any) -> None:
    detector = make()
    state = filled(detector, blank, WINDOW)
    found = detector.expected(state, ENTITY, np.array([[2.5, np.nan]]))
    assert found.tolist() == [[2.0, 9.0]]
    assert np.isnan(detector.expected(state, ENTITY, np.array([[np.nan, np.nan]]))).all()


def test_a_channel_counts_once_its_own_window_is_full(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    rows = WINDOW.copy()
    rows[:3, 1] = np.nan
    for row in rows:
        detector.learn(state, ENTITY, row[None, :], np.array([False]))
    only_second = np.array([[np.nan, 90.0]])
    assert np.isnan(detector.score(state, ENTITY, only_second)[0])
    assert detector.score(state, ENTITY, np.array([[1.0, 90.0]]))[0] < 0.5
    for row in WINDOW[:3]:
        detector.learn(state, ENTITY, row[None, :], np.array([False]))
    assert detector.score(state, ENTITY, only_second)[0] >= 0.5


def test_a_channel_that_was_away_for_a_window_starts_again(blank: Any) -> None:
    detector = make()
    state = filled(detector, blank, WINDOW)
    for row in WINDOW:
        detector.learn(state, ENTITY, np.array([[row[0], np.nan]]), np.array([False]))
    assert np.isnan(detector.score(state, ENTITY, np.array([[np.nan, 90.0]]))[0])


def test_after_rebase_the_new_level_is_usual(blank: Any) -> None:
    detector = make()
    state = filled(detector, blank, WINDOW)
    level = np.array([[5.0, 7.0]])
    for _ in range(2):
        assert detector.score(state, ENTITY, level)[0] >= 0.5
        detector.learn(state, ENTITY, level, np.array([True]))
    detector.rebase(state, ENTITY)
    assert detector.score(state, ENTITY, level)[0] == 0.0


def test_a_station_of_four_channels_fits_in_8_kib() -> None:
    channels = ("free_chlorine", "ph", "turbidity", "toc")
    detector = Mvnn(
        channels=channels,
        settings={"history": 144, "threshold": 0.8, "precision": {"default": 0.01}},
        file="test",
    )
    sizes = [
        np.dtype(field.dtype).itemsize
        * int(np.prod([len(channels) if axis == "channel" else axis for axis in field.axes]))
        for field in detector.fields
    ]
    assert sum(sizes) == 4636
