"""Consuming: one process of a group at a time has all partitions; positions are ours and exact.

Faust's base class keeps acks and commits. What it expects of a group coordinator, which there is none of
here, is done in ``_assign``; each line of it is there because Faust stands still without (its own tests
in tests/streams/transports). Nothing here may hook acks: the compiled stream iterator goes past them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from faust.assignor.client_assignment import ClientAssignment
from faust.transport.consumer import Consumer as BaseConsumer
from faust.types import TP, ConsumerMessage

from streams.transports.embedded.source import Logs, Source, partition_for
from streams.transports.read_offset import NothingRead
from zhiwei.commitlog import CommitLog, GroupLock, GroupOffsets
from zhiwei.contracts import LogRecord
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.logs import logger, say

_log = logger.getChild("streams.transport")

_POLL_RECORDS = 50
"""Records read at once from a partition where ``broker_max_poll_records`` is not set."""

_ASK_S = 1.0
"""How long a lost wake-up may delay a record, and how often a missing topic is looked for."""


_Records = Mapping[TP, Any]
"""Partition → iterator of LogRecord. Faust says list, and asks for an iterator of it."""


@dataclass(slots=True)
class _Position:
    """Where one assigned partition stands."""

    next: int
    """Offset of the next record to be handed to Faust."""
    end: int = 0
    """End of the partition when it was last read."""
    fetched: "deque[LogRecord]" = field(default_factory=deque)
    """Read from the file and not handed over yet; its first record is ``next``."""
    seeks: int = 0
    """Counts seeks: what a thread read for an older one is dropped."""

    def seek(self, offset: int) -> None:
        self.next, self.seeks = offset, self.seeks + 1
        self.fetched.clear()


class Consumer(BaseConsumer):
    """A consumer group's one consumer over the embedded log.

    It waits until no other process consumes for the group (``app.conf.id``), then takes all partitions
    of the topics; a topic that is created later is taken over by a rebalance. Offsets are kept in
    ``groups/<group>.db``. A file error, or offsets that do not fit the log, crash the worker.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        source = Source.of(self.transport.url)
        group = self.app.conf.id
        self._read_offset = NothingRead(lambda: None)
        self._logs = Logs(source, writer=False)
        self._offsets = GroupOffsets(source.directory, group)
        self._group = GroupLock(source.directory, group)
        self._most = self.app.conf.broker_max_poll_records or _POLL_RECORDS
        self._topics: frozenset[str] = frozenset()
        self._positions: dict[TP, _Position] = {}
        self._listening: set[str] = set()
        self._subscribing: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        """Set when reading again may give something: an append, a seek, room in a buffer."""

    async def on_start(self) -> None:
        await super().on_start()
        if (reset := self.app.conf.consumer_auto_offset_reset) != "earliest":
            raise ConfigError(
                file="Faust", key="consumer_auto_offset_reset", value=reset, expected="'earliest'"
            )

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._offsets.close()
        self._logs.close()
        self._group.release()

    # ------------------------------------------------------------------ topics and assignment

    async def create_topic(self, topic: str, partitions: int, replication: int, **kafka: Any) -> None:
        """Make the topic (by the producer: a consumer only reads)."""
        await self.app.producer.create_topic(topic, partitions, replication, **kafka)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Consume these topics from now on.

        Returns before they are assigned: the assignment waits for the subscription to be finished.
        """
        self._topics = frozenset(topics)
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._subscribing = self.add_future(self._keep_assigned())

    async def _keep_assigned(self) -> None:
        if not self._group.try_acquire():
            say(
                _log,
                logging.WARNING,
                "another process consumes for this group: waiting for it to end",
                group=self._id,
            )
            await self._group.acquire_soon()
        wanted = await asyncio.to_thread(self._find_partitions)
        await self._assign(wanted)
        while len({tp.topic for tp in wanted}) < len(self._topics):
            await self.sleep(_ASK_S)  # topics are made before workers start: this is for the exception
            if (found := await asyncio.to_thread(self._find_partitions)) != wanted:
                wanted = found
                await self._assign(wanted)

    @property
    def _id(self) -> str:
        return str(self.app.conf.id)

    def _find_partitions(self) -> set[TP]:
        return {
            TP(topic, number)
            for topic in self._topics
            for number in range(self._logs.of(topic).partitions(topic))
        }

    async def _assign(self, tps: set[TP]) -> None:
        """What a group coordinator does, in the order Faust needs."""
        app = self.app
        app.on_rebalance_start()
        await self.on_partitions_revoked(self.assignment())
        places = await asyncio.to_thread(self._resume_at, tps)
        self._positions = {tp: _Position(next=offset) for tp, offset in places.items()}
        # Messages carry this number; a stream silently skips those of another one.
        app.consumer_generation_id += 1
        actives: dict[str, list[int]] = {}
        for tp in sorted(tps):
            actives.setdefault(tp.topic, []).append(tp.partition)
        assignor: Any = app.assignor
        assignor._assignment = ClientAssignment(actives=actives, standbys={})
        for topic in self._topics:
            log = self._logs.of(topic)
            if log.name not in self._listening:
                self._listening.add(log.name)
                self.add_future(self._listen(log))
        await self.on_partitions_assigned(set(tps), app.consumer_generation_id)
        say(_log, logging.INFO, "consuming", group=self._id, partitions=len(tps))

    def _resume_at(self, tps: Iterable[TP]) -> dict[TP, int]:
        """The committed offsets, or the first one kept. Raises LogMismatch."""
        places: dict[TP, int] = {}
        for tp in tps:
            committed = self._offsets.committed(tp.topic, tp.partition)
            places[tp] = max(committed or 0, self._logs.of(tp.topic).earliest(tp.topic, tp.partition))
        return places

    def assignment(self) -> set[TP]:
        return set(self._positions)

    def topic_partitions(self, topic: str) -> int | None:
        return self._logs.of(topic).partitions(topic) or None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """The partition named, or that of the key; None for a topic that does not exist."""
        count = self._logs.of(topic).partitions(topic)
        if not count:
            return None
        return partition_for(key, count) if partition is None else partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    # ------------------------------------------------------------------ reading

    async def _listen(self, log: CommitLog) -> None:
        while not self.should_stop:
            await log.changed(_ASK_S)
            self._news.set()

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> tuple[_Records, set[TP] | None]:
        """As in the base class, which however sleeps for a second when all buffers are full."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = None if self.app.client_only else self._get_active_partitions()
        return await self._getmany(active, timeout), active

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> _Records:
        """New records of the active partitions; waits for some, at most so long.

        They are handed over one by one, see ``_hand_over``.
        """
        if not (records := await self._fetch(active_partitions)):
            await self.wait(self._news.wait(), timeout=timeout)
            records = await self._fetch(active_partitions)
        return records

    async def _fetch(self, active: set[TP] | None) -> _Records:
        self._news.clear()  # before reading: what comes after it is seen by the next turn
        places = {tp: at for tp, at in self._positions.items() if active is None or tp in active}
        wanted = {tp: (at.next, at.seeks) for tp, at in places.items() if not at.fetched}
        if wanted:
            read = await asyncio.to_thread(self._read, {tp: offset for tp, (offset, _) in wanted.items()})
            for tp, (records, end) in read.items():
                if places[tp].seeks == wanted[tp][1]:
                    places[tp].end = end
                    places[tp].fetched.extend(records)
        return {
            tp: self._hand_over(tp, at, active)
            for tp, at in places.items()
            if at.fetched and self._positions.get(tp) is at  # not taken away while the thread read
        }

    def _read(self, wanted: Mapping[TP, int]) -> dict[TP, tuple[list[LogRecord], int]]:
        found = {}
        for tp, offset in wanted.items():
            log = self._logs.of(tp.topic)
            found[tp] = (
                log.read(tp.topic, tp.partition, offset, most=self._most),
                log.end(tp.topic, tp.partition),
            )
        return found

    def _hand_over(self, tp: TP, position: _Position, active: set[TP] | None) -> Iterator[LogRecord]:
        """Records until there are no more, or the stream's buffer has no room for more.

        So one slow stream neither holds up the others nor fills the memory. A seek ends it too.
        """
        while position.fetched and (active is None or tp in active):
            record = position.fetched.popleft()
            position.next = record.offset + 1
            yield record

    def _to_message(self, tp: TP, record: LogRecord) -> ConsumerMessage:
        size = len(record.value)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            0.0,  # the time is in the records
            0,
            None,
            None,
            record.value,
            None,
            0,
            size,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._news.set()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._news.set()

    # ------------------------------------------------------------------ positions

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Note how far the group has come; durable when it returns.

        Failing is not fatal: the records come again. It is said, and the next commit says it all anew.
        """
        mine = {(tp.topic, tp.partition): offset for tp, offset in offsets.items() if tp in self._positions}
        try:
            await asyncio.to_thread(self._offsets.commit_all, mine)
        except ZhiweiError as error:
            say(_log, logging.ERROR, "offsets not committed", group=self._id, error=error)
            return False
        return True

    async def seek_to_committed(self) -> Mapping[TP, int]:
        places = await asyncio.to_thread(self._resume_at, self.assignment())
        await self.seek_wait(places)
        return places

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            await self._seek(tp, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        """Read on from this offset. What is in the streams' buffers already still comes before it."""
        if (position := self._positions.get(partition)) is not None:  # else it was just taken away
            position.seek(offset)
            self._news.set()

    async def position(self, tp: TP) -> int | None:
        position = self._positions.get(tp)
        return None if position is None else position.next

    def highwater(self, tp: TP) -> int:
        """End of the partition when it was last read; Faust asks for every record."""
        position = self._positions.get(tp)
        return 0 if position is None else position.end

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return await asyncio.to_thread(
            lambda: {tp: self._logs.of(tp.topic).end(tp.topic, tp.partition) for tp in partitions}
        )

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return await asyncio.to_thread(
            lambda: {tp: self._logs.of(tp.topic).earliest(tp.topic, tp.partition) for tp in partitions}
        )
