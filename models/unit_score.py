"""From a distance to a score: one mapping for every detector, exact at the threshold."""

import numpy as np

from zhiwei.contracts import Floats

OUTLIER = 0.5
"""A row is an outlier when its score is at least this; the distance then is at least the threshold."""

_BELOW = np.nextafter(OUTLIER, 0.0)


def unit_score(distance: Floats, threshold: Floats | float) -> Floats:
    """``d / (d + threshold)``: 0 at no distance, 0.5 at the threshold, towards 1 without end.

    distance: any shape, >= 0, NaN = not ready and stays NaN. threshold: > 0.
    The quotient alone could round to 0.5 just below the threshold, or fall under it at the threshold:
    it is held on its side, so that ``score >= 0.5`` and ``distance >= threshold`` are the same rows.
    """
    score = distance / (distance + threshold)
    return np.where(distance >= threshold, np.maximum(score, OUTLIER), np.minimum(score, _BELOW))
