"""The telemetry role: all lanes of all scenarios into segments, old segments away; never in the way.

It reads the log as any process may, waits for nobody and is waited for by nobody: retention of the log does
not ask it, and what it misses is named. An error ends what is in memory, not what is durable, and not the
process: it begins again from there.
"""

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import duckdb

from streams.telemetry import segments
from streams.telemetry.lane import LANES, Lane, Limits, folder_of, lane_in
from streams.telemetry.segments import Segment
from zhiwei import metrics, registry
from zhiwei.clock import Clock
from zhiwei.commitlog import CommitLog, GroupLock
from zhiwei.errors import StorageFull
from zhiwei.logs import logger, say
from zhiwei.schema import Schema
from zhiwei.settings import Settings

GROUP = "zhiwei-telemetry"
"""Of the lock that makes the recorder the only one; retention must not wait for this group."""

_POLL_S = 1.0
"""Nobody waits for telemetry, so no append wakes it."""
_RETRY_S = 10.0
_TIDY_S = 60.0
GRACE_S = 60.0
"""A merged segment stays so long: a reader that listed the folder before may still open it."""
_RESERVES = 2
"""Telemetry leaves the disk at this many times the log's reserve: it fills up before intake has to stop."""

_log = logger.getChild("telemetry")
_errors = metrics.counter("zhiwei_telemetry_errors", "Times that recording began again after an error")
_recording = metrics.gauge("zhiwei_telemetry_recording", "1 while frames are being recorded")
_bytes = metrics.gauge("zhiwei_telemetry_bytes", "Bytes of all segments")
_segments = metrics.gauge("zhiwei_telemetry_segments", "Number of all segments")


def open_database(data: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB in memory, one thread, with a bound and a place to spill: it shares a machine with findings."""
    spill = data / "telemetry" / ".spill"
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": "512MB",
            "temp_directory": str(spill),
            # Nothing is fetched from the network.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


class Recorder:
    """Lanes of the scenarios, made as their topics appear. Blocking; for one thread."""

    def __init__(
        self,
        data: Path,
        schemas: Sequence[Schema],
        log: CommitLog,
        clock: Clock,
        *,
        limits: Limits | None = None,
        reserve_bytes: int = 0,
        free_bytes: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free,
    ) -> None:
        self._data, self._schemas, self._log, self._clock = data, schemas, log, clock
        self._limits = limits or Limits()
        self._floor = _RESERVES * reserve_bytes
        self._free_bytes = free_bytes
        (data / "telemetry").mkdir(parents=True, exist_ok=True)
        self._connection = open_database(data)
        self._lanes: dict[str, Lane] = {}
        self._condemned: dict[Path, float] = {}
        """Superseded file → when we found it, by the monotonic clock."""
        self._tidied_s: float | None = None

    def step(self) -> bool:
        """Do a little of what there is to do. Returns whether there may be more to read.

        Raises StorageFull when the disk is near its reserve; else what Lane raises.
        """
        if (free := self._free_bytes(self._data)) < self._floor:
            self.tidy()
            raise StorageFull(
                f"{self._data}: {free} bytes free, telemetry leaves {self._floor} for the log; free disk "
                "space: what waits is recorded as long as the log keeps it"
            )
        self._find_lanes()
        more = False
        for lane in self._lanes.values():
            more = lane.step() or more
        if self._tidied_s is None or self._clock.monotonic_s() - self._tidied_s >= _TIDY_S:
            self.tidy()
        return more

    def close_segments(self) -> None:
        """Make segments of what waits, before a graceful end."""
        for lane in self._lanes.values():
            lane.close_all()

    def close(self) -> None:
        """Let go of everything; what waits is read again."""
        self._connection.close()

    def tidy(self) -> None:
        """Merge small segments, remove what a merge left behind, and what is too old or too much.

        One merge a lane and call, so that reading and a stop need not wait for a long row of them.
        """
        self._tidied_s = now_s = self._clock.monotonic_s()
        kept: list[Segment] = []
        for folder in sorted((self._data / "telemetry").glob("*/*")):
            if lane_in(folder) is None:
                continue
            current, superseded = segments.listed(folder)
            if run := next(segments.mergeable(current), None):
                segments.merge(self._connection, run)
                self._tidied_s = None  # there may be more: soon again
                current, superseded = segments.listed(folder)
            for each in superseded:
                if now_s - self._condemned.setdefault(each.file, now_s) >= GRACE_S:
                    each.file.unlink(missing_ok=True)
                    del self._condemned[each.file]
            kept.extend(current)
        self._drop_old(kept)

    def _find_lanes(self) -> None:
        for schema in self._schemas:
            for lane in LANES:
                topic = f"{lane}.{schema.scenario}"
                if topic not in self._lanes and (partitions := self._log.partitions(topic)):
                    self._lanes[topic] = Lane(
                        schema,
                        topic,
                        partitions,
                        folder_of(self._data, schema.scenario, lane, self._log.identity(topic), partitions),
                        self._log,
                        self._connection,
                        self._clock,
                        self._limits,
                    )

    def _drop_old(self, kept: list[Segment]) -> None:
        """Retention: by age, then by size, the oldest first."""
        kept.sort(key=lambda each: each.closed_us)
        sizes = {each: each.file.stat().st_size for each in kept}
        now_us = self._clock.now_us()
        young = [
            each for each in kept if each.closed_us >= now_us - self._limits.keep_us(each.folder.parent.name)
        ]
        total, first = sum(sizes[each] for each in young), 0
        while first < len(young) and total > self._limits.keep_bytes:
            total -= sizes[young[first]]
            first += 1
        here = set(young[first:])
        for each in kept:
            if each not in here:
                each.file.unlink(missing_ok=True)
        kept = young[first:]
        _bytes.set(total)
        _segments.set(len(kept))
        self._drop_traces(kept)

    def _drop_traces(self, kept: list[Segment]) -> None:
        """What was lost before all that is kept, and folders of logs that are gone."""
        for lane in self._lanes.values():
            firsts: dict[int, int] = {}
            for each in kept:
                if each.folder == lane.folder:
                    firsts[each.partition] = min(each.first, firsts.get(each.partition, each.first))
            lane.forget_before(firsts)
        ours = {lane.folder for lane in self._lanes.values()}
        full = {each.folder for each in kept}
        for folder in (self._data / "telemetry").glob("*/*"):
            found = lane_in(folder)
            if not found or folder in ours | full:
                continue
            if found[1] != self._log.identity(f"{found[0]}.{folder.parent.name}"):
                shutil.rmtree(folder, ignore_errors=True)


def limits_of(settings: Settings) -> Limits:
    """What the settings say of how long segments stay."""
    days = {scenario: said.telemetry_days for scenario, said in settings.retention.items()}
    return Limits(keep_scenarios={scenario: each * 86_400.0 for scenario, each in days.items()})


def record(settings: Settings, clock: Clock, stop: threading.Event, *, limits: Limits | None = None) -> None:
    """Record until told to stop. Blocks: for a thread, or a process, of its own.

    Returns only then: whatever goes wrong is counted, said, and tried again, since findings go on without it.
    """
    lock = GroupLock(settings.data / "log", GROUP)
    said = ""
    try:
        while not lock.try_acquire():
            if stop.wait(_POLL_S):
                return
        while not stop.is_set():
            try:
                _record(settings, clock, stop, limits)
            except Exception as error:  # noqa: BLE001 - findings of the same process must go on
                _recording.set(0)
                _errors.inc()
                if str(error) != said:
                    say(_log, logging.WARNING, "telemetry begins again", error=error)
                said = str(error)
                stop.wait(_RETRY_S)
    finally:
        lock.release()


def _record(settings: Settings, clock: Clock, stop: threading.Event, limits: Limits | None) -> None:
    schemas = [registry.scenario(name).schema for name in settings.streams.scenarios]
    with ExitStack() as stack:
        log = stack.enter_context(CommitLog(settings.data / "log", "readings", clock=clock))
        recorder = Recorder(
            settings.data,
            schemas,
            log,
            clock,
            limits=limits or limits_of(settings),
            reserve_bytes=settings.log.reserve_bytes,
        )
        stack.callback(recorder.close)
        while not stop.is_set():
            began_s = clock.monotonic_s()
            more = recorder.step()
            _recording.set(1)
            # While catching up, at most half of the time: the other half is for those who find.
            stop.wait(clock.monotonic_s() - began_s if more else _POLL_S)
        recorder.close_segments()
        _recording.set(0)


async def run(settings: Settings, clock: Clock, stop: asyncio.Event, *, limits: Limits | None = None) -> None:
    """``record`` in a thread of its own, for the stream process. Returns when stopped, never raises."""
    ended = threading.Event()
    thread = threading.Thread(
        target=record, args=(settings, clock, ended), kwargs={"limits": limits}, name="telemetry"
    )
    thread.start()
    try:
        await stop.wait()
    finally:
        ended.set()
        with suppress(asyncio.CancelledError):
            await asyncio.to_thread(thread.join)
