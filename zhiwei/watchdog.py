"""Does a worker hang? Marks that must move, and since when each of them has not. Pure: times are arguments.

A mark is anything that changes with the work: an offset, a turn. One that need not move now (nothing waits)
counts as moved. A worker that waits for a dead server and tries again makes turns: starting it anew would
not help, so it is left alone.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from zhiwei.metrics import Samples

TURNS = {
    "ingest": "zhiwei_ingest_turn_timestamp_seconds",
    "stream": "zhiwei_stream_turn_timestamp_seconds",
    "alerts": "zhiwei_alerts_turn_timestamp_seconds",
    "telemetry": "zhiwei_telemetry_turn_timestamp_seconds",
    "console": "zhiwei_console_turn_timestamp_seconds",
}
"""By role: what it sets at each turn of its main loop."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one part of the work has come."""

    value: Hashable
    waits: bool = True
    """Whether there is anything to do."""


@dataclass(slots=True)
class Watch:
    """Looks at marks again and again; ``stalled_s`` after the last move of one, the worker hangs."""

    stall_s: float
    start_s: float
    """The same until the first turn: state is loaded, the log's other workers let go of partitions."""
    _seen: dict[str, tuple[Mark, float]] = field(default_factory=dict)

    def look(self, marks: Mapping[str, Mark], now_s: float) -> Iterator[str]:
        """Says of each part that hangs what and for how long. now_s: monotonic."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in marks}
        for name, mark in marks.items():
            before, since_s = self._seen.get(name, (mark, now_s))
            if before.value != mark.value or not mark.waits or not before.waits:
                since_s = now_s
            self._seen[name] = mark, since_s
            limit_s = self.stall_s if mark.value else self.start_s
            if now_s - since_s >= limit_s:
                yield f"{name} has not moved for {now_s - since_s:.0f} s"


def marks_of(role: str, samples: Samples) -> dict[str, Mark]:
    """What must move in a role, by its metrics: its turns, and partitions in which records wait."""
    marks = {"turn": Mark(samples.get((TURNS[role], ()), 0.0))}
    for (name, labels), lag in samples.items():
        if name == "zhiwei_lag_records":
            applied = samples.get(("zhiwei_applied_offset", labels), -1.0)
            place = "/".join(value for _, value in reversed(labels))  # topic, partition
            # An offset of 0 is a value too: as text it is never empty.
            marks[place] = Mark(str(applied), waits=lag > 0)
    return marks
