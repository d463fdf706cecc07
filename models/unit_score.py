"""From a distance to a score: one mapping for every detector, exact at the threshold."""

import numpy as np

from zhiwei.contracts import Floats

OUTLIER = 0.5
"""A row is an outlier when its score is at least this; the distance then is at least the threshold."""

_BELOW = np.nextafter(OUTLIER, 0.0)


def unit_score(distance: Floats, threshold: Floats | float) -> Floats:
    """``d / (d + threshold)``: 0 at no distance, 0.5 at the threshold, towards 1 without end.

    distance: any shape, >= 0, NaN = not ready and stays NaN. threshold: > 0.
    At or above the threshold the quotient cannot fall under 0.5, for ``d + threshold <= 2 d`` and rounding
    keeps the order; just below, it could round up to 0.5 and is held under it. So ``score >= 0.5`` and
    ``distance >= threshold`` are the same rows.
    """
    score = distance / (distance + threshold)
    return np.where(distance >= threshold, score, np.minimum(score, _BELOW))
