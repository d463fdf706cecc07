"""Answers about the past: DuckDB over the segments, and the log's end for what is in none of them yet.

For any process that can read the data directory; it writes nothing. The order of looking makes each row
count once while another process records: the position first, then the segments, then the log from the higher
of the two.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from streams.engine.batch import is_frame
from streams.telemetry import progress, segments
from streams.telemetry.lane import LANES, folder_of, lane_in
from streams.telemetry.layout import AT, Rows, column_of
from streams.telemetry.recorder import open_database
from streams.telemetry.segments import Segment
from streams.telemetry.strips import intervals
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_us
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Array, LogReader, LogRecord
from zhiwei.errors import ZhiweiError
from zhiwei.history import Buckets, Gap, HistoryRefused, Interval, Samples, Series
from zhiwei.ids import partition_of
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag, Tick

MOST_VALUES = 200_000
"""Samples or rows of a strip in one answer: more than a screen can show, some 10 MB."""
MOST_BUCKETS = 20_000
CARRY_US = 24 * 3600 * MICROS
"""How far before the range a strip looks for the state that held when the range began."""
TAIL_RECORDS = 20_000
"""Records of a partition's end that one question reads. Normally some seconds' worth wait there."""

_TRIES = 3
"""A file may be removed between the listing and its opening: by retention, or long after a merge."""

_tick = msgspec.json.Decoder(Tick)
_texts = msgspec.json.Decoder(tuple[str, ...])


@dataclass(slots=True)
class _Found:
    """Where the rows of one question are."""

    files: list[Segment] = field(default_factory=list)
    tail: list[LogRecord] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


class SegmentHistory:
    """``zhiwei.history.History`` of the embedded bed. May be asked from several threads at once."""

    def __init__(
        self,
        data: Path,
        *,
        log: LogReader | None = None,
        schema_of: Callable[[str], Schema] = lambda name: registry.scenario(name).schema,
    ) -> None:
        """log: the readings log, that of the data directory by itself."""
        self._data = data
        self._log = log or CommitLog(data / "log", "readings")
        self._schema_of = schema_of
        self._database = open_database(data)

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
        """See ``zhiwei.history.History``. What a log that is gone has left in segments is part of it."""
        schema = self._schema_of(scenario)
        described = described_in(schema, channel)
        check_range(start_us, end_us, step_us)
        is_strip = described.dtype in ("bool", "utf8", "list")
        since_us = start_us - CARRY_US if is_strip else start_us
        for attempt in range(_TRIES):
            found = self._find(schema, entity, since_us, end_us)
            question = _Question(schema, entity, described, since_us, end_us)
            try:
                with self._database.cursor() as connection:
                    rows = question.rows(connection, found)
                    values: Samples | Buckets | tuple[Interval, ...]
                    if is_strip:
                        values = _strip(
                            connection, rows, found.gaps, start_us, is_list=described.dtype == "list"
                        )
                    elif step_us is None:
                        values = _samples(connection, rows)
                    else:
                        values = _buckets(connection, rows, start_us, step_us)
                break
            except duckdb.IOException as error:
                if attempt + 1 == _TRIES:
                    raise ZhiweiError(f"{self._data / 'telemetry'}: cannot be read: {error}") from None
            except duckdb.Error as error:
                raise ZhiweiError(f"{self._data / 'telemetry'}: cannot be read: {error}") from None
        gaps = tuple(gap for gap in found.gaps if touches(gap, start_us, end_us))
        return Series(scenario, entity, channel, described.unit, start_us, end_us, step_us, values, gaps)

    def _find(self, schema: Schema, entity: str, start_us: int, end_us: int) -> _Found:
        found = _Found()
        places: dict[Path, tuple[int, str]] = {}  # lane's folder → partitions, topic where it is live
        for folder in (self._data / "telemetry" / schema.scenario).glob("*"):
            if lane_of := lane_in(folder):
                places[folder] = lane_of[2], ""
        for lane in LANES:
            topic = f"{lane}.{schema.scenario}"
            if partitions := self._log.partitions(topic):
                folder = folder_of(self._data, schema.scenario, lane, self._log.identity(topic), partitions)
                places[folder] = partitions, topic
        for folder, (partitions, topic) in sorted(places.items()):
            partition = partition_of(entity, partitions)
            done = progress.load(folder)
            ours = [each for each in segments.listed(folder)[0] if each.partition == partition]
            found.files.extend(each for each in ours if each.low < end_us and each.high >= start_us)
            if topic:
                stand = done.stands.get(partition, progress.Stand(following=0))
                position = max([stand.following, *(each.following for each in ours)])
                found.tail.extend(self._tail(schema, topic, partition, entity, position, stand, done))
            found.gaps.extend(lost.gap for lost in done.lost if lost.partition == partition)
        return found

    def _tail(
        self,
        schema: Schema,
        topic: str,
        partition: int,
        entity: str,
        position: int,
        stand: progress.Stand,
        done: progress.Progress,
    ) -> list[LogRecord]:
        """Records from the position on in which the entity occurs; what is lost there goes into ``done``."""
        end = self._log.end(topic, partition)
        wanted = max(position, end - TAIL_RECORDS)
        if wanted > position:
            done.lose(partition, position, wanted, "unrecorded", stand.seen)
        name, tail = entity.encode(), []
        while wanted < end and (records := self._log.read(topic, partition, wanted)):
            if records[0].offset > wanted:
                done.lose(partition, wanted, records[0].offset, "overtaken", stand.seen)
            for record in records:
                # A name stands in a frame as it is (zhiwei.frames.encode), so most need not be decoded.
                if name in record.value and is_frame(record.value):
                    tail.append(record)
                if any(lost.partition == partition and lost.end_us is None for lost in done.lost):
                    _end_gap(schema, done, partition, record)
            wanted = records[-1].offset + 1
        return tail


@dataclass(frozen=True, slots=True)
class _Question:
    schema: Schema
    entity: str
    channel: Channel
    start_us: int
    end_us: int

    def rows(self, connection: duckdb.DuckDBPyConnection, found: _Found) -> tuple[str, dict[str, object]]:
        """SQL for the values of the channel, each redelivered row once, and its parameters."""
        tail = Rows(self.schema)
        for record in found.tail:
            try:
                columns = frames.decode(self.schema, record.value)
            except frames.BadFrame:  # passed over and named when it is recorded
                continue
            if self.channel.name in columns.channels and self.entity in columns.entities:
                ours = [number for number, name in enumerate(columns.entities) if name == self.entity]
                tail.add(record.offset, columns, np.flatnonzero(np.isin(columns.entity, ours)))
        relation = tail.relation(connection, "tail", [self.channel])
        parameters = {**relation.parameters, "entity": self.entity}
        source = relation.sql  # has the channel's column, whatever the segments have
        if found.files:
            parameters["files"] = segments.scanned(found.files)
            source = f"FROM {segments.SCAN} UNION ALL BY NAME {relation.sql}"
        column = column_of(self.channel)
        no_ts = f"flags & {Flag.NO_TS.value} <> 0"
        return (
            f"WITH cells AS (SELECT {AT} AS at_us, arrived_us, \"offset\", \"row\", device, ts_us, flags,"
            f' "{column}" AS value FROM ({source}) WHERE entity = $entity AND "{column}" IS NOT NULL'
            f" AND {AT} >= {self.start_us} AND {AT} < {self.end_us})"
            # Without a time of its own a row cannot be told from its redelivery: each stays.
            f' FROM cells QUALIFY {no_ts} OR row_number() OVER (PARTITION BY device, ts_us, value, {no_ts}'
            f' ORDER BY {_IN_ORDER}) = 1',
            parameters,
        )  # fmt: skip


_IN_ORDER = 'at_us, arrived_us, "offset", "row"'

_Sql = tuple[str, dict[str, object]]


def described_in(schema: Schema, name: str) -> Channel:
    """The channel. Raises HistoryRefused where the schema has none of this name."""
    channel = schema.channel(name)
    if channel is None:
        known = ", ".join(each.name for each in schema.channels)
        raise HistoryRefused(f"channel {name!r}: scenario {schema.scenario!r} has none of this name: {known}")
    return channel


_LIMIT_US = 1 << 61
"""±73,000 years: sums of two times still fit."""


def check_range(start_us: int, end_us: int, step_us: int | None) -> None:
    """Raises HistoryRefused for a range, or for steps, that cannot be answered."""
    if not -_LIMIT_US < start_us < end_us < _LIMIT_US:
        raise HistoryRefused(f"start_us = {start_us}: expected a time before end_us = {end_us}")
    if step_us is not None:
        least = math.ceil((end_us - start_us) / MOST_BUCKETS)
        if step_us < max(least, 1):
            raise HistoryRefused(
                f"step_us = {step_us}: expected at least {max(least, 1)}: {MOST_BUCKETS} steps in this range"
            )


def touches(gap: Gap, start_us: int, end_us: int) -> bool:
    """Whether a gap lies in a range, or partly."""
    begins = gap.start_us is None or gap.start_us < end_us
    return begins and (gap.end_us is None or gap.end_us >= start_us)


def _end_gap(schema: Schema, done: progress.Progress, partition: int, record: LogRecord) -> None:
    """A record behind a gap says when it was over."""
    try:
        if is_frame(record.value):
            columns = frames.decode(schema, record.value)
            if len(columns):
                done.see(partition, record.offset, columns.clock, int(columns.arrived.min()))
        else:
            tick = _tick.decode(record.value)
            done.see(partition, record.offset, tick.clock, to_us(tick.time))
    except (frames.BadFrame, msgspec.DecodeError):  # unreadable, or a control record, which has no time
        return


# ------------------------------------------------------------------ the three forms of an answer


def _fetched(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]
) -> dict[str, Array]:
    columns = connection.execute(f"{sql} LIMIT {MOST_VALUES + 1}", parameters).fetchnumpy()
    # DuckDB gives masked arrays where a column may be null; ours have no nulls.
    arrays = {name: np.ma.getdata(column) for name, column in columns.items()}
    if len(next(iter(arrays.values()))) > MOST_VALUES:
        raise HistoryRefused(
            f"more than {MOST_VALUES} values in this range: ask for a shorter one, or for steps"
        )
    return arrays


def _samples(connection: duckdb.DuckDBPyConnection, rows: _Sql) -> Samples:
    sql, parameters = rows
    got = _fetched(
        connection,
        f"SELECT at_us, CAST(value AS DOUBLE) AS value, CAST(flags AS BIGINT) AS flags, device"
        f" FROM ({sql}) ORDER BY {_IN_ORDER}",
        parameters,
    )
    devices, device = np.unique(got["device"].astype(str), return_inverse=True)
    return Samples(got["at_us"], got["value"], got["flags"], device, tuple(devices.tolist()))


def _buckets(connection: duckdb.DuckDBPyConnection, rows: _Sql, start_us: int, step_us: int) -> Buckets:
    sql, parameters = rows
    origin = start_us // step_us * step_us
    got = _fetched(
        connection,
        f"SELECT {origin} + (at_us - {origin}) // {step_us} * {step_us} AS bucket,"
        " CAST(min(value) AS DOUBLE) AS low, avg(CAST(value AS DOUBLE)) AS mean,"
        " CAST(max(value) AS DOUBLE) AS high,"
        f" CAST(arg_max(value, ROW({_IN_ORDER})) AS DOUBLE) AS last, count(*) AS n"
        f" FROM ({sql}) GROUP BY bucket ORDER BY bucket",
        parameters,
    )
    return Buckets(got["bucket"], got["low"], got["mean"], got["high"], got["last"], got["n"])


def _strip(
    connection: duckdb.DuckDBPyConnection, rows: _Sql, gaps: list[Gap], start_us: int, *, is_list: bool
) -> tuple[Interval, ...]:
    sql, parameters = rows
    # A list as its text: NumPy would compare the lists element by element.
    value = "CAST(to_json(value) AS VARCHAR)" if is_list else "value"
    got = _fetched(
        connection,
        f"SELECT device, at_us, {value} AS state FROM ({sql}) ORDER BY device, {_IN_ORDER}",
        parameters,
    )
    found = intervals(got["device"], got["at_us"], got["state"], gaps, start_us)
    if is_list:
        return tuple(replace(each, state=_texts.decode(str(each.state))) for each in found)
    return found
