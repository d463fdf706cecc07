import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.unit_score import unit_score

distances = st.floats(min_value=0.0, max_value=1e300)
thresholds = st.floats(min_value=1e-9, max_value=1e6)


@given(distance=distances, threshold=thresholds, steps=st.integers(-3, 3))
def test_half_is_reached_exactly_where_the_threshold_is(
    distance: float, threshold: float, steps: int
) -> None:
    near = threshold
    for _ in range(abs(steps)):
        near = float(np.nextafter(near, np.inf if steps > 0 else 0.0))
    d = np.array([distance, near])
    score = unit_score(d, threshold)
    assert ((score >= 0.5) == (d >= threshold)).all()
    assert ((score >= 0) & (score <= 1)).all()


@given(pair=st.tuples(distances, distances), threshold=thresholds)
def test_a_greater_distance_never_scores_less(pair: tuple[float, float], threshold: float) -> None:
    low, high = unit_score(np.array(sorted(pair)), threshold)
    assert low <= high


def test_not_ready_stays_not_ready() -> None:
    assert np.isnan(unit_score(np.array([np.nan]), 1.0)).all()
