"""Sending: what waits is appended together, in one transaction, and confirmed after it."""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from faust.exceptions import ProducerSendError
from faust.transport import base
from faust.types import TP, RecordMetadata

from streams.transports.embedded.source import Logs, Source, partition_for
from zhiwei.commitlog import CommitLog, file_of
from zhiwei.contracts import Entry

_PENDING_BYTES = 8 * 1024 * 1024
"""Sends wait while so much waits to be written."""

_TOGETHER = 500
"""Records of one transaction."""


@dataclass(frozen=True, slots=True)
class _Sent:
    entry: Entry
    done: "Future[RecordMetadata]"


class Producer(base.Producer):
    """Appends to the log. A send's future is done when the record survives a power cut.

    It fails with StorageFull when nothing is accepted any more, and with ProducerSendError for a topic
    that does not exist. Whoever awaits a send's future sees its failure.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._logs = Logs(Source.of(self.transport.url), writer=True)
        self._partitions: dict[str, int] = {}
        self._pending: deque[_Sent] = deque()
        self._pending_bytes = 0
        self._room = asyncio.Event()
        self._writing: Task[None] | None = None

    async def on_start(self) -> None:
        await super().on_start()  # runs the buffer of send_soon; without it the app stalls at 100 messages

    async def on_stop(self) -> None:
        await self.flush()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self._settled()  # what send_soon's buffer sent when it stopped
        await asyncio.to_thread(self._logs.close)

    async def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int,  # noqa: ARG002 - Faust's signature
        **_: Any,
    ) -> None:
        """Make the topic; replication and Kafka's other settings mean nothing here.

        Raises ZhiweiError when it exists with another number of partitions.
        """
        await asyncio.to_thread(self._create_topic, topic, partitions)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,  # noqa: ARG002 - Faust's signature
        headers: object,  # noqa: ARG002 - Faust's signature
        *,
        transactional_id: str | None = None,  # noqa: ARG002 - Faust's signature
    ) -> Awaitable[RecordMetadata]:
        """Take the message; the future returned tells when it is durable. Waits while much is pending.

        Neither key, timestamp, headers nor transactions are stored.
        """
        if value is None:
            raise ProducerSendError(f"topic {topic!r}: a record without a value cannot be stored")
        count = await self._count(topic)
        if partition is None:
            partition = partition_for(key, count)
        if not 0 <= partition < count:
            raise ProducerSendError(
                f"topic {topic!r} has {count} partitions, there is no partition {partition}; "
                "topics are created before they are written to"
            )
        while self._pending_bytes >= _PENDING_BYTES:
            self._room.clear()
            await self._room.wait()
        done: Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        self._pending.append(_Sent(Entry(topic, partition, value), done))
        self._pending_bytes += len(value)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        return done

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: object,
        *,
        transactional_id: str | None = None,  # noqa: ARG002 - Faust's signature
    ) -> RecordMetadata:
        """``send``, and wait until the record is durable."""
        return await (await self.send(topic, key, value, partition, timestamp, headers))

    async def flush(self) -> None:
        """Everything sent so far is durable, or has failed, when it returns."""
        await self.buffer.flush()
        await self._settled()

    async def _settled(self) -> None:
        while self._writing is not None:
            await asyncio.shield(self._writing)

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Where a message of this key goes when the sender names no partition."""
        return TP(topic, partition_for(key, self._logs.of(topic).partitions(topic) or 1))

    def supports_headers(self) -> bool:
        return False

    async def _count(self, topic: str) -> int:
        """Partitions of the topic; remembered, since a topic's number never changes."""
        if topic not in self._partitions:
            count = await asyncio.to_thread(lambda: self._logs.of(topic).partitions(topic))
            if not count:
                return 0
            self._partitions[topic] = count
        return self._partitions[topic]

    def _create_topic(self, topic: str, partitions: int) -> None:
        self._logs.of(topic).create_topic(topic, partitions)

    async def _write(self) -> None:
        """Append what is pending until nothing is; sends that come meanwhile make the next group."""
        try:
            while self._pending:
                group = [self._pending.popleft()]
                name = file_of(group[0].entry.topic)
                while self._pending and len(group) < _TOGETHER:
                    if file_of(self._pending[0].entry.topic) != name:
                        break
                    group.append(self._pending.popleft())
                await self._append(self._logs.of(group[0].entry.topic), group)
        finally:
            self._writing = None
            self._room.set()

    async def _append(self, log: CommitLog, group: list[_Sent]) -> None:
        try:
            offsets = await asyncio.to_thread(log.append, [sent.entry for sent in group])
        except Exception as error:  # noqa: BLE001 - whoever sent is told, whatever it is
            for sent in group:
                if not sent.done.done():
                    sent.done.set_exception(error)
        else:
            for sent, offset in zip(group, offsets, strict=True):
                if not sent.done.done():
                    at = TP(sent.entry.topic, sent.entry.partition)
                    sent.done.set_result(RecordMetadata(at.topic, at.partition, at, offset))
        finally:
            self._pending_bytes -= sum(len(sent.entry.value) for sent in group)
            self._room.set()
