"""The alerts role: findings log → incidents → events → receivers; and the console beside it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import product

from sqlalchemy import Connection, func, select

from alerts import metrics
from alerts.api.parts import Desk, Sources
from alerts.commands import Commands
from alerts.dispatch.worker import Receiver, Worker
from alerts.drills import Drills, Place
from alerts.feed import Feed
from alerts.heartbeat import keep_beating
from alerts.incident import Change, State
from alerts.store import folding, outbox
from alerts.store.folding import Applied, LogState, Run
from alerts.store.outbox import Lane, lane_of
from alerts.store.store import Store
from alerts.store.tables import INCIDENTS
from zhiwei import registry
from zhiwei.clock import MICROS, Clock
from zhiwei.contracts import LogReader, LogRecord, Sink
from zhiwei.errors import Retryable, StorageFull
from zhiwei.health import Health, judge
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT
from zhiwei.logs import logger, say
from zhiwei.metrics import samples
from zhiwei.settings import Settings

TOPICS = (FINDINGS_URGENT, FINDINGS)
"""In order of their right of way: an ordinary batch is folded only when nothing urgent waits."""
_LOG = logger.getChild("alerts")
_RECORDS_MOST = {FINDINGS_URGENT: 500, FINDINGS: 100}
"""Folded in one transaction, of all partitions: what is urgent waits for an ordinary one at most once."""
_WAIT_S = 1.0
"""How long the log is waited for; it wakes us earlier. Also between attempts to write to a full disk."""
_GAUGES_S = 1.0
_HOLDS_S = 0.5
"""Between two looks for holds that are over."""

Committed = Callable[[str, int, int], None]
"""Told (topic, partition, next offset) after each transaction: a hint for the log's retention."""


async def run(
    settings: Settings,
    reader: LogReader,
    clock: Clock,
    stop: asyncio.Event,
    committed: Committed | None = None,
    sources: Sources | None = None,
    drilled: Sequence[Place] = (),
) -> None:
    """Fold and dispatch until stopped. No receiver needs to be there.

    sources: with them API and console are served; without, nothing listens. drilled: partitions of readings
    from which drills must come.

    Raises LogMismatch where the event store belongs to another log, ConfigError for a sink's settings,
    Fenced where another process folds into the same store; ZhiweiError where store or log is damaged.
    """
    sinks = [make_sink(one, clock) for one in settings.sinks]
    store = Store.of(settings)
    try:
        receivers = [Receiver(sink, clock) for sink in sinks]
        workers = [Worker(receiver, lane, store, clock) for receiver in receivers for lane in Lane]
        feed = Feed()
        drills = Drills(drilled, clock)
        folder = Folder(settings, reader, clock, store, workers, committed, feed, drills)
        try:
            await folder.start()  # before anything is sent: the wrong log changes nothing
        except (Retryable, StorageFull) as error:
            say(_LOG, logging.WARNING, "the log cannot be read yet", error=error)
        await _name_orphans(store, {sink.name for sink in sinks})
        ending = asyncio.Event()
        parts = [
            folder.run(ending),
            folder.end_holds(ending),
            folder.keep_telling(ending),
            _keep_gauges(store, clock, [sink.name for sink in sinks], workers, ending),
            *(worker.run(ending) for worker in workers),
        ]
        if settings.heartbeat.url:
            parts.append(keep_beating(settings.heartbeat, partial(_health, settings, clock), clock, ending))
        if sources is not None:
            from alerts.api.server import serve  # heavy, and only needed by those who look

            loop, sinks_told = asyncio.get_running_loop(), tuple(sink.name for sink in settings.sinks)
            commands = Commands(
                store, clock, sinks_told, feed, lambda: loop.call_soon_threadsafe(_wake, workers)
            )
            desk = Desk(settings.site, store, commands, feed, clock, sources)
            parts.append(serve(settings, desk, ending))
        await _together(parts, workers, stop, ending)
    finally:
        store.close()


def _health(settings: Settings, clock: Clock) -> Health:
    return judge("alerts", samples(), clock.now_us() / MICROS, settings.health)


def make_sink(settings: object, clock: Clock) -> Sink:
    """The sink of these settings, by the name of their kind."""
    kind = settings.__struct_config__.tag  # type: ignore[attr-defined]
    sink: Sink = registry.load("sinks", str(kind))(settings, clock)
    return sink


def _wake(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.wake.set()


async def _together(
    parts: Sequence[Coroutine[None, None, None]],
    workers: Sequence[Worker],
    stop: asyncio.Event,
    ending: asyncio.Event,
) -> None:
    """Run parts until stopped or until one fails; then end the others and raise its error.

    ending: what the parts obey. ``stop`` is the caller's, and may stop others too.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        _wake(workers)
        stopping.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class Folder:
    """Follows the findings log; after each transaction it wakes whoever delivers."""

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        clock: Clock,
        store: Store,
        workers: Sequence[Worker],
        committed: Committed | None = None,
        feed: Feed | None = None,
        drills: Drills | None = None,
    ) -> None:
        self._drills = drills or Drills((), clock)
        self._feed = feed or Feed()
        self._reader = reader
        self._clock = clock
        self._store = store
        self._workers = workers
        self._committed = committed
        self._sinks = tuple(sink.name for sink in settings.sinks)
        self._close_after_us = round(settings.alerts.close_after_s * MICROS)
        self._late_hold_us = round(settings.alerts.late_hold_s * MICROS)
        self._offsets: dict[str, list[int]] = {}
        """By topic: the next of each partition; nothing while the log was not found or not checked."""
        self._turn = Counter[str]()
        """By topic: which partition comes first next time."""
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}
        """By partition: the offset that was told, and when it moved or nothing waited."""

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until stopped. Raises LogMismatch, Fenced."""
        while not stop.is_set():
            metrics.TURNED.set(self._clock.now_us() / MICROS)
            moved = False
            try:
                if len(self._offsets) < len(TOPICS):
                    await self.start()
                moved = await self._fold_next()
            except (Retryable, StorageFull) as error:
                say(_LOG, logging.ERROR, "findings wait", error=error)
                await _pause(stop, _WAIT_S)
                continue
            if not moved:
                await self._changed(stop)

    async def start(self) -> None:
        """Check the log against the store, where the topics exist. Raises LogMismatch."""
        for topic in TOPICS:
            log = await asyncio.to_thread(_log_state, self._reader, topic)
            if not log.bounds or topic in self._offsets:
                continue
            now_us = self._clock.now_us()
            offsets = await self._store.transact(partial(folding.start, log=log, now_us=now_us))
            self._offsets[topic] = list(offsets)
            for partition, offset in enumerate(offsets):
                self._tell(topic, partition, offset)

    async def _fold_next(self) -> bool:
        """Fold a batch of what waits: urgent records, if there are any. Returns whether anything did."""
        return await self.fold(FINDINGS_URGENT) or await self.fold(FINDINGS)

    async def fold(self, topic: str) -> bool:
        """Fold what waits in the topic's partitions, as much as one transaction takes: each time another one
        comes first. Returns whether there was any."""
        offsets = self._offsets.get(topic, [])
        if not offsets:
            return False
        first = self._turn[topic] % len(offsets)
        self._turn[topic] += 1
        order = (*range(first, len(offsets)), *range(first))
        waiting = await asyncio.to_thread(_waiting, self._reader, topic, {n: offsets[n] for n in order})
        if not waiting:
            return False
        apply = partial(
            folding.apply,
            topic=topic,
            runs={number: Run(offsets[number], records) for number, records in waiting.items()},
            sinks=self._sinks,
            close_after_us=self._close_after_us,
            late_hold_us=self._late_hold_us,
            now_us=self._clock.now_us(),
        )
        done = await self._store.transact(apply)
        metrics.FOLDED.set(self._clock.now_us() / MICROS)
        for partition, applied in done.items():
            self._offsets[topic][partition] = applied.next_offset
            self._publish(applied.changes, lane_of(topic))
            self._drills.count(applied.drills)
            self._tell(topic, partition, applied.next_offset)
            _count(partition, applied)
        return True

    async def end_holds(self, stop: asyncio.Event) -> None:
        """Tell of held incidents when their time has come, until stopped; also where the log stands still."""
        while not stop.is_set():
            now_us = self._clock.now_us()
            end = partial(
                folding.end_holds, sinks=self._sinks, late_hold_us=self._late_hold_us, now_us=now_us
            )
            try:
                self._publish(await self._store.transact(end))
            except (Retryable, StorageFull) as error:
                say(_LOG, logging.ERROR, "held incidents wait", error=error)
            await _pause(stop, _HOLDS_S)

    async def keep_telling(self, stop: asyncio.Event) -> None:
        """Keep the gauges of what waits to be folded, until stopped."""
        while not stop.is_set():
            try:
                await self.tell()
            except Retryable as error:
                say(_LOG, logging.WARNING, "gauges are not up to date", error=error)
            await _pause(stop, _GAUGES_S)

    async def tell(self) -> None:
        """Bring the gauges of what waits to be folded up to date. Raises Retryable."""
        for topic, offsets in list(self._offsets.items()):
            for partition, offset in enumerate(offsets):
                end = await asyncio.to_thread(self._reader.end, topic, partition)
                now_s, lag = self._clock.monotonic_s(), max(0, end - offset)
                before, since_s = self._moved.get((topic, partition), (offset, now_s))
                if not lag or before != offset:
                    since_s = now_s
                self._moved[topic, partition] = offset, since_s
                metrics.LAG.labels(topic, str(partition)).set(lag)
                metrics.STALLED.labels(topic, str(partition)).set(now_s - since_s)

    def _publish(self, changes: Sequence[Change], lane: Lane | None = None) -> None:
        """Tell those who deliver and those who look of changes that are stored. lane: of all of them, where
        that is known: who has nothing to deliver need not ask."""
        for change in changes:
            metrics.EVENTS.labels(change.kind.value).inc()
        if changes:
            _wake([worker for worker in self._workers if lane in {None, worker.lane}])
            self._feed.publish(changes)

    def _tell(self, topic: str, partition: int, offset: int) -> None:
        if self._committed is not None:
            self._committed(topic, partition, offset)

    async def _changed(self, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._reader.changed(_WAIT_S)), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _waiting(reader: LogReader, topic: str, offsets: Mapping[int, int]) -> dict[int, list[LogRecord]]:
    """By partition, records from its offset on, as many as a transaction takes."""
    found: dict[int, list[LogRecord]] = {}
    room = _RECORDS_MOST[topic]
    for partition, offset in offsets.items():
        if room and (records := reader.read(topic, partition, offset, most=room)):
            found[partition] = records
            room -= len(records)
    return found


def _log_state(reader: LogReader, topic: str) -> LogState:
    count = reader.partitions(topic)
    bounds = tuple((reader.earliest(topic, n), reader.end(topic, n)) for n in range(count))
    return LogState(reader.identity(topic), topic, bounds)


def _count(partition: int, applied: Applied) -> None:
    for name, number in applied.bins.items():
        metrics.RECORDS.labels(name).inc(number)
    for refusal in applied.refusals:
        metrics.REFUSALS.labels(refusal.reason).inc()
    if applied.refusals:
        first = applied.refusals[0]
        fields = {"offset": first.offset, "reason": first.reason, "detail": first.detail}
        count = len(applied.refusals)
        say(_LOG, logging.WARNING, "records refused", partition=partition, count=count, **fields)
    if applied.gap:
        metrics.GAP.inc(applied.gap)
        say(_LOG, logging.ERROR, "the log has a gap", partition=partition, records=applied.gap)


async def _name_orphans(store: Store, sinks: set[str]) -> None:
    orphans: Counter[str] = Counter()
    for (name, _), backlog in (await store.transact(outbox.backlogs)).items():
        if name not in sinks:
            orphans[name] += backlog.pending
    for name, events in orphans.items():
        fields = {"sink": name, "events": events}
        say(_LOG, logging.WARNING, "events wait for a sink that is no longer configured", **fields)


async def _keep_gauges(
    store: Store, clock: Clock, sinks: Sequence[str], workers: Sequence[Worker], stop: asyncio.Event
) -> None:
    while not stop.is_set():
        try:
            if await _set_gauges(store, clock, sinks):
                _wake(workers)  # a console of its own process writes events, and cannot wake them
        except (Retryable, StorageFull) as error:
            say(_LOG, logging.WARNING, "gauges are not up to date", error=error)
        await _pause(stop, _GAUGES_S)


async def _set_gauges(store: Store, clock: Clock, sinks: Sequence[str]) -> int:
    """Returns how many events wait for a receiver."""

    def ask(connection: Connection) -> tuple[dict[str, int], dict[tuple[str, Lane], outbox.Backlog]]:
        live = (
            select(INCIDENTS.c.state, func.count())
            .where(INCIDENTS.c.state != State.CLOSED.value)
            .group_by(INCIDENTS.c.state)
        )
        states = {row[0]: row[1] for row in connection.execute(live)}
        return states, outbox.backlogs(connection)

    states, backlogs = await store.transact(ask)
    for state in (State.HELD, State.OPEN, State.CLEARED):
        metrics.INCIDENTS.labels(state.value).set(states.get(state.value, 0))
    now_us = clock.now_us()
    for name, lane in {*product(sinks, Lane), *backlogs}:
        backlog = backlogs.get((name, lane), outbox.Backlog(0, now_us))
        metrics.PENDING.labels(name, lane.value).set(backlog.pending)
        metrics.OLDEST.labels(name, lane.value).set(max(0, now_us - backlog.oldest_us) / MICROS)
    return sum(backlog.pending for backlog in backlogs.values())


async def _pause(stop: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await stop.wait()
    except TimeoutError:
        return
