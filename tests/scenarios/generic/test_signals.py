import numpy as np
import pytest

from scenarios.generic.signals import as_sent, deviating, estimated
from zhiwei.contracts import Floats, Ints, State


class Distance:
    """Scores like a detector for which 0 is usual and an L2 distance of 4 the threshold."""

    def score(self, _state: State, _entity: Ints, x: Floats) -> Floats:
        distance = np.sqrt(np.nansum(x**2, axis=1))
        return np.asarray(distance / (distance + 4.0))


@pytest.mark.parametrize(
    ("x", "channels"),
    [
        ([9.0, 0.1, 0.0], [0]),
        ([9.0, -7.0, 0.5], [0, 1]),
        ([3.0, 3.0, 0.5], [0, 1]),  # only together beyond the threshold
        ([np.nan, 0.5, 8.0], [2]),
        ([np.nan, np.nan, np.nan], []),
    ],
)
def test_the_channels_that_deviate_are_named(x: list[float], channels: list[int]) -> None:
    rows = np.array([x, [0.0, 50.0, 0.0]])
    found = deviating(
        Distance(),  # type: ignore[arg-type]
        State({}),
        np.array([0, 1]),
        rows,
        np.zeros((2, 3)),
        outlier=0.5,
    )
    assert np.flatnonzero(found[0]).tolist() == channels
    assert np.flatnonzero(found[1]).tolist() == [1]


def test_values_are_shown_as_they_were_sent() -> None:
    assert as_sent(float(np.float32(6.99))) == 6.99
    assert as_sent(6.99) == 6.99
    assert as_sent(123456789.123456) == 123456789.123456
    assert as_sent(1e300) == 1e300
    assert as_sent(float("nan")) is None
    assert estimated(float(np.float32(6.99))) == 6.99
    assert estimated(float("nan")) is None
