"""What is asked of a detector beside its score, and how values are shown to a person."""

import numpy as np

from zhiwei.contracts import Bools, Detector, Floats, Ints, State

_FLOAT32_MOST = float(np.finfo(np.float32).max)


def deviating(
    detector: Detector, state: State, entity: Ints, x: Floats, expected: Floats, *, outlier: float
) -> Bools:
    """(n, channels) the channels that make these rows unusual.

    Each channel in turn is put alone into the row that would have been usual, and scored: those that are an
    outlier by themselves; where none is, those that score at least half of the highest. So any
    detector can be asked, whatever its measure. entity: (n,) each once. x: (n, channels), NaN = missing.
    outlier: the score of an outlier.
    """
    present = ~np.isnan(x) & ~np.isnan(expected)
    usual = np.where(present, expected, np.nan)
    alone = np.zeros(x.shape)
    for channel in np.flatnonzero(present.any(axis=0)):
        row = usual.copy()
        row[:, channel] = x[:, channel]
        score = detector.score(state, entity, row)
        alone[:, channel] = np.where(present[:, channel] & ~np.isnan(score), score, 0.0)
    highest = alone.max(axis=1, initial=0.0)
    least = np.where(highest >= outlier, outlier, highest / 2)
    return np.asarray((alone > 0) & (alone >= least[:, None]))


def as_sent(value: float) -> float | None:
    """A value as its source wrote it: 6.99 where its float32 would read 6.989999771. NaN gives None."""
    if np.isnan(value):
        return None
    if abs(value) <= _FLOAT32_MOST and float(np.float32(value)) == value:
        return float(str(np.float32(value)))
    return float(value)


def estimated(value: float) -> float | None:
    """An estimate, to the six digits that it is worth. NaN gives None."""
    return None if np.isnan(value) else float(f"{value:.6g}")
