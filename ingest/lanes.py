"""Which lane a row takes: is it old, does it call for help? Nearly all are neither, and are told so fast."""

from collections.abc import Callable

from ingest.quality import EARLIEST_US
from zhiwei.clock import MICROS
from zhiwei.contracts import Decoded
from zhiwei.schema import Schema, quantity_of

Latency = Callable[[str], int]
"""Normal latency of a channel, µs."""


class Sorting:
    """How the rows of one scenario part."""

    def __init__(self, schema: Schema, latency: Latency | None, fresh_s: float) -> None:
        """latency: None where the scenario has no backlog. fresh_s: how much later than normal is old."""
        self._latency = latency
        self._fresh_us = round(fresh_s * MICROS)
        self._triggers = frozenset(channel.name for channel in schema.channels if channel.trigger)

    @property
    def triggers(self) -> bool:
        """Whether a row can call for help: only then is there a lane for it."""
        return bool(self._triggers)

    def plain(self, decoded: Decoded, arrived: int | None, *, urgent: bool) -> bool:
        """Whether all rows of a packet are fresh readings and nothing else. Never true in doubt.

        arrived: None where the rows bring their own time, and are never old.
        """
        if urgent:
            return False
        if self._latency is not None and arrived is not None:
            oldest = arrived - self._fresh_us
            for ts in decoded.ts:
                if ts is not None and EARLIEST_US <= ts < oldest:
                    return False
        return not self._triggers or not any(map(self._may_call, decoded.values))

    def old(self, row: Decoded, arrived: int) -> bool:
        """Whether a single row came later than the slowest of its channels normally does.

        Where its own time is implausible, or absent, that of its arrival stands in: it is fresh.
        """
        ts = row.ts[0]
        if self._latency is None or ts is None or ts < EARLIEST_US:
            return False
        normal = max(map(self._latency, row.values[0]), default=self._latency(""))
        return ts < arrived - normal - self._fresh_us

    def calls(self, row: Decoded) -> bool:
        """Whether a single row calls for help."""
        return self._may_call(row.values[0])

    def _may_call(self, values: dict[str, float | bool | str | list[str] | None]) -> bool:
        return any(value in (True, 1.0) and self._triggering(name) for name, value in values.items())

    def _triggering(self, name: str) -> bool:
        """Also of a further probe (``sos_2``) and of a family (``sos.bathroom``)."""
        return not self._triggers.isdisjoint((name, quantity_of(name), name.partition(".")[0]))


def split(decoded: Decoded) -> list[Decoded]:
    """A packet's rows, one by one."""
    return [
        Decoded(ts=[ts], flags=[flags], values=[values])
        for ts, flags, values in zip(decoded.ts, decoded.flags, decoded.values, strict=True)
    ]
