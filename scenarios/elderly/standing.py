"""What stands between a home and a finding: how the rules tell their terms."""

from dataclasses import dataclass

from scenarios.elderly.policy import Threshold
from scenarios.elderly.words import HOUR
from zhiwei.clock import NEVER
from zhiwei.contracts import Standing


@dataclass(frozen=True, slots=True)
class Told:
    """Makes the terms of one kind and way."""

    kind: str
    way: str

    def term(
        self,
        name: str,
        holds: bool | None,
        *,
        observed: float | bool | str | None = None,
        needs: float | bool | str | None = None,
        since: int | None = None,
        decides: bool = True,
    ) -> Standing:
        """A term that is so or is not."""
        return Standing(
            kind=self.kind,
            way=self.way,
            name=name,
            holds=holds,
            observed=observed,
            needs=needs,
            since=None if since is None or abs(since) >= NEVER // 2 else since,
            decides=decides,
        )

    def lasted(self, name: str, since: int, at: int, limit_us: int, source: str) -> Standing:
        """A duration in hours, from ``since`` to ``at``, against its limit."""
        return Standing(
            kind=self.kind,
            way=self.way,
            name=name,
            holds=at - since >= limit_us,
            observed=max(at - since, 0) / HOUR,
            needs=limit_us / HOUR,
            sign="≥",
            unit="h",
            since=since,
            source=source,
        )

    def at_most(self, name: str, value: float, limit: Threshold, *, decides: bool = True) -> Standing:
        """A number in the limit's unit that may not exceed it."""
        return Standing(
            kind=self.kind,
            way=self.way,
            name=name,
            holds=value <= limit.value,
            observed=value,
            needs=float(limit.value),
            sign="≤",
            unit=limit.unit,
            source=limit.source,
            decides=decides,
        )
