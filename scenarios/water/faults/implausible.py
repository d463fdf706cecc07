"""Out of the physical range: what a working probe cannot say. k of n as for limits."""

import numpy as np

from scenarios.water.policy import Decision
from scenarios.water.signals import RECENT, Samples, Signals, samples_needed
from scenarios.water.words import fault_claim
from zhiwei.clock import NEVER
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Phase, Severity

_COUNT = np.array([bits.bit_count() for bits in range(1 << RECENT)], np.int64)
"""Samples out of range by the bits that remember them."""


class Implausible:
    """State: a bit for each of the last samples."""

    def __init__(self, signals: Signals, decision: Decision, severity: Severity) -> None:
        self._channels, self._low, self._high = signals.channels, signals.low, signals.high
        self._decision, self._severity = decision, severity
        self.fields: tuple[Field, ...] = (
            Field("range.out", "uint8", ("channel",)),
            Field("range.active", "bool", ("channel",)),
            Field("range.onset", "int64", ("channel",), NEVER),
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row."""
        e = rows.entity
        bits, active = state["range.out"][e].astype(np.int64), state["range.active"][e]
        outside = samples.present & ~samples.plausible
        if not (outside.any() or bits.any() or active.any()):
            return
        bits = np.where(samples.present, (bits << 1 | outside) & ((1 << RECENT) - 1), bits)
        k, n = samples_needed(self._decision, samples.interval)
        began = outside & ~active & (_COUNT[bits & ((1 << n) - 1)] >= k)
        over = samples.present & active & (bits & ((1 << k) - 1) == 0)
        onset = state["range.onset"][e]
        # The first of those that count is not kept; the first of a series out of range is.
        first = outside & (_COUNT[bits] == 1)
        onset = np.where(first & ~active, rows.at[:, None], onset)
        state["range.out"][e], state["range.onset"][e] = bits, onset
        state["range.active"][e] = (active | began) & ~over
        for row, channel in np.argwhere(began | over).tolist():
            out.claims.append(
                fault_claim(
                    "range",
                    self._channels[channel],
                    entity=int(e[row]),
                    phase=Phase.RAISED if began[row, channel] else Phase.CLEARED,
                    at=int(rows.at[row]),
                    onset=int(onset[row, channel]),
                    severity=self._severity,
                    observed=float(samples.x[row, channel]),
                    limit=f"{self._low[channel]:g} to {self._high[channel]:g}",
                    source="range of a working probe",
                    samples=int(_COUNT[bits[row, channel]]),
                )
            )
