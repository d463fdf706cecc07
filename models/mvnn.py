"""Multivariate nearest neighbour (MVNN), the detector of the CANARY family.

How far is a row from the most similar row of the recent past, in standard deviations? It needs no
training and no model of the water; it learns each accepted row.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np

from models.history import History, stored
from models.parameters import Parameters, Rows, Threshold, parse
from models.unit_score import unit_score
from zhiwei.contracts import Bools, Floats, Ints, State
from zhiwei.errors import ConfigError
from zhiwei.schema import quantity_of

_BLOCK = 64
"""Entities computed at a time: 64 × 4 channels × 144 rows of float64 stay within a core's cache."""


class MvnnParameters(Parameters, frozen=True):
    """What must be chosen."""

    history: Rows
    """Rows in the window."""
    threshold: Threshold
    """Distance in standard deviations from which a row is an outlier."""
    precision: dict[str, Annotated[float, msgspec.Meta(ge=1e-9)]]
    """Quantity → resolution of its probe in the channel's unit; ``default`` for all others."""


class Mvnn:
    """Smallest L2 distance, in z-scores, to any row of the window of the last accepted rows.

    Per channel: sample standard deviation (n - 1) of the window; below ``precision / threshold`` it is
    ``1.001 * precision / threshold``, so that rounding makes no outliers. The distance is over the
    channels that are present now and whose window is full. The first ``history`` rows fill the window.
    Score: 0.5 at the threshold (``unit_score``), NaN while no present channel has a full window.

    Source: CANARY (US EPA and Sandia), algorithm "MVNN" with distance L2. Weak against a change
    slower than the window, which it follows, and against values that return to a rare earlier level,
    which it takes for usual.
    """

    name = "mvnn"

    def __init__(self, *, channels: tuple[str, ...], settings: Mapping[str, object], file: str) -> None:
        chosen = parse(MvnnParameters, settings, file=file, part=self.name)
        if "default" not in chosen.precision:
            raise ConfigError(
                file=file,
                key=f"{self.name}.precision",
                value=chosen.precision,
                expected="an entry 'default' for channels that are not named",
            )
        self._threshold = chosen.threshold
        precision = [chosen.precision.get(quantity_of(name)) for name in channels]
        self._floor = np.array(
            [(chosen.precision["default"] if p is None else p) / chosen.threshold for p in precision]
        )
        self._history = History(self.name, chosen.history, channels)
        self.fields = self._history.fields

    def score(self, state: State, entity: Ints, x: Floats) -> Floats:
        """(n,) see the class. x: (n, channels), NaN = missing."""
        distance = np.full(len(entity), np.nan)
        for rows, near, _ in self._nearest(state, entity, x):
            distance[rows] = near
        return unit_score(distance, self._threshold)

    def expected(self, state: State, entity: Ints, x: Floats) -> Floats:
        """(n, channels) the most similar row of the window; NaN for channels whose window is not full."""
        row = np.full(x.shape, np.nan)
        for rows, _, place in self._nearest(state, entity, x):
            at = entity[rows]
            nearest = state[self._history.window][at, :, place]
            row[rows] = np.where(self._history.full(state, at), nearest, np.nan)
        return row

    def learn(self, state: State, entity: Ints, x: Floats, flagged: Bools) -> None:
        """Accepted rows join the window, the oldest leaves; flagged rows are kept for ``rebase`` only."""
        self._history.learn(state, entity, stored(x), flagged)

    def rebase(self, state: State, entity: Ints) -> None:
        """The window becomes the last rows, flagged or not."""
        self._history.rebase(state, entity)

    def _nearest(self, state: State, entity: Ints, x: Floats) -> list[tuple[Ints, Floats, Ints]]:
        """For rows with a verdict, in blocks: row numbers, distances, places of the nearest row."""
        x = stored(x)
        use = self._history.full(state, entity) & ~np.isnan(x)
        ready = np.flatnonzero(use.any(axis=1))
        found = []
        for start in range(0, len(ready), _BLOCK):
            rows = ready[start : start + _BLOCK]
            square = self._squares(state, entity[rows], x[rows], use[rows])
            place = square.argmin(axis=1)
            found.append((rows, np.sqrt(square[np.arange(len(rows)), place]), place))
        return found

    def _squares(self, state: State, entity: Ints, x: Floats, use: Bools) -> Floats:
        """(n, rows of the window) squared distances.

        Sums run over the last, contiguous axis and over channels one at a time, never through BLAS: its
        blocking follows the shape, and a distance at the threshold must not depend on the company.
        """
        window = self._history.values(state, entity)
        length = window.shape[2]
        mean = np.add.reduce(window, axis=2) / length
        gap = window - mean[:, :, None]
        gap *= gap
        sd = np.sqrt(np.add.reduce(gap, axis=2) / (length - 1))
        sd = np.where(sd < self._floor, 1.001 * self._floor, sd)
        # (x - mean) / sd - (w - mean) / sd, without the mean, which would only add rounding.
        np.subtract(x[:, :, None], window, out=gap)
        gap /= sd[:, :, None]
        gap *= gap
        if not use.all():
            gap[~use] = 0.0
        square: Floats = gap[:, 0].copy()
        for channel in range(1, gap.shape[1]):
            square += gap[:, channel]
        return square
