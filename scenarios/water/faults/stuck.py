"""Stuck (卡死): one raw value for too long while the rest of the station moves.

Too long is relative: a channel whose last digit is coarser than its usual change repeats itself all day.
So a run must be as long as the policy says, and improbable by how often the channel repeats itself, and
well beyond its longest usual run (quiet nights make long runs that no frequency foretells).
"""

from math import log

import numpy as np

from scenarios.water.policy import Faults
from scenarios.water.signals import OVER, Samples, Signals
from scenarios.water.words import fault_claim
from zhiwei.clock import NEVER
from zhiwei.contracts import Array, Bools, Field, Floats, Out, Round, State
from zhiwei.schema import quantity_of
from zhiwei.types import Phase, Severity

_PRIOR_SAMPLES = 10.0
_PRIOR_REPEATS, _PRIOR_REPEATS_SLOW = 2.0, 9.0
"""A channel of which nothing is known repeats itself one time in five, a slow one nine in ten, with the
weight of ten samples."""
_COARSE = 3.0
"""Repeats for a change from which a channel counts as coarse: its runs are long since the water is calm."""
_BEYOND, _BEYOND_COARSE = 2.0, 4.0
"""Times the longest usual run: chance alone rarely doubles it; calm knows no such bound."""
_LAST_DIGIT = (
    1.5  # resolutions: a run that ends by so small a step was calm; a stuck value comes back far off
)
_MEMORY = 2000.0  # samples; beyond it the past counts half
_FADES = 0.999  # the longest run, with each run that ends: half of it after about 700 runs
_RECOVERED = 3  # changes of value that end the fault: one change may be a last twitch


class Stuck:
    """State: the run at hand, and what runs are usual."""

    def __init__(self, signals: Signals, faults: Faults, severity: Severity) -> None:
        self._channels, self._severity = signals.channels, severity
        self._judged = np.array([name in faults.stuck_channels for name in signals.channels], bool)
        slow = [quantity_of(name) in faults.slow_quantities for name in signals.channels]
        self._prior = np.where(np.array(slow, bool), _PRIOR_REPEATS_SLOW, _PRIOR_REPEATS)
        self._measured, self._digit = signals.measured, _LAST_DIGIT * signals.precision
        # At the lower end of its range a probe says "none", for hours if need be: limits judge that.
        self._floor = signals.low
        self._fewest = float(faults.stuck_samples.value)
        self._improbable = -log(float(faults.stuck_chance.value))
        self._source = faults.stuck_samples.source
        self.fields: tuple[Field, ...] = (
            Field("stuck.value", "float32", ("channel",), np.nan),
            Field("stuck.run", "int32", ("channel",)),
            Field("stuck.others", "int32", ("channel",)),
            Field("stuck.since", "int64", ("channel",), NEVER),
            Field("stuck.repeats", "float32", ("channel",)),
            Field("stuck.changes", "float32", ("channel",)),
            Field("stuck.longest", "float32", ("channel",)),
            Field("stuck.active", "bool", ("channel",)),
            Field("stuck.onset", "int64", ("channel",), NEVER),
            Field("stuck.recovered", "int8", ("channel",)),
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row; sets ``samples.stuck``."""
        e, x = rows.entity, samples.x
        raw = samples.plausible & (x < OVER)
        value, run = state["stuck.value"][e], state["stuck.run"][e]
        same = raw & (x == value)
        new = raw & ~same
        moving = np.count_nonzero(new & self._measured, axis=1)[:, None] > (new & self._measured)
        others = np.where(same, state["stuck.others"][e] + moving, np.where(new, 0, state["stuck.others"][e]))
        since = np.where(new, rows.at[:, None], state["stuck.since"][e])
        needed = self._needed(state, rows)
        ended = new & (run > 0)
        if ended.any():
            self._learn(state, rows, ended, run, needed, np.abs(x - value))
        run = np.where(same, run + 1, np.where(new, 1, run))
        active = state["stuck.active"][e]
        began = same & self._judged & ~active & (run >= needed) & (2 * others >= run - 1) & (x > self._floor)
        recovered = np.where(active & new, state["stuck.recovered"][e] + 1, state["stuck.recovered"][e])
        over = active & (recovered >= _RECOVERED)
        state["stuck.value"][e] = np.where(raw, x, value)
        state["stuck.run"][e], state["stuck.others"][e], state["stuck.since"][e] = run, others, since
        state["stuck.recovered"][e] = np.where(began | over, 0, recovered)
        samples.stuck = (active | began) & ~over
        state["stuck.active"][e] = samples.stuck
        if began.any() or over.any():
            self._claim(state, rows, samples, began, over, out)

    def _needed(self, state: State, rows: Round) -> Floats:
        """(rows, channels) length from which a run is no longer usual.

        A run of L samples has the chance q^(L-1), q the share of repeats. With ln q <= -2(1-q)/(1+q) the
        length follows without a logarithm, a little too long: NumPy's logarithm may differ in the last
        bit between one row and many.
        """
        e = rows.entity
        repeats = state["stuck.repeats"][e].astype(np.float64) + self._prior
        moves = state["stuck.changes"][e].astype(np.float64) + (_PRIOR_SAMPLES - self._prior)
        # (1+q)/(1-q) with q = repeats / (repeats + moves)
        improbable = 1.0 + self._improbable * (2.0 * repeats + moves) / (2.0 * moves)
        beyond = np.where(repeats >= _COARSE * moves, _BEYOND_COARSE, _BEYOND)
        usual: Floats = beyond * state["stuck.longest"][e]
        return np.maximum(np.maximum(self._fewest, improbable), usual)

    def _learn(
        self, state: State, rows: Round, ended: Bools, run: Array, needed: Floats, change: Floats
    ) -> None:
        """What runs are usual. One that ended by a last digit was calm, however long; of another no more
        counts than would have been needed to call it stuck."""
        e = rows.entity
        length = np.where(change <= self._digit, run, np.minimum(run, needed))
        repeats = state["stuck.repeats"][e] + np.where(ended, length - 1.0, 0.0)
        changes = state["stuck.changes"][e] + ended
        full = repeats + changes > _MEMORY
        state["stuck.repeats"][e] = np.where(full, repeats / 2.0, repeats)
        state["stuck.changes"][e] = np.where(full, changes / 2.0, changes)
        longest = state["stuck.longest"][e]
        state["stuck.longest"][e] = np.where(ended, np.maximum(longest * _FADES, length), longest)

    def _claim(
        self, state: State, rows: Round, samples: Samples, began: Bools, over: Bools, out: Out
    ) -> None:
        for row, channel in np.argwhere(began | over).tolist():
            entity = int(rows.entity[row])
            onset = state["stuck.onset"]
            if began[row, channel]:
                onset[entity, channel] = state["stuck.since"][entity, channel]
            out.claims.append(
                fault_claim(
                    "stuck",
                    self._channels[channel],
                    entity=entity,
                    phase=Phase.RAISED if began[row, channel] else Phase.CLEARED,
                    at=int(rows.at[row]),
                    onset=int(onset[entity, channel]),
                    severity=self._severity,
                    observed=float(samples.x[row, channel]),
                    limit="changes with the rest of the station",
                    source=self._source,
                    samples=int(state["stuck.run"][entity, channel]),
                )
            )
