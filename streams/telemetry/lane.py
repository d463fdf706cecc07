"""One topic of the log on its way into segments: read, buffered, closed, and only then passed.

The order is fixed: what was lost is written → the segment is complete under its name → the position. A crash
between any two of them reads records again and keeps each row once, since the names of segments say which
offsets they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec

from streams.engine.batch import is_frame
from streams.telemetry import progress, segments
from streams.telemetry.layout import Rows
from zhiwei import frames, metrics
from zhiwei.clock import MICROS, Clock, to_us
from zhiwei.contracts import LogReader, LogRecord
from zhiwei.errors import LogMismatch
from zhiwei.schema import Schema
from zhiwei.settings import TELEMETRY_DAYS
from zhiwei.types import ControlRecord, Tick

LANES = ("readings", "backlog")
"""Topics are ``<lane>.<scenario>``. What travels on the urgent lane comes on ``readings`` as well."""

_READ_RECORDS = 200
_BUFFER_BYTES = 64 * 1024 * 1024
"""Of records; a segment is closed when so much waits, whatever the number of rows."""

_control = msgspec.json.Decoder(ControlRecord)
_rows = metrics.counter("zhiwei_telemetry_rows", "Rows in segments", "topic")
_unreadable = metrics.counter(
    "zhiwei_telemetry_unreadable_records", "Records that are no frame known here, passed over", "topic"
)
_overtaken = metrics.counter(
    "zhiwei_telemetry_overtaken_records", "Records that retention took before they were recorded", "topic"
)
_lag = metrics.gauge(
    "zhiwei_telemetry_lag_records", "Records in the log that are in no segment yet", "topic", "partition"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is closed, and how long it stays."""

    segment_rows: int = 200_000
    segment_s: float = 60.0
    """A chart reads what is younger from the log itself."""
    keep_s: float = TELEMETRY_DAYS * 86_400.0
    """From when a segment was closed, by our clock."""
    keep_scenarios: Mapping[str, float] = field(default_factory=dict)
    """Scenario → its own."""
    keep_bytes: int = 20_000_000_000
    """Of all segments of all scenarios."""

    def keep_us(self, scenario: str) -> int:
        """How long its segments stay, µs."""
        return int(self.keep_scenarios.get(scenario, self.keep_s) * MICROS)


def folder_of(data: Path, scenario: str, lane: str, log_id: str, partitions: int) -> Path:
    """Where a lane's segments are. Another log is another folder: its offsets mean something else."""
    return data / "telemetry" / scenario / f"{lane}_{log_id}_{partitions}"


def lane_in(folder: Path) -> tuple[str, str, int] | None:
    """Lane, log id and partitions of a folder by its name; None where it is no lane's."""
    parts = folder.name.split("_")
    if len(parts) != 3 or parts[0] not in LANES or not parts[2].isdecimal():
        return None
    return parts[0], parts[1], int(parts[2])


@dataclass(slots=True)
class _Partition:
    first: int
    """The offset that the open segment begins with."""
    position: int
    """The next offset to be read."""
    rows: Rows
    seen: dict[str, int]
    opened_s: float
    bytes: int = 0


@dataclass(slots=True)
class Lane:
    """One topic, all its partitions. Blocking; for one thread.

    Any error leaves it behind what is durable: drop it and make another one. Errors: duckdb.Error, OSError,
    and what the log raises.
    """

    schema: Schema
    topic: str
    partitions: int
    folder: Path
    log: LogReader
    connection: duckdb.DuckDBPyConnection
    clock: Clock
    limits: Limits
    _progress: progress.Progress = field(init=False)
    _open: list[_Partition] = field(init=False)
    _lost_more: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        segments.remove_drafts(self.folder)
        self._progress = progress.load(self.folder)
        current, _ = segments.listed(self.folder)
        self._open = []
        for number in range(self.partitions):
            stand = self._progress.stands.get(number, progress.Stand(following=0))
            # Closed, but we died before the position was written.
            position = max([stand.following, *(s.following for s in current if s.partition == number)])
            if position > (end := self.log.end(self.topic, number)):
                raise LogMismatch(
                    f"telemetry stands at {self.topic}/{number}/{position}, the log ends at {end}. Restore "
                    f"the log it belongs to, or move {self.folder} away to begin at the first record kept"
                )
            rows = Rows(self.schema)
            self._open.append(
                _Partition(position, position, rows, dict(stand.seen), self.clock.monotonic_s())
            )

    def step(self) -> bool:
        """Read a little of each partition, close what is due. Returns whether there may be more to read."""
        more = False
        for number, partition in enumerate(self._open):
            records = self.log.read(self.topic, number, partition.position, most=_READ_RECORDS)
            more = more or bool(records)
            if records and records[0].offset > partition.position:
                self._pass_over_gap(number, records[0].offset)
            for record in records:
                self._take(number, record)
                if len(partition.rows) >= self.limits.segment_rows or partition.bytes >= _BUFFER_BYTES:
                    self.close(number)
            if self.clock.monotonic_s() - partition.opened_s >= self.limits.segment_s:
                self.close(number)
            _lag.labels(self.topic, str(number)).set(
                self.log.end(self.topic, number) - self._stand(number).following
            )
        return more

    def close(self, number: int) -> None:
        """Make a segment of what waits in a partition, and pass its records; without rows only pass them."""
        partition = self._open[number]
        partition.opened_s = self.clock.monotonic_s()
        if partition.position == self._stand(number).following:
            return
        if len(partition.rows):
            if self._lost_more:  # the segment's name will say that its offsets are done with
                progress.save(self.folder, self._progress)
                self._lost_more = False
            segments.write(
                self.connection,
                partition.rows,
                self.folder,
                partition=number,
                first=partition.first,
                following=partition.position,
                closed_us=self.clock.now_us(),
            )
            _rows.labels(self.topic).inc(len(partition.rows))
        self._commit(number)
        partition.first, partition.rows, partition.bytes = partition.position, Rows(self.schema), 0

    def close_all(self) -> None:
        """Before a graceful end."""
        for number in range(self.partitions):
            self.close(number)

    def forget_before(self, oldest: dict[int, int]) -> None:
        """oldest: partition → the first offset that a segment still holds."""
        forgotten = [self._progress.forget(number, first) for number, first in oldest.items()]
        if any(forgotten):
            progress.save(self.folder, self._progress)

    def _stand(self, number: int) -> progress.Stand:
        return self._progress.stands.get(number, progress.Stand(following=0))

    def _commit(self, number: int) -> None:
        partition = self._open[number]
        self._progress.stands[number] = progress.Stand(
            following=partition.position, seen=dict(partition.seen)
        )
        progress.save(self.folder, self._progress)
        self._lost_more = False

    def _pass_over_gap(self, number: int, earliest: int) -> None:
        """Retention was faster than we: named, and passed. No segment spans it."""
        partition = self._open[number]
        self.close(number)
        if self._progress.lose(number, partition.position, earliest, "overtaken", partition.seen):
            _overtaken.labels(self.topic).inc(earliest - partition.position)
        partition.first = partition.position = earliest
        self._commit(number)

    def _take(self, number: int, record: LogRecord) -> None:
        partition = self._open[number]
        partition.position = record.offset + 1
        try:
            if is_frame(record.value):
                columns = frames.decode(self.schema, record.value)
                partition.rows.add(record.offset, columns)
                partition.bytes += len(record.value)
                if len(columns):
                    self._see(number, record.offset, columns.clock,
                              int(columns.arrived.min()), int(columns.arrived.max()))  # fmt: skip
                return
            control = _control.decode(record.value)
        except (frames.BadFrame, msgspec.DecodeError):
            if self._progress.lose(number, record.offset, record.offset + 1, "unreadable", partition.seen):
                self._lost_more = True
                _unreadable.labels(self.topic).inc()
            return
        if isinstance(control, Tick):
            time = to_us(control.time)
            self._see(number, record.offset, control.clock, time, time)

    def _see(self, number: int, offset: int, clock: str, earliest_us: int, latest_us: int) -> None:
        self._progress.see(number, offset, clock, earliest_us)
        seen = self._open[number].seen
        seen[clock] = max(latest_us, seen.get(clock, latest_us))
