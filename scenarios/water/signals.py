"""What every rule reads of a row: its quality, each channel's cadence, and the last accepted samples.

Nothing here judges the water. All arrays are (rows, channels) unless said otherwise, and every operation
treats each row by itself, so that a result has the same bits alone and among others.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scenarios.water.policy import Decision, Sections
from scenarios.water.schema import SCHEMA
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Bools, Field, Floats, Ints, Round, State
from zhiwei.schema import quantity_of
from zhiwei.types import Flag

Values = npt.NDArray[np.float32]
S = TypeVar("S", bound=np.generic)

KEPT = 16
"""Accepted samples kept of a channel: enough for a median and a deviation that one spike cannot move."""
RECENT = 5
"""Times and deltas kept: the largest n of k-of-n."""
OVER = np.float32(1e9)
"""Stands for "above the probe's range" (flag T): beyond every limit, and finite, so that differences are."""

NOT_NORMAL = (
    Flag.STOPPED | Flag.MAINTENANCE | Flag.MANUAL | Flag.FAULT | Flag.CALIBRATION | Flag.COMMUNICATION
)
"""Letters of HJ 212 that make a value no sample. T has a meaning of its own; the bits that ingest and engine
set (no clock, no time, conflict) say nothing about the probe."""
SERVICED = Flag.MAINTENANCE | Flag.CALIBRATION
_FEWEST = 5  # samples from which a median and a deviation mean something
MAD_TO_SD = 1.4826  # 1 / Φ⁻¹(3/4)
_MOST = 1e30  # beyond every range; the difference of two such values is still finite in float32


@dataclass(slots=True)
class Samples:
    """The rows of a round as rules see them."""

    x: Values
    """Values; NaN = missing; OVER where the probe is over its range."""
    normal: Bools
    """(rows,) no letter of HJ 212 but N or T."""
    alive: Bools
    """(rows,) carries any value: an empty row is a heartbeat, which moves time and nothing else."""
    present: Bools
    """A value that may be judged: present, in a normal row, of a measured channel."""
    plausible: Bools
    """Of those, inside the probe's range (or over it by flag T)."""
    settling: Bools
    """(rows,) shortly after maintenance or calibration."""
    interval: Floats
    """Usual seconds between two values of the channel; NaN = not known yet."""
    regular: Bools
    """The channel keeps its interval: a value that does not come is missing."""
    station: Floats
    """(rows,) usual seconds between values of the station: its fastest channel's; inf = not known yet."""
    pushed: Bools
    """At least one sample was accepted with this row."""
    stuck: Bools
    """The channel is judged stuck."""

    def take(self, some: Ints) -> "Samples":
        """These rows only."""
        return Samples(*(getattr(self, field.name)[some] for field in fields(self)))


def samples_needed(decision: Decision, interval: Floats) -> tuple[Ints, Ints]:
    """k and n of "k of the last n" for channels of this usual interval (s); unknown counts as fast.

    5 % under ``slow_from`` is slow as well: intervals of 10 min jitter.
    """
    slow = interval >= 0.95 * decision.slow_from.seconds
    k = np.where(slow, int(decision.slow_k.value), int(decision.fast_k.value))
    n = np.where(slow, int(decision.slow_n.value), int(decision.fast_n.value))
    return k, n


def taken(rows: Round, some: Ints) -> Round:
    """These rows of a round only."""
    return Round(
        entity=rows.entity[some],
        at=rows.at[some],
        arrived=rows.arrived[some],
        flags=rows.flags[some],
        values=rows.values[some],
    )


def lower_median(values: npt.NDArray[np.floating]) -> Floats:
    """Median of the numbers along the last axis, of two middle ones the lower; NaN where there is none."""
    ranked = np.sort(values, axis=-1)  # NaN last
    middle = (np.count_nonzero(~np.isnan(ranked), axis=-1) - 1) // 2
    found = np.take_along_axis(ranked, np.maximum(middle, 0)[..., None], axis=-1)[..., 0]
    return found.astype(np.float64)


class Signals:
    """Quality, cadence and accepted samples."""

    def __init__(self, channels: tuple[str, ...], sections: Sections) -> None:
        self.channels = channels
        described = [SCHEMA.channel(name) for name in channels]
        self.measured = np.array([c is not None and c.dtype == "float32" for c in described], bool)
        self.low = np.array([-np.inf if c is None or c.low is None else c.low for c in described], np.float32)
        self.high = np.array(
            [np.inf if c is None or c.high is None else c.high for c in described], np.float32
        )
        self.precision = np.array([sections.precision_of(quantity_of(name)) for name in channels], np.float64)
        faults = sections.faults
        self._doubts = faults is not None
        self._deviations = np.inf if faults is None else float(faults.spike_deviations.value)
        self._kept = bool(sections.limit) or faults is not None
        self._settling_us = 0 if faults is None else round(faults.settling.seconds * MICROS)
        self.fields: tuple[Field, ...] = (
            Field("signal.settled_at", "int64"),
            Field("signal.seen_at", "int64", ("channel",), NEVER),
            Field("signal.deltas", "float32", ("channel", RECENT), np.nan),
        )
        if self._kept:
            self.fields += (
                Field("signal.values", "float32", ("channel", KEPT), np.nan),
                Field("signal.times", "int64", ("channel", RECENT), NEVER),
                Field("signal.doubted", "float32", ("channel",), np.nan),
                Field("signal.doubted_at", "int64", ("channel",), NEVER),
                Field("signal.departed", "bool", ("channel",)),
            )

    # -------------------------------------------------------------- a row's quality

    def read(self, state: State, rows: Round, upper: Values) -> Samples:
        """Quality and cadence of a round.

        upper: (rows, channels) upper limits that apply, inf where there is none: in a row with flag T,
        which is a row's and not a value's, they tell which value is meant.
        """
        x = np.clip(rows.values, -_MOST, _MOST).astype(np.float32)
        normal = ~rows.flagged(NOT_NORMAL)
        present = ~np.isnan(x) & normal[:, None] & self.measured
        plausible = present & (x >= self.low) & (x <= self.high)
        over = self._over(rows, x, present, upper)
        if over.any():
            x = np.where(over, OVER, x)
            plausible |= over
        if not self._doubts:
            plausible = present
        interval, regular = self._cadence(state, rows, present)
        return Samples(
            x=x,
            normal=normal,
            alive=np.asarray((~np.isnan(rows.values)).any(axis=1)),
            present=present,
            plausible=plausible,
            settling=self._settle(state, rows),
            interval=interval,
            regular=regular,
            station=np.where(np.isnan(interval), np.inf, interval).min(axis=1, initial=np.inf),
            pushed=np.zeros_like(present),
            stuck=np.zeros_like(present),
        )

    def _over(self, rows: Round, x: Values, present: Bools, upper: Values) -> Bools:
        """Values meant by flag T: the row's only one, else those above their limit or their range."""
        flagged = rows.flagged(Flag.OVER_RANGE)
        if not flagged.any():
            return np.zeros_like(present)
        only = np.count_nonzero(present, axis=1) == 1
        high = (x > upper) | (x >= self.high)
        return np.asarray(present & flagged[:, None] & (only[:, None] | high))

    def _settle(self, state: State, rows: Round) -> Bools:
        until = state["signal.settled_at"][rows.entity]
        until = np.where(rows.flagged(SERVICED), rows.at + self._settling_us, until)
        state["signal.settled_at"][rows.entity] = until
        return np.asarray(rows.at < until)

    def _cadence(self, state: State, rows: Round, present: Bools) -> tuple[Floats, Bools]:
        e, at = rows.entity, rows.at[:, None]
        seen_at = state["signal.seen_at"][e]
        deltas = state["signal.deltas"][e]
        again = present & (seen_at != NEVER) & (at > seen_at)
        if again.any():
            delta = (np.where(again, at - np.where(again, seen_at, 0), 0) / MICROS).astype(np.float32)
            deltas = shifted(deltas, again, delta)
            state["signal.deltas"][e] = deltas
        state["signal.seen_at"][e] = np.where(
            present, np.where(seen_at == NEVER, at, np.maximum(at, seen_at)), seen_at
        )
        interval = lower_median(deltas)
        # A full memory without an outlier: NaN and anything else compare as not regular.
        regular = (deltas <= 1.5 * interval[:, :, None]).all(axis=2)
        return interval, np.asarray(regular)

    # -------------------------------------------------------------- accepted samples

    def accept(self, state: State, rows: Round, samples: Samples, usable: Bools) -> None:
        """Take usable samples into the memory that limits are judged by; sets ``samples.pushed``.

        A sample far from the running median of its channel may be a spike: it is held back until the next
        one. If that is far away as well both are accepted; if it is back, the first is dropped.
        Only the first sample of a departure is held back, so a change costs no delay.
        """
        if not self._kept:
            return
        e, x = rows.entity, samples.x
        ring, times = state["signal.values"][e], state["signal.times"][e]
        doubted, departed = state["signal.doubted"][e], state["signal.departed"][e]
        waiting = ~np.isnan(doubted)
        jumped = np.abs(x - ring[:, :, -1]) > self._deviations * self.precision
        look = usable & (jumped | waiting | departed)
        _, far = self.centre(ring, x, look)
        suspect = look & far & jumped & ~waiting & ~departed
        resolved = usable & waiting
        kept = resolved & far
        if kept.any():
            ring = shifted(ring, kept, doubted)
            times = shifted(times, kept, state["signal.doubted_at"][e])
        at = np.broadcast_to(rows.at[:, None], x.shape)
        pushed = usable & ~suspect
        state["signal.values"][e] = shifted(ring, pushed, x)
        state["signal.times"][e] = shifted(times, pushed, at)
        if suspect.any() or resolved.any():
            state["signal.doubted"][e] = np.where(suspect, x, np.where(resolved, np.float32(np.nan), doubted))
            state["signal.doubted_at"][e] = np.where(suspect, at, state["signal.doubted_at"][e])
        state["signal.departed"][e] = np.where(pushed, far, departed)
        samples.pushed = pushed

    def centre(self, ring: Values, x: Values, look: Bools) -> tuple[Floats, Bools]:
        """Running median, NaN where not looked at, and whether x is far from it.

        ring: (rows, channels, KEPT). Far: more robust deviations away than the policy allows; a robust
        deviation is 1.4826 × MAD, at least the probe's resolution. Too few samples: never far.
        """
        median = np.full(x.shape, np.nan)
        far = np.zeros(x.shape, bool)
        if look.any():
            past = ring[look]
            middle = lower_median(past)
            middle[np.count_nonzero(~np.isnan(past), axis=-1) < _FEWEST] = np.nan
            spread = MAD_TO_SD * lower_median(np.abs(past - middle[:, None]))
            floor = np.broadcast_to(self.precision, x.shape)[look]
            median[look] = middle
            far[look] = np.abs(x[look] - middle) > self._deviations * np.maximum(spread, floor)
        return median, far


def shifted(ring: npt.NDArray[S], where: Bools, newest: npt.NDArray[S]) -> npt.NDArray[S]:
    """Rings along the last axis, the oldest first, with one more value where said."""
    moved = np.concatenate([ring[..., 1:], newest[..., None]], axis=-1)
    return np.where(where[..., None], moved, ring)
