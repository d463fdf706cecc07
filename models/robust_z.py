"""Robust z-score against a rolling median: the plain detector that any user's data can start with."""

from collections.abc import Mapping

import numpy as np

from models.history import History, stored
from models.parameters import Parameters, Rows, Threshold, parse
from models.unit_score import unit_score
from zhiwei.contracts import Bools, Field, Floats, Ints, State
from zhiwei.errors import ConfigError

_MAD_TO_SD = 1.4826
"""1 / Φ⁻¹(3/4): the median absolute deviation of normal noise times this is its standard deviation."""
_STEP_UP, _STEP_DOWN = 1.1, 0.5
"""How far the small step follows a change above and below it, at most: it settles where one change in
eight is smaller (1.1 up seven times is 0.5 down once). Neither one jump nor one tremor decides it."""


class RobustZParameters(Parameters, frozen=True):
    """What must be chosen."""

    window: Rows
    """Rows of which median and deviation are taken, at most."""
    warmup: Rows
    """Rows before the first verdict; also those kept when a lasting change becomes the usual. Less than
    twice the rows that the discriminator gives an event, or the old level still holds the median."""
    threshold: Threshold
    """Robust standard deviations from which a row is an outlier."""


class RobustZ:
    """``|x - median| / max(1.4826 * MAD, step)`` over the window of the last accepted rows; largest channel.

    ``step`` is a small change as this channel makes it, a running low quantile of its changes other than
    zero. For rounded values it is their resolution, for a switch its whole swing: neither a flat stretch
    (MAD 0) nor a pump that starts makes an outlier. A channel has no verdict until its window holds
    ``warmup`` rows and it has changed once. Score: 0.5 at the threshold (``unit_score``).

    Weak against combinations that are usual channel by channel (take ``mvnn``), and against a cycle
    longer than the window.
    """

    name = "robust_z"

    def __init__(self, *, channels: tuple[str, ...], settings: Mapping[str, object], file: str) -> None:
        chosen = parse(RobustZParameters, settings, file=file, part=self.name)
        if chosen.warmup > chosen.window:
            raise ConfigError(
                file=file,
                key=f"{self.name}.warmup",
                value=chosen.warmup,
                expected=f"at most the window, {chosen.window}",
            )
        self._threshold, self._warmup = chosen.threshold, chosen.warmup
        self._history = History(self.name, chosen.window, channels)
        self.fields: tuple[Field, ...] = (
            *self._history.fields,
            Field("robust_z.step", "float32", ("channel",), channels=channels),
        )

    def score(self, state: State, entity: Ints, x: Floats) -> Floats:
        """(n,) see the class. x: (n, channels), NaN = missing."""
        x = stored(x)
        step = state["robust_z.step"][entity].astype(np.float64)
        judged = self._judged(state, entity) & ~np.isnan(x)
        z = np.full(len(entity), np.nan)
        ready = np.flatnonzero(judged.any(axis=1))
        if len(ready):
            window = self._history.values(state, entity[ready])
            filled = self._history.filled(state, entity[ready])
            median = _median(window, filled)
            mad = _median(np.abs(window - median[:, :, None]), filled)
            judged, step = judged[ready], step[ready]
            scale = np.where(judged, np.maximum(_MAD_TO_SD * mad, step), 1.0)
            each = np.where(judged, np.abs(x[ready] - median) / scale, 0.0)
            z[ready] = np.maximum.reduce(each, axis=1)
        return unit_score(z, self._threshold)

    def expected(self, state: State, entity: Ints, x: Floats) -> Floats:  # noqa: ARG002 - the median asks no row
        """(n, channels) the median of the window; NaN for channels without a verdict."""
        median = _median(self._history.values(state, entity), self._history.filled(state, entity))
        return np.where(self._judged(state, entity), median, np.nan)

    def learn(self, state: State, entity: Ints, x: Floats, flagged: Bools) -> None:
        """Accepted rows join the window and the small step; flagged rows are kept for ``rebase`` only."""
        x = stored(x)
        before = self._history.latest(state, entity, self._history.window)
        self._history.learn(state, entity, x, flagged)
        change = np.abs(x - before)
        moved = (change > 0) & ~flagged[:, None]
        step = state["robust_z.step"][entity].astype(np.float64)
        nearer = np.where(change > step, step * _STEP_UP, np.maximum(change, step * _STEP_DOWN))
        state["robust_z.step"][entity] = stored(np.where(moved, np.where(step > 0, nearer, change), step))

    def rebase(self, state: State, entity: Ints) -> None:
        """The window becomes the last ``warmup`` rows, flagged or not."""
        self._history.rebase(state, entity, keep=self._warmup)

    def _judged(self, state: State, entity: Ints) -> Bools:
        begun = self._history.filled(state, entity) >= self._warmup
        return np.asarray(begun & (state["robust_z.step"][entity] > 0))


def _median(values: Floats, filled: Ints) -> Floats:
    """(n, channels) median over the last axis of the values that are not NaN; of two middle ones their mean.

    filled: (n, channels) how many of them there are; where there are none the result is NaN. A whole sort
    puts NaN last and is four times as fast here as np.partition at two places; np.nanmedian takes
    milliseconds.
    """
    ranked = np.sort(values, axis=-1)
    row, channel = np.arange(values.shape[0])[:, None], np.arange(values.shape[1])
    low, high = ranked[row, channel, np.maximum(filled - 1, 0) // 2], ranked[row, channel, filled // 2]
    return np.asarray((low + high) * 0.5)
