"""Which lanes a row takes: is it old, does it call for help? Nearly all are neither, and are told so fast."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ingest.quality import EARLIEST_US
from zhiwei.clock import MICROS
from zhiwei.contracts import Decoded
from zhiwei.lanes import Lane
from zhiwei.schema import Schema, names_of
from zhiwei.types import Flag

_SLOW_US = 3600 * MICROS
"""Normal latency of what is uploaded now and then and not sent as it happens."""

_NAMES = 4096
"""Names of channels that are remembered: messages may bring any."""

Latency = Callable[[str], int]
"""Normal latency of a channel, µs."""


class Taken(NamedTuple):
    """One lane that a row takes."""

    lane: Lane
    copy: bool = False
    """It is on another lane too, and counted there."""
    flags: Flag = Flag(0)
    """To be set on the row there."""


_FRESH: tuple[Taken, ...] = (Taken(Lane.READINGS),)
_OLD: tuple[Taken, ...] = (Taken(Lane.BACKLOG),)
_CALL = Taken(Lane.URGENT, copy=True)
_AMENDS = Taken(Lane.READINGS, copy=True, flags=Flag.HISTORICAL)


class Sorting:
    """How the rows of one scenario part."""

    def __init__(self, schema: Schema, latency: Latency | None, fresh_s: float) -> None:
        """latency: None where the scenario has no backlog. fresh_s: how much later than normal is old."""
        self._latency = None if latency is None else lru_cache(_NAMES)(latency)
        self._fresh_us = round(fresh_s * MICROS)
        self._triggers = frozenset(channel.name for channel in schema.channels if channel.trigger)
        self._is_trigger = _within(self._triggers)
        self._is_amending = _within(frozenset(channel.name for channel in schema.channels if channel.amends))

    @property
    def triggers(self) -> bool:
        """Whether a row can call for help: only then is there a lane for it."""
        return bool(self._triggers)

    def plain(
        self, decoded: Decoded, arrived: int | None, *, urgent: bool, overtaken: int | None = None
    ) -> bool:
        """Whether all rows of a packet are fresh readings and nothing else. Never true in doubt.

        arrived: None where the rows bring their own time, and are never old. overtaken: see ``old``.
        """
        if urgent:
            return False
        if self._latency is not None and arrived is not None:
            oldest = arrived - self._fresh_us
            if overtaken is not None and overtaken > oldest:
                oldest = overtaken
            for ts in decoded.ts:
                if overtaken is not None if ts is None else EARLIEST_US <= ts < oldest:
                    return False
        return not self._triggers or not any(map(self._may_call, decoded.values))

    def lanes(
        self, row: Decoded, arrived: int | None, *, urgent: bool = False, overtaken: int | None = None
    ) -> tuple[Taken, ...]:
        """Every lane that a single row takes: where its age belongs, and where copies of it go.

        arrived: None where the row brings its own time. urgent: it came on the urgent topic level.
        overtaken: see ``old``.
        """
        old = arrived is not None and self.old(row, arrived, overtaken)
        taken = _OLD if old else _FRESH
        if urgent or self.calls(row):
            taken = (*taken, _CALL)
        if old and self._amends(row.values[0]):
            taken = (*taken, _AMENDS)
        return taken

    def old(self, row: Decoded, arrived: int, overtaken: int | None = None) -> bool:
        """Whether a single row came later than the slowest of its channels normally does.

        Where its own time is implausible, or absent, that of its arrival stands in: it is fresh.

        overtaken: rows from this time on (µs) came by another way already, past this one. Among them it
        would be late and judged by no rule; as an old one it is judged in its order. Rows of channels that
        are normally slow are not overtaken: no newer one of theirs came.
        """
        ts = row.ts[0]
        if self._latency is None:
            return False
        if ts is None or ts < EARLIEST_US:
            return ts is None and overtaken is not None
        normal = max(map(self._latency, row.values[0]), default=self._latency(""))
        if overtaken is not None and ts < overtaken and normal <= _SLOW_US:
            return True
        return ts < arrived - normal - self._fresh_us

    def calls(self, row: Decoded) -> bool:
        """Whether a single row calls for help."""
        return self._may_call(row.values[0])

    def _may_call(self, values: dict[str, float | bool | str | list[str] | None]) -> bool:
        is_trigger = self._is_trigger
        return any(value in (True, 1.0) and is_trigger(name) for name, value in values.items())

    def _amends(self, values: dict[str, float | bool | str | list[str] | None]) -> bool:
        is_amending = self._is_amending
        return any(value is not None and is_amending(name) for name, value in values.items())


def _within(channels: frozenset[str]) -> Callable[[str], bool]:
    """Whether a name stands for one of these channels; what it is asked often it knows."""
    return lru_cache(_NAMES)(lambda name: not channels.isdisjoint(names_of(name)))


def split(decoded: Decoded) -> list[Decoded]:
    """A packet's rows, one by one."""
    if len(decoded.ts) == 1:
        return [decoded]
    return [
        Decoded(ts=[ts], flags=[flags], values=[values])
        for ts, flags, values in zip(decoded.ts, decoded.flags, decoded.values, strict=True)
    ]
