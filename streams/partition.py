"""One partition of a readings topic in the hands of this process: engine, offsets, snapshots.

The order is fixed: findings durable → snapshot with its offset → ack. A crash between any two of them
replays records and yields the same (id, rev). Nothing here knows Faust: the source of records is handed in.

While the log takes no findings, nothing is stepped. While the state store is away, detecting and sending go
on and nothing is acked, until as much has gathered as a snapshot may be apart: then the partition waits.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar
from zlib import crc32

import msgspec

from streams.engine.engine import Engine, Outcome
from streams.engine.snapshot import copy_head, copy_rows, restore
from streams.engine.store import Kept, Skip, StateStore
from streams.progress import Progress
from zhiwei import metrics
from zhiwei.clock import Clock, to_datetime
from zhiwei.contracts import Entry, LogReader, LogRecord, LogWriter, Scenario
from zhiwei.errors import Retryable, StorageFull
from zhiwei.generations import mark
from zhiwei.ids import partition_of
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane
from zhiwei.logs import logger, say
from zhiwei.types import Finding, Reason, Rejection, Tick

SET_ASIDE = "setaside"
_MOST_WAITING = 64
"""Records in the inbox; when it is full, the source waits."""
_STEP_BYTES = 256 * 1024
"""Of records stepped at once: bounds how long findings wait for the rest of their batch."""
_STEP_AT_ONCE = 32 * 1024
"""More than so much is stepped in a thread: other partitions go on, a switch of threads (5 ms) apart."""
_STEP_BYTES_BACKLOG = 32 * 1024
"""The same of old rows, which are mostly of few entities and step slowly (1.6 s for 2000 rows of one water
station, measured)."""
_REST_TIMES, _REST_MOST_S = 10, 0.25
"""A step costs by the frame, hardly by the row. After one a partition rests so many times as long as it took,
at most so long, while rows gather: the busier the machine, the fewer and larger the steps. Calls for help
have a lane of their own, which never rests; and what is worth a step by its size does not wait."""
_WORTH_BYTES = 32 * 1024
_MOST_UNSAVED = 20_000
"""Applied records whose snapshot is still to come; their handles are kept until then."""
_AGAIN_S = 0.5
"""Between attempts while the log or the state store is away."""
T = TypeVar("T")

_log = logger.getChild("streams")
_rows = metrics.gauge("zhiwei_rows", "Rows of the log, each in one bin", "topic", "partition", "bin")
_entities = metrics.gauge("zhiwei_entities", "Entities with state", "topic", "partition")
_findings = metrics.counter("zhiwei_findings", "Finding revisions sent", "kind", "phase")
_holes = metrics.counter("zhiwei_continuity_breaks", "Records that did not follow each other", "topic")


class Source(Protocol):
    """Where records come from and where their fate is told."""

    def ack(self, handle: object) -> None:
        """The record is in a snapshot: it need not come again."""
        ...

    async def seek(self, offset: int) -> None:
        """Deliver from this offset on."""
        ...

    async def commit(self, offset: int) -> None:
        """Say at once that everything below needs not come again."""
        ...


@dataclass(frozen=True, slots=True)
class _Copy:
    """A consistent copy of what changed, to be saved off the loop."""

    applied: int
    head: bytes
    chunk: bytes
    base: bool
    at_s: float
    """When it was made, monotonic."""


class Partition:
    """See the head of this file. ``work`` and ``keep_saving`` are tasks; if one fails, the process ends."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        site: str,
        topic: str,
        number: int,
        lane: Lane = Lane.READINGS,
        log: LogReader,
        findings: LogWriter,
        findings_partitions: int,
        store: StateStore,
        source: Source,
        clock: Clock,
        snapshot_s: float,
        snapshot_rows: int,
    ) -> None:
        self.topic, self.number, self._lane = topic, number, lane
        self._scenario, self._site = scenario, site
        self._log, self._writer, self._findings_partitions = log, findings, findings_partitions
        self._store, self._source, self._clock = store, source, clock
        self._snapshot_s, self._snapshot_rows = snapshot_s, snapshot_rows
        self._inbox: deque[tuple[LogRecord, object]] = deque()
        self._inbox_bytes = 0
        self._filled, self._emptied, self._worth = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._rests_until_s = float("-inf")
        self._lock, self._saving = asyncio.Lock(), asyncio.Lock()
        self._waiting: deque[tuple[int, object]] = deque()
        self._told: dict[str, Tick] = {}
        self._unsaved_rows = 0
        self._next_is_base = True
        self._lost = False
        """A chunk was not saved: only a base can go on from there."""
        self._seeking = self._closed = False
        self._progress = Progress(topic, number, clock)

    async def open(self) -> None:
        """Become the owner: new epoch, state from the snapshot, and the offset to go on from.

        Raises LogMismatch where the state belongs to another log.
        """
        kept = await self._until_done("a partition waits to be taken", self._take_over)
        place = {"site": self._site, "topic": self.topic, "partition": self.number}
        named = await self._until_done("the log does not answer", partial(mark, self._log, self.topic))
        if kept.head is None:
            self._engine = Engine(
                self._scenario, site=self._site, topic=named, partition=self.number, lane=self._lane
            )
            self._engine.skips.update(kept.skips)
        else:
            self._engine = restore(
                self._scenario,
                kept.head,
                kept.chunks,
                site=self._site,
                topic=named,
                partition=self.number,
                lane=self._lane,
                skips=kept.skips,
            )
            self._next_is_base = False
        self._epoch, self.applied, self._saved = kept.epoch, kept.applied, kept.applied
        self._expected = kept.applied + 1
        say(_log, logging.INFO, "partition taken", **place, epoch=kept.epoch, applied=kept.applied)
        await self._pass_over_gap()

    def _take_over(self) -> Kept:
        log, partitions = self._log.identity(self.topic), self._log.partitions(self.topic)
        if not log or self.number >= partitions:
            raise Retryable(f"the log does not have {self.topic}/{self.number}")
        end = self._log.end(self.topic, self.number)
        return self._store.take(self.topic, self.number, log=log, partitions=partitions, end=end)

    def close(self) -> None:
        """Another owns it now: whoever waits in ``put`` is let go, and what comes still is not taken."""
        self._closed = True
        self._emptied.set()

    async def put(self, offset: int, value: bytes, handle: object) -> None:
        """Take a record from the source, in order; waits while the inbox is full.

        What the snapshot holds already is acknowledged; what does not follow makes the source seek back.
        """
        if self._closed:
            return
        if offset < self._expected:
            if offset <= self._saved:
                self._source.ack(handle)
            return
        if offset > self._expected:
            await self._pass_over_gap()
        if offset > self._expected:
            if not self._seeking:
                _holes.labels(self.topic).inc()
                say(_log, logging.WARNING, "records do not follow", topic=self.topic, partition=self.number,
                    expected=self._expected, came=offset)  # fmt: skip
                self._seeking = True
                await self._source.seek(self._expected)
            return
        self._seeking = False
        self._expected = offset + 1
        self._inbox.append((LogRecord(offset, value), handle))
        self._inbox_bytes += len(value)
        self._filled.set()
        if self._inbox_bytes >= _WORTH_BYTES or len(self._inbox) >= _MOST_WAITING:
            self._worth.set()
        while len(self._inbox) >= _MOST_WAITING and not self._closed:
            self._emptied.clear()
            await self._emptied.wait()

    async def work(self) -> None:
        """Step what waits, for ever. Raises what cannot be turned into an outcome: then the process ends."""
        while True:
            items = await self._take()
            async with self._lock:
                records = [record for record, _ in items]
                # Between apply and send nobody may see the state: it counts its findings as sent.
                outcome = await self._apply(records)
                self._waiting.extend((record.offset, handle) for record, handle in items)
                self._progress.stepped(first=self.applied == self._saved)
                self.applied = records[-1].offset
                self._unsaved_rows += outcome.rows
                await self._send(outcome)
            if self._unsaved_rows >= self._snapshot_rows or len(self._waiting) >= _MOST_UNSAVED:
                while not await self.save():  # noqa: ASYNC110 - nobody tells when the store is back
                    await asyncio.sleep(_AGAIN_S)

    async def keep_saving(self, stop: asyncio.Event) -> None:
        """Snapshot a partition that has moved every ``snapshot_s``, until told to stop; then a last time.

        Each has a beat of its own: copies of all of them at one time would hold up what is urgent.
        """
        wait_s = self._snapshot_s * crc32(f"{self.topic}/{self.number}".encode()) / 2**32
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)
            await self.save()
            wait_s = self._snapshot_s

    async def save(self) -> bool:
        """Snapshot now, if anything was applied since the last one. False: the store is away."""
        async with self._lock:
            if self.applied <= self._saved:
                return True
            copy = self._copy()
        return await self._save(copy)

    # -------------------------------------------------------------- steps of work

    async def _take(self) -> list[tuple[LogRecord, object]]:
        while not self._inbox:
            self._filled.clear()
            await self._filled.wait()
        await self._gather()
        items: list[tuple[LogRecord, object]] = []
        size, most = 0, _STEP_BYTES_BACKLOG if self._lane is Lane.BACKLOG else _STEP_BYTES
        while self._inbox and (not items or size < most):
            items.append(self._inbox.popleft())
            size += len(items[-1][0].value)
        self._inbox_bytes -= size
        self._emptied.set()
        return items

    async def _gather(self) -> None:
        """Until enough waits, or the rest is over."""
        wait_s = self._rests_until_s - self._clock.monotonic_s()
        if wait_s > 0 and self._inbox_bytes < _WORTH_BYTES and len(self._inbox) < _MOST_WAITING:
            self._worth.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._worth.wait()

    async def _apply(self, records: Sequence[LogRecord]) -> Outcome:
        """Step them; what may take long does so in a thread, and calls for help go by."""
        began_s = self._clock.monotonic_s()
        if self._lane is not Lane.BACKLOG and sum(len(record.value) for record in records) < _STEP_AT_ONCE:
            outcome = self._engine.apply(records)
        else:
            outcome = await asyncio.to_thread(self._engine.apply, records)
        ended_s = self._clock.monotonic_s()
        if self._lane is not Lane.URGENT:
            self._rests_until_s = ended_s + min(_REST_TIMES * (ended_s - began_s), _REST_MOST_S)
        return outcome

    async def _send(self, outcome: Outcome) -> None:
        """Findings, refusals, the time that has passed and drills, in one durable append."""
        if outcome.set_aside:
            skips = [Skip(a.offset, a.place, a.entity, a.error) for a in outcome.set_aside if a.place >= 0]
            skip = partial(self._store.skip, self.topic, self.number, epoch=self._epoch, skips=skips)
            await self._until_done("rows to be skipped are not kept", skip)
        entries = [Entry(self._way(f), self._place(f), msgspec.json.encode(f)) for f in outcome.findings]
        entries += [Entry(SET_ASIDE, 0, msgspec.json.encode(one)) for one in self._refused(outcome)]
        ticks = [tick for tick in self._engine.watermarks() if self._told.get(tick.clock) != tick]
        entries += [
            Entry(topic, partition, msgspec.json.encode(tick))
            for tick in ticks
            for topic in (FINDINGS, FINDINGS_URGENT)
            for partition in range(self._findings_partitions)
        ]
        way = FINDINGS_URGENT if self._lane is Lane.URGENT else FINDINGS
        place = self.number % self._findings_partitions
        entries += [Entry(way, place, msgspec.json.encode(drill)) for drill in outcome.drills]
        if entries:
            # All of them again where some may be there: readers know a revision that they have seen.
            await self._until_done("findings are not appended", partial(self._writer.append, entries))
        self._told.update({tick.clock: tick for tick in ticks})
        for finding in outcome.findings:
            _findings.labels(finding.kind, finding.phase).inc()

    def _way(self, finding: Finding) -> str:
        urgent = finding.kind in self._scenario.life_safety and not finding.historical
        return FINDINGS_URGENT if urgent else FINDINGS

    def _place(self, finding: Finding) -> int:
        return partition_of(finding.entity, self._findings_partitions)

    def _refused(self, outcome: Outcome) -> list[Rejection]:
        now = to_datetime(self._clock.now_us())
        place = f"{self.topic}/{self.number}"
        rows = [
            Rejection(
                reason=Reason.RULE_ERROR,
                scope="row",
                topic=place,
                detail=f"offset {a.offset}, row {a.place}, entity {a.entity}: {a.error}",
                payload=b"",
                arrived=now,
                rows=1,
            )
            for a in outcome.set_aside
        ]
        return rows + [
            Rejection(
                reason=Reason.BAD_FRAME,
                scope="payload",
                topic=place,
                detail=f"offset {u.offset}: {u.detail}",
                payload=u.value,
                arrived=now,
            )
            for u in outcome.unreadable
        ]

    def _copy(self) -> _Copy:
        base = self._next_is_base or self._lost
        self._unsaved_rows = 0
        head, rows = copy_head(self._engine), copy_rows(self._engine, everything=base)
        return _Copy(self.applied, head, rows, base, self._clock.monotonic_s())

    async def _save(self, copy: _Copy) -> bool:
        async with self._saving:
            if self._lost and not copy.base:
                return False  # it was made before the one that it builds on was lost
            try:
                self._next_is_base = await asyncio.to_thread(
                    self._store.save,
                    self.topic,
                    self.number,
                    epoch=self._epoch,
                    applied=copy.applied,
                    head=copy.head,
                    chunk=copy.chunk,
                    base=copy.base,
                )
            except (Retryable, StorageFull) as error:
                if not self._lost:
                    self._say_away("snapshots are not saved", error)
                self._lost = True
                return False
            self._lost = False
            self._saved = copy.applied
            self._progress.saved(copy.at_s)
        while self._waiting and self._waiting[0][0] <= copy.applied:
            self._source.ack(self._waiting.popleft()[1])
        return True

    async def _until_done(self, what: str, call: Callable[[], T]) -> T:
        """Call it in a thread, again while log or store are away; what comes after must not overtake it."""
        is_said = False
        while True:
            try:
                return await asyncio.to_thread(call)
            except (Retryable, StorageFull) as error:
                if not is_said:
                    self._say_away(what, error)
                is_said = True
                await asyncio.sleep(_AGAIN_S)

    def _say_away(self, what: str, error: Exception) -> None:
        say(_log, logging.ERROR, what, topic=self.topic, partition=self.number, error=error)

    async def _pass_over_gap(self) -> None:
        """Records that retention took before they were applied are named, and passed over."""
        earliest = await self._until_done(
            "the log does not answer", partial(self._log.earliest, self.topic, self.number)
        )
        if earliest <= self._expected:
            return
        first, last = self._expected, earliest - 1
        name = partial(self._store.name_gap, self.topic, self.number, first=first, last=last)
        await self._until_done("a gap is not named", name)
        say(_log, logging.ERROR, "records are gone before they were read", topic=self.topic,
            partition=self.number, first=first, last=last)  # fmt: skip
        self._expected = earliest
        await self._source.commit(earliest)

    async def tell(self) -> None:
        """Bring the metrics up to date; called once a second. Raises Retryable: the log does not answer."""
        end = await asyncio.to_thread(self._log.end, self.topic, self.number)
        self._progress.tell(applied=self.applied, saved=self._saved, lag=end - 1 - self.applied)
        labels = (self.topic, str(self.number))
        for name in self._engine.bins.__struct_fields__:
            _rows.labels(*labels, name).set(getattr(self._engine.bins, name))
        _entities.labels(*labels).set(len(self._engine.entities))

    def forget(self) -> None:
        """It is somebody else's now: its progress is not ours to tell."""
        self._progress.forget()
