from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.robust_z import RobustZ

ENTITY = np.array([0])
NO = np.array([False])


def make(window: int = 9, warmup: int = 4, threshold: float = 6.0, channels: int = 1) -> RobustZ:
    return RobustZ(
        channels=tuple("abc"[:channels]),
        settings={"window": window, "warmup": warmup, "threshold": threshold},
        file="test",
    )


def fed(detector: RobustZ, blank: Any, rows: list[list[float]]) -> Any:
    state = blank(detector.fields, 1, len(rows[0]))
    for row in rows:
        detector.learn(state, ENTITY, np.array([row]), NO)
    return state


def score(detector: RobustZ, state: Any, *x: float) -> float:
    return float(detector.score(state, ENTITY, np.array([x]))[0])


value = st.floats(-50, 50, width=32)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(value, value), min_size=1, max_size=20), x=st.tuples(value, value))
def test_the_score_is_the_largest_deviation_worked_by_hand(
    blank: Any, rows: list[tuple[float, float]], x: tuple[float, float]
) -> None:
    detector = make(channels=2)
    state = fed(detector, blank, [list(row) for row in rows])
    step = state["robust_z.step"][0]
    deviations = []
    for channel in range(2):
        window = [row[channel] for row in rows][-9:]
        if len(window) >= 4 and step[channel] > 0:
            median = float(np.median(window))
            mad = float(np.median(np.abs(np.array(window) - median)))
            scale = max(1.4826 * mad, float(step[channel]))
            deviations.append(abs(x[channel] - median) / scale)
    found = score(detector, state, *x)
    if not deviations:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(max(deviations) / (max(deviations) + 6.0), rel=1e-12)


def test_the_small_step_of_rounded_values_is_their_resolution(blank: Any) -> None:
    rng = np.random.default_rng(1)
    rows = [[round(7 + 0.01 * int(k), 2)] for k in np.cumsum(rng.integers(-1, 2, 300))]
    state = fed(make(), blank, rows)
    assert state["robust_z.step"][0, 0] == pytest.approx(0.01, rel=0.15)


def test_a_first_jump_is_forgotten_within_a_few_changes(blank: Any) -> None:
    rows = [[7.0]] * 5 + [[4.0 + 0.01 * (k % 2)] for k in range(12)]
    state = fed(make(), blank, rows)
    assert state["robust_z.step"][0, 0] == pytest.approx(0.01, rel=0.15)


def test_a_flat_channel_that_moves_by_a_few_steps_is_usual(blank: Any) -> None:
    detector = make()
    state = fed(detector, blank, [[7.0], [7.01], *[[7.0]] * 9])
    assert score(detector, state, 7.05) < 0.5 <= score(detector, state, 7.07)


def test_a_switch_makes_no_outlier(blank: Any) -> None:
    detector = make()
    state = fed(detector, blank, [[0.0], [1.0], *[[0.0]] * 9])
    assert score(detector, state, 1.0) < 0.5


def test_a_channel_that_never_changed_has_no_verdict(blank: Any) -> None:
    detector = make()
    state = fed(detector, blank, [[7.0]] * 9)
    assert np.isnan(score(detector, state, 700.0))


def test_one_wild_channel_is_enough(blank: Any) -> None:
    detector = make(channels=2)
    state = fed(detector, blank, [[float(k % 3), float(k % 2)] for k in range(9)])
    assert score(detector, state, 1.0, 0.0) < 0.5 <= score(detector, state, 1.0, 40.0)


def test_after_rebase_a_level_that_holds_the_majority_is_usual(blank: Any) -> None:
    detector = make(window=40, warmup=8)
    state = fed(detector, blank, [[float(k % 2)] for k in range(40)])
    for k in range(5):
        x = np.array([[50.0 + k % 2]])
        assert detector.score(state, ENTITY, x)[0] >= 0.5
        detector.learn(state, ENTITY, x, np.array([True]))
    detector.rebase(state, ENTITY)
    assert score(detector, state, 51.0) < 0.5
    assert detector.expected(state, ENTITY, np.array([[51.0]]))[0, 0] == 50.0
