"""The telemetry role: all lanes of all scenarios to InfluxDB, in batches; never in anybody's way.

It reads the log with positions of its own, waits for nobody and is waited for by nobody. A batch is written,
then the positions behind it: a crash or an error in between writes the same points again, onto themselves.
While InfluxDB is away nothing more is read; what the log's retention takes meanwhile is named.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from streams.engine.batch import is_frame
from streams.telemetry.influx import Influx, PointsRefused
from streams.telemetry.keep import Keep, check
from streams.telemetry.lane import LANES
from streams.telemetry.lines import Cell, Lines, lines
from streams.telemetry.piece import Piece, places
from streams.telemetry.positions import Place, Positions
from streams.telemetry.progress import Progress, Stand
from zhiwei import frames, metrics, registry
from zhiwei.beds import open_log
from zhiwei.clock import MICROS, Clock, to_us
from zhiwei.contracts import LogReader, LogRecord
from zhiwei.errors import ConfigError, LogMismatch, Retryable
from zhiwei.logs import logger, say
from zhiwei.schema import Schema
from zhiwei.settings import Settings, Telemetry
from zhiwei.sql import open_database
from zhiwei.types import ControlRecord, Tick

BATCH_ROWS = 5_000
"""What InfluxDB's documentation advises for one request."""
_LINGER_S = 1.0
"""So long a row waits for others."""
_IDLE_S = 10.0
"""Positions that only ticks have moved are written so often; and new topics looked for."""
_READ_RECORDS = 50
_POLL_S = 0.5
_FIRST_RETRY_S, _MOST_RETRY_S = 1.0, 60.0
_WAIT_S = 1.0
"""A wait is cut into pieces of this length: whoever waits for a dead server does not hang, and shows it."""

_log = logger.getChild("telemetry")
_control = msgspec.json.Decoder(ControlRecord)
_points = metrics.counter("zhiwei_influx_points", "Points written, some of them more than once")
_refused = metrics.counter("zhiwei_influx_refused", "Points never written, batches without a field", "reason")
_errors = metrics.counter("zhiwei_influx_errors", "Attempts that failed and are repeated")
_turned = metrics.gauge("zhiwei_telemetry_turn_timestamp_seconds", "When the loop last went round")
_sent = metrics.gauge("zhiwei_influx_sent_timestamp_seconds", "When all that waited was last written")
_writing = metrics.gauge("zhiwei_influx_writing", "1 while InfluxDB takes what is sent")
_unreadable = metrics.counter("zhiwei_influx_unreadable_records", "Records that are no frame known", "topic")
_overtaken = metrics.counter("zhiwei_influx_overtaken_records", "Records that retention took first", "topic")
_lag = metrics.gauge("zhiwei_influx_lag_records", "Records not written yet", "topic", "partition")


@dataclass(slots=True)
class _Partition:
    """One that is being read."""

    place: Place
    schema: Schema
    progress: Progress
    """As it will be saved: behind all that was read."""
    keep: Keep
    moved: bool = False
    """Since it was saved."""

    @property
    def stand(self) -> Stand:
        return self.progress.stands.setdefault(self.place.partition, Stand(following=0))


@dataclass(slots=True)
class Forwarder:
    """Reads, gathers, writes. Blocking; for one thread. After an error the same call may be made again."""

    log: LogReader
    positions: Positions
    influx: Influx
    clock: Clock
    schemas: Sequence[Schema]
    policies: dict[str, Telemetry] = field(default_factory=dict)
    """Scenario → what is kept; all where there is none."""
    _partitions: dict[str, list[_Partition]] = field(init=False, default_factory=dict)
    _waiting: list[Piece] = field(init=False, default_factory=list)
    _rows: int = field(init=False, default=0)
    _sent_s: float = field(init=False)
    _looked_s: float | None = field(init=False, default=None)
    _said: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._sent_s = self.clock.monotonic_s()

    def step(self) -> bool:
        """Read a little of each partition, write what is due. Returns whether there may be more to read.

        Raises Retryable, and LogMismatch where a position belongs to another log.
        """
        self._look()
        more = False
        for partitions in self._partitions.values():
            for partition in partitions:
                self._send_due()
                place, following = partition.place, partition.stand.following
                records = self.log.read(place.topic, place.partition, following, most=_READ_RECORDS)
                more = more or bool(records)
                for record in records:
                    self._take(partition, record)
                    self._send_due()
        self._send_due()
        return more

    def send(self) -> None:
        """Write what waits, and the positions behind it. Raises Retryable: it goes on waiting."""
        self._write()
        moved = [each for partitions in self._partitions.values() for each in partitions if each.moved]
        if moved:
            self.positions.save({each.place: each.progress for each in moved})
        for each in moved:
            each.moved = False
        self._waiting, self._rows = [], 0
        self._sent_s = self.clock.monotonic_s()
        _writing.set(1)
        _sent.set(self.clock.now_us() / MICROS)

    def _send_due(self) -> None:
        waited_s = self.clock.monotonic_s() - self._sent_s
        if self._rows >= BATCH_ROWS or waited_s >= (_LINGER_S if self._rows else _IDLE_S):
            self.send()

    # ------------------------------------------------------------------ reading

    def _look(self) -> None:
        """Topics appear when ingest first starts. Where they end is asked for here: it costs a round trip."""
        now_s = self.clock.monotonic_s()
        if self._looked_s is not None and now_s - self._looked_s < _IDLE_S:
            return
        for schema in self.schemas:
            for lane in LANES:
                topic = f"{lane}.{schema.scenario}"
                if topic not in self._partitions and (count := self.log.partitions(topic)):
                    self._partitions[topic] = self._begin(schema, topic, count)
                for each in self._partitions.get(topic, []):
                    number = each.place.partition
                    lag = self.log.end(topic, number) - each.stand.following
                    _lag.labels(topic, str(number)).set(lag)
        self._looked_s = now_s

    def _begin(self, schema: Schema, topic: str, count: int) -> list[_Partition]:
        known, identity, found = self.positions.of(topic), self.log.identity(topic), []
        for number in range(count):
            place = Place(topic=topic, partition=number, identity=identity, partitions=count)
            keep = Keep(self.policies.get(schema.scenario, Telemetry()))
            found.append(partition := _Partition(place, schema, known.get(place, Progress()), keep))
            position, end = partition.stand.following, self.log.end(topic, number)
            if position > end:
                raise LogMismatch(
                    f"telemetry stands at {topic}/{number}/{position}, the log ends at {end}. Restore the log"
                    f" it belongs to, or delete topic {topic!r} from table telemetry of the state database"
                    " to begin at the first record kept"
                )
        return found

    def _take(self, partition: _Partition, record: LogRecord) -> None:
        place, stand, offset = partition.place, partition.stand, record.offset
        progress, number = partition.progress, place.partition
        if offset > stand.following:
            progress.lose(number, stand.following, offset, "overtaken", stand.seen)
            _overtaken.labels(place.topic).inc(offset - stand.following)
        stand.following, partition.moved = offset + 1, True
        try:
            if is_frame(record.value):
                columns = frames.decode(partition.schema, record.value)
                kept = partition.keep.cells(columns)
                rows = places(f"{place.topic}/{number}/{offset}", len(columns))
                self._waiting.append(Piece(partition.schema.scenario, columns, kept, rows))
                self._rows += len(columns)
                if len(columns):
                    _see(progress, number, offset, columns.clock,
                         int(columns.arrived.min()), int(columns.arrived.max()))  # fmt: skip
                return
            control = _control.decode(record.value)
        except (frames.BadFrame, msgspec.DecodeError):
            progress.lose(number, offset, offset + 1, "unreadable", stand.seen)
            _unreadable.labels(place.topic).inc()
            return
        if isinstance(control, Tick):
            _see(progress, number, offset, control.clock, to_us(control.time), to_us(control.time))

    # ------------------------------------------------------------------ writing

    def _write(self) -> None:
        """All that waits; a field that is of another type in InfluxDB is left out, so that its row is not."""
        without: set[Cell] = set()
        while True:
            made, untimely = lines(self._waiting, without)
            try:
                self._send(made, without)
            except _FieldRefused as error:
                without.add(error.cell)
                self._drop("type_conflict", ".".join(error.cell), error.text, 1)
                continue
            if untimely:
                self._drop("time", "time", "a time outside of 1677 to 2262", untimely)
            return

    def _send(self, made: Lines, without: set[Cell]) -> None:
        """Write; where InfluxDB refuses, find what it refuses by halves, and go on without that."""
        if not len(made):
            return
        _turned.set(self.clock.now_us() / MICROS)
        try:
            self.influx.write(made.body())
        except PointsRefused as error:
            text = str(error)
            if error.conflict is not None and error.conflict not in without:
                raise _FieldRefused(error.conflict, text) from None
            if error.rest_is_written:
                self._drop("partial", text.partition(" dropped=")[0], text, error.dropped)
            elif len(made) == 1:
                self._drop("refused", text[:40], f"{text}: {made.body()[:300]!r}", 1)
                return
            else:
                half = len(made) // 2
                self._send(made[:half], without)
                self._send(made[half:], without)
                return
        _points.inc(len(made))

    def _drop(self, reason: str, what: str, text: str, count: int) -> None:
        """Counted each time, said once in the life of this process."""
        _refused.labels(reason).inc(count)
        if what not in self._said and len(self._said) < 1000:
            self._said.add(what)
            say(_log, logging.WARNING, "InfluxDB refuses, the rest goes on", reason=reason, what=text)


class _FieldRefused(Exception):  # noqa: N818 - what happened to the field
    def __init__(self, cell: Cell, text: str) -> None:
        self.cell, self.text = cell, text


def _see(progress: Progress, number: int, offset: int, clock: str, earliest: int, latest: int) -> None:
    progress.see(number, offset, clock, earliest)
    seen = progress.stands[number].seen
    seen[clock] = max(latest, seen.get(clock, latest))


def run(settings: Settings, clock: Clock, stop: threading.Event) -> None:
    """Forward until told to stop. Raises ZhiweiError where a person must act; waits for what is away."""
    if not settings.influx.url:
        expected = "the address of an InfluxDB, for `zhiwei telemetry` to write to"
        raise ConfigError(file="settings", key="influx.url", value="", expected=expected)
    schemas = [registry.scenario(name).schema for name in settings.streams.scenarios]
    for schema in schemas:
        check(settings.telemetry.get(schema.scenario, Telemetry()), schema)
    positions = Positions(open_database(settings, "state"))
    with open_log(settings, "readings", clock, gather_s=_POLL_S) as log, Influx(settings.influx) as influx:
        forwarder = Forwarder(log, positions, influx, clock, schemas, settings.telemetry)
        wait_s, said = _FIRST_RETRY_S, ""
        say(_log, logging.INFO, "telemetry started", influx=settings.influx.url)
        while not stop.is_set():
            _turned.set(clock.now_us() / MICROS)
            try:
                if not forwarder.step():
                    log.wait(_POLL_S)
                if said:
                    say(_log, logging.INFO, "telemetry goes on")
                wait_s, said = _FIRST_RETRY_S, ""
            except Retryable as error:
                _writing.set(0)
                _errors.inc()
                if not said:
                    said = str(error)
                    say(_log, logging.WARNING, "telemetry waits", why=error)
                _wait(stop, clock, max(wait_s, min(error.after_s or 0.0, _MOST_RETRY_S)))
                wait_s = min(2 * wait_s, _MOST_RETRY_S)
        try:
            forwarder.send()
        except Retryable as error:
            say(_log, logging.WARNING, "telemetry stopped; the rest is written at the next start", why=error)


def _wait(stop: threading.Event, clock: Clock, wait_s: float) -> None:
    until_s = clock.monotonic_s() + wait_s
    while not stop.is_set() and (left_s := until_s - clock.monotonic_s()) > 0:
        _turned.set(clock.now_us() / MICROS)
        stop.wait(min(left_s, _WAIT_S))
