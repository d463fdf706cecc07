"""Scale change: one channel steps by ×10, ÷1000 … and stays there, all else equal.

Seen after a change of unit or firmware. Two samples must agree, so that a single digit lost in transit
raises nothing. Limits stay armed: a disinfectant that falls to a tenth may be the water.
"""

import numpy as np

from scenarios.water.policy import Faults
from scenarios.water.signals import MAD_TO_SD, Samples, Signals, lower_median, taken
from scenarios.water.words import fault_claim
from zhiwei.clock import NEVER
from zhiwei.contracts import Array, Bools, Field, Floats, Out, Round, State
from zhiwei.types import Phase, Severity

_BACK = 2  # samples nearer to the old scale than to the new one that end the fault


class Scale:
    """State: factor and former level of a step that is suspected or open."""

    def __init__(self, signals: Signals, faults: Faults, severity: Severity) -> None:
        self._signals, self._severity = signals, severity
        self._compared = np.array([name in faults.scale_channels for name in signals.channels], bool)
        factors = [float(factor) for factor in faults.scale_factors]
        self._factors = np.array([*factors, *(1.0 / factor for factor in factors)])
        self._words = [*(f"×{factor:g}" for factor in factors), *(f"÷{factor:g}" for factor in factors)]
        self._tolerance = float(faults.scale_tolerance.value) / 100
        self._source = faults.scale_tolerance.source
        self.fields: tuple[Field, ...] = (
            Field("scale.step", "int8", ("channel",), -1),
            Field("scale.level", "float32", ("channel",), np.nan),
            Field("scale.onset", "int64", ("channel",), NEVER),
            Field("scale.active", "bool", ("channel",)),
            Field("scale.back", "int8", ("channel",)),
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row. Must come before the row's samples are accepted: it compares with what was usual."""
        e = rows.entity
        last = state["signal.values"][e][:, :, -1]
        # Cheap and sufficient: a factor of ten is far beyond a half or a double.
        steps = samples.present & self._compared & ((samples.x > 2 * last) | (2 * samples.x < last))
        some = (steps | (state["scale.step"][e] >= 0)).any(axis=1)
        if some.any():
            rows, samples = taken(rows, np.flatnonzero(some)), samples.take(np.flatnonzero(some))
            self._judge(state, rows, samples, steps[some], out)

    def _judge(self, state: State, rows: Round, samples: Samples, steps: Bools, out: Out) -> None:
        e, x = rows.entity, samples.x
        step, level = state["scale.step"][e], state["scale.level"][e]
        active, onset = state["scale.active"][e], state["scale.onset"][e]
        judged = samples.present & self._compared

        median, found = self._found(state, rows, samples, steps & ~active)
        again = judged & ~active & (step >= 0) & (_matched(x, level, self._factors, self._tolerance) == step)
        began = again & ~samples.settling[:, None]
        fresh = found & ~again

        target = level * self._factors[np.maximum(step, 0)]
        nearer = active & judged & (np.abs(x - level) < np.abs(x - target))
        back = np.where(nearer, state["scale.back"][e] + 1, np.where(judged, 0, state["scale.back"][e]))
        over = active & (back >= _BACK)

        forget = over | (judged & ~active & ~again)
        matched = _matched(x, median, self._factors, self._tolerance)
        step = np.where(fresh, matched, np.where(forget, -1, step))
        onset = np.where(fresh, rows.at[:, None], onset)
        state["scale.step"][e] = step
        state["scale.level"][e] = np.where(fresh, median, level)
        state["scale.onset"][e] = onset
        state["scale.active"][e] = (active | began) & ~over
        state["scale.back"][e] = np.where(over | began, 0, back)
        for row, channel in np.argwhere(began | over).tolist():
            self._claim(rows, samples, (row, channel), began, state, onset, out)

    def _found(self, state: State, rows: Round, samples: Samples, steps: Bools) -> tuple[Floats, Bools]:
        """The running median, and steps by a factor from it that are alone in their row.

        Only where the channel was calm (robust deviation within half the tolerance): in a noisy channel
        any step may look like a factor.
        """
        past = state["signal.values"][rows.entity]
        median, far = self._signals.centre(past, samples.x, samples.present & self._compared)
        spread = MAD_TO_SD * lower_median(np.abs(past - median[:, :, None]))
        calm = (median > 0) & (spread <= self._tolerance / 2 * median)
        alone = far & (np.count_nonzero(far, axis=1) == 1)[:, None]
        matched = _matched(samples.x, median, self._factors, self._tolerance) >= 0
        return median, steps & alone & calm & matched & ~samples.settling[:, None]

    def _claim(
        self,
        rows: Round,
        samples: Samples,
        place: tuple[int, int],
        began: Bools,
        state: State,
        onset: Array,
        out: Out,
    ) -> None:
        row, channel = place
        entity = int(rows.entity[row])
        raised = bool(began[row, channel])
        word = self._words[int(state["scale.step"][entity, channel])] if raised else "back to the old scale"
        out.claims.append(
            fault_claim(
                "scale",
                self._signals.channels[channel],
                entity=entity,
                phase=Phase.RAISED if raised else Phase.CLEARED,
                at=int(rows.at[row]),
                onset=int(onset[row, channel]),
                severity=self._severity,
                observed=float(samples.x[row, channel]),
                expected=float(state["scale.level"][entity, channel]),
                limit=word,
                source=self._source,
                samples=_BACK,
            )
        )


def _matched(x: Array, level: Array, factors: Floats, tolerance: float) -> Array:
    """Which factor x is away from a level, -1 = none; a missing level matches none."""
    matched = np.full(x.shape, -1, np.int8)
    for number, factor in enumerate(factors.tolist()):
        target = level.astype(np.float64) * factor
        matched[np.abs(x - target) <= tolerance * target] = number
    return matched
