"""What was measured, for people who look back: the contracts between telemetry and the console.

Nothing that finds or tells rests on these: where they are empty or fail, charts are.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from zhiwei.types import Rejection


@dataclass(frozen=True, slots=True)
class Interval:
    """A value that a switch or a text channel held from ``start`` until ``end``, µs."""

    start: int
    end: int
    value: bool | str


@dataclass(frozen=True, slots=True)
class Series:
    """One channel of one entity over a time.

    Numbers come as times and values, switches and texts as intervals; the other part is empty.
    """

    times: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(n,) µs UTC, rising."""
    values: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(n,); NaN = missing."""
    intervals: tuple[Interval, ...] = ()
    """In order, not overlapping; between two of them nothing is known."""
    gaps: tuple[tuple[int, int], ...] = ()
    """[start, end) µs that telemetry knows it has missed: never to be bridged by a line."""


class History(Protocol):
    """Answers for one channel. Calls may block for disk accesses."""

    def series(
        self, scenario: str, entity: str, channel: str, start_us: int, end_us: int, step_us: int | None
    ) -> Series:
        """What was measured in [start, end). step_us: thin numbers out to about one per step, such that
        peaks stay; None gives every row. Empty where nothing is known of entity or channel.
        Raises ZhiweiError where it cannot answer."""
        ...


@dataclass(frozen=True, slots=True)
class LastValue:
    """The latest value of one channel of one device."""

    scenario: str
    entity: str
    device: str
    channel: str
    value: float | bool | str | None
    at_us: int
    """Event time of that row."""
    arrived_us: int


class LastValues(Protocol):
    """Answers what came last. Calls may block for disk accesses."""

    def all(self, most: int) -> tuple[LastValue, ...]:
        """Of the entities heard of last, newest first; at most so many values.
        Raises ZhiweiError where it cannot answer."""
        ...

    def entity(self, scenario: str, entity: str) -> tuple[LastValue, ...]:
        """Of one entity; empty where it is not known. Raises ZhiweiError where it cannot answer."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """A rejection and its number in the quarantine."""

    number: int
    rejection: Rejection


class Quarantine(Protocol):
    """Answers what was refused. Calls may block for disk accesses."""

    def newest(self, most: int) -> tuple[Refused, ...]:
        """The last ones, newest first. Raises ZhiweiError where it cannot answer."""
        ...
