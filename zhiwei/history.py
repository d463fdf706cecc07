"""What the past of one channel looks like to whoever draws it, and what may be asked.

The contract between telemetry, which answers, and console or API, which ask. Times are µs UTC. A line may
be drawn only where ``unbroken`` says so: what was lost is a named gap, never a straight line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np

from zhiwei.contracts import Floats, Ints
from zhiwei.errors import ZhiweiError

State = bool | str | tuple[str, ...]
"""What a switch, a text or a list of texts said."""


GapReason = Literal["overtaken", "unreadable", "unrecorded"]
"""Retention of the log was faster than telemetry; records were no frames of a version known here; telemetry
is too far behind for one question: ask again when it has caught up."""


class HistoryRefused(ZhiweiError):  # noqa: N818 - what happened to the question, like its siblings in errors
    """The question cannot be answered as it is; the text names the argument, its value and the limit."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the log that telemetry could not keep; rows of the entity may be missing in it."""

    start_us: int | None
    """The last moment known to be kept; None: nothing before ``end_us`` was kept."""
    end_us: int | None
    """The first moment kept again; None: nothing since."""
    reason: GapReason
    records: int
    """How many records of the log these were."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Every value, in order of time; conflicting values of one time stand beside each other. All (n,)."""

    at: Ints
    value: Floats
    flags: Ints
    device: Ints
    """Index into ``devices``."""
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Values by steps of time, all (n,). A step without a value is not there."""

    at: Ints
    """Beginning of the step, a multiple of its width since the epoch."""
    low: Floats
    mean: Floats
    high: Floats
    last: Floats
    count: Ints


@dataclass(frozen=True, slots=True)
class Interval:
    """What one device said, without a break, from ``start_us`` on."""

    device: str
    state: State
    start_us: int
    """Of the first row that said so, or the beginning of the range where that was earlier."""
    seen_us: int
    """Of the last row that said so; before ``start_us`` where the range began later."""
    end_us: int | None
    """When another state was seen or a gap began; None: nothing seen since says otherwise."""


@dataclass(frozen=True, slots=True)
class Series:
    """The answer for one channel of one entity in [``start_us``, ``end_us``)."""

    scenario: str
    entity: str
    channel: str
    unit: str
    start_us: int
    end_us: int
    step_us: int | None
    values: Samples | Buckets | tuple[Interval, ...]
    """Samples where no step was asked for; intervals, with or without a step, where the channel is a
    switch or a text."""
    gaps: tuple[Gap, ...]


class History(Protocol):
    """Answers questions about the past. Blocks for disk accesses: use a thread where a loop runs."""

    def history(
        self,
        scenario: str,
        entity: str,
        channel: str,
        *,
        start_us: int,
        end_us: int,
        step_us: int | None = None,
    ) -> Series:
        """Values whose event time lies in [start_us, end_us), up to the newest row in the log.

        Event time is ``ts``, or ``arrived`` where the device's clock was implausible (flag CLOCK). A
        redelivered row counts once. An entity without rows has an empty series.
        Raises HistoryRefused, or ZhiweiError where files cannot be read.
        """
        ...


def unbroken(at: Ints, gaps: Sequence[Gap]) -> list[slice]:
    """The runs of points between which a line may be drawn: no gap lies between two neighbours of a run.

    at: (n,) µs, ascending: times of samples, or of buckets.
    """
    broken = np.zeros(max(len(at) - 1, 0), np.bool_)
    for gap in gaps:
        # The two ends of a gap are moments that were kept: a pair that only touches one is not parted.
        before = at[:-1] < gap.end_us if gap.end_us is not None else np.True_
        after = at[1:] > gap.start_us if gap.start_us is not None else np.True_
        broken |= before & after
    cuts = [0, *(np.flatnonzero(broken) + 1).tolist(), len(at)]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]
