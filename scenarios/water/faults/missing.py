"""Missing: a channel that used to come no longer does, while the station is alive."""

import numpy as np

from scenarios.water.policy import Faults
from scenarios.water.signals import Samples, Signals
from scenarios.water.words import fault_claim
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Field, Out, Round, State
from zhiwei.types import Phase, Severity

_EARLY = 0.5  # intervals: rows jitter, and the third one without the value is meant


class Missing:
    """State: seconds that the station was alive without the channel.

    Only time during which rows came counts, so an outage of the station makes nothing missing. A channel
    without a steady interval (sent when it changes) is never missing.
    """

    def __init__(self, signals: Signals, faults: Faults, severity: Severity) -> None:
        self._channels, self._measured, self._severity = signals.channels, signals.measured, severity
        self._intervals = float(faults.missing_intervals.value)
        self.fields: tuple[Field, ...] = (
            Field("missing.row_at", "int64", (), NEVER),
            Field("missing.absent_s", "float32", ("channel",)),
            Field("missing.active", "bool", ("channel",)),
            Field("missing.onset", "int64", ("channel",), NEVER),
        )

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row."""
        e, at = rows.entity, rows.at
        row_at = state["missing.row_at"][e]
        since = np.where(row_at == NEVER, 0.0, (at - np.where(row_at == NEVER, at, row_at)) / MICROS)
        # A row may come in pieces, one of each device: alive means no longer than the usual interval.
        counts = samples.normal & samples.alive
        alive = np.where(counts, np.clip(since, 0.0, samples.station), 0.0)
        state["missing.row_at"][e] = np.where(row_at == NEVER, at, np.maximum(at, row_at))
        here = ~np.isnan(samples.x)
        absent = np.where(here, 0.0, state["missing.absent_s"][e] + alive[:, None]).astype(np.float32)
        active, onset = state["missing.active"][e], state["missing.onset"][e]
        began = (
            ~here
            & ~active
            & self._measured
            & samples.regular
            & (absent >= (self._intervals - _EARLY) * samples.interval)
        )
        over = here & active
        state["missing.absent_s"][e] = absent
        if not (began.any() or over.any()):
            return
        onset = np.where(began, state["signal.seen_at"][e], onset)
        state["missing.active"][e], state["missing.onset"][e] = (active | began) & ~over, onset
        for row, channel in np.argwhere(began | over).tolist():
            out.claims.append(
                fault_claim(
                    "missing",
                    self._channels[channel],
                    entity=int(e[row]),
                    phase=Phase.RAISED if began[row, channel] else Phase.CLEARED,
                    at=int(at[row]),
                    onset=int(onset[row, channel]),
                    severity=self._severity,
                    observed=float(samples.x[row, channel]),
                    limit=f"a value every {samples.interval[row, channel]:g} s",
                    source="the channel's own cadence",
                )
            )
