"""What streams may expect of a log, whichever it is: runs unchanged over each LogUnderTest.

Consumers are Faust workers, in this process or, where they are killed, in their own. A bed is added by
writing its LogUnderTest and naming it in LOGS.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import faust
import pytest
from confluent_kafka import Consumer, TopicPartition
from faust.types import TP

from streams.transports.read_offset import keep_everything
from zhiwei.commitlog import CommitLog, GroupOffsets, file_of
from zhiwei.contracts import Entry
from zhiwei.kafka import KafkaLog
from zhiwei.settings import Kafka
from zhiwei.testing.servers.installed import missing

DEADLINE_S = 60.0
BUFFER = 16
POLL = 50


class LogUnderTest(Protocol):
    """One bed: how to reach it, and how a test looks at it from outside."""

    broker: str
    """URL for Faust."""
    settings: Mapping[str, Any]
    """What this bed needs of Faust beside the settings that all share."""
    let_through: int
    """Records behind those in a buffer that come all the same after a seek, as they were fetched before."""

    def create(self, topic: str, partitions: int) -> None: ...

    def append(self, topic: str, partition: int, values: Sequence[bytes]) -> list[int]:
        """Durable when it returns; the offsets given."""
        ...

    def committed(self, group: str, topic: str, partition: int) -> int | None: ...

    def end(self, topic: str, partition: int) -> int: ...

    def close(self) -> None: ...


class Embedded:
    """Our own log."""

    let_through = 0

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.broker = f"embedded://{directory}"
        self.settings: Mapping[str, Any] = {}
        self._logs = {name: CommitLog(directory, name, writer=True) for name in ("readings", "findings")}

    def create(self, topic: str, partitions: int) -> None:
        self._logs[file_of(topic)].create_topic(topic, partitions)

    def append(self, topic: str, partition: int, values: Sequence[bytes]) -> list[int]:
        return self._logs[file_of(topic)].append([Entry(topic, partition, value) for value in values])

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        offsets = GroupOffsets(self._directory, group)
        try:
            return offsets.committed(topic, partition)
        finally:
            offsets.close()

    def end(self, topic: str, partition: int) -> int:
        return self._logs[file_of(topic)].end(topic, partition)

    def close(self) -> None:
        for log in self._logs.values():
            log.close()


class OnKafka:
    """Apache Kafka, a real one; its sessions are short, as tests wait for their end."""

    let_through = POLL

    def __init__(self, bootstrap: str) -> None:
        self.broker = f"kafka://{bootstrap}"
        self.settings: Mapping[str, Any] = {
            "broker_session_timeout": 3.0,
            "broker_heartbeat_interval": 0.5,
            "consumer_metadata_max_age_ms": 500,
        }
        self._bootstrap = bootstrap
        self._log = KafkaLog(Kafka(servers=bootstrap))

    def create(self, topic: str, partitions: int) -> None:
        self._log.create_topic(topic, partitions)

    def append(self, topic: str, partition: int, values: Sequence[bytes]) -> list[int]:
        return self._log.append([Entry(topic, partition, value) for value in values])

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": group})
        try:
            (found,) = consumer.committed([TopicPartition(topic, partition)], timeout=30)
            return found.offset if found.offset >= 0 else None
        finally:
            consumer.close()

    def end(self, topic: str, partition: int) -> int:
        return self._log.end(topic, partition)

    def close(self) -> None:
        self._log.close()


LOGS = ("embedded", "kafka") if not missing() else ("embedded",)


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogUnderTest]:
    log: LogUnderTest
    if request.param == "kafka":
        log = OnKafka(request.getfixturevalue("kafka").bootstrap)
    else:
        log = Embedded(tmp_path)
    yield log
    log.close()


def fresh(kind: str) -> str:
    """A topic or group that no other test has."""
    return f"{kind}.{uuid4().hex[:8]}"


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % n for n in range(first, last)]


# ------------------------------------------------------------------ a worker in this process


class Seen(NamedTuple):
    topic: str
    partition: int
    offset: int
    value: bytes


class Worker:
    """Takes records one by one, while its gate is open, and acks when it is told to."""

    def __init__(self, log: LogUnderTest, group: str, topics: Sequence[str], directory: Path) -> None:
        self.app = faust.App(
            group,
            broker=log.broker,
            store="memory://",
            datadir=str(directory / "faust"),
            processing_guarantee="at_least_once",
            stream_wait_empty=False,
            stream_buffer_maxsize=BUFFER,
            broker_max_poll_records=POLL,
            broker_commit_interval=3600.0,  # commits are made by the tests
            consumer_auto_offset_reset="earliest",
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            **log.settings,
        )
        self.topic = self.app.topic(
            *topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.seen: list[Seen] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_record: Callable[[Seen], Awaitable[None]] | None = None
        self._events: list[Any] = []
        self._news = asyncio.Event()
        self._agent = self.app.agent(self.topic, concurrency=1, name=f"take-{group}")(self._take)

    async def _take(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self.gate.wait()
            message = event.message
            record = Seen(message.topic, message.partition, message.offset, event.value)
            self.seen.append(record)
            self._events.append(event)
            self._news.set()
            if self.on_record is not None:
                await self.on_record(record)

    async def until(self, done: Callable[[list[Seen]], bool]) -> None:
        """Wait until what was seen is as it should be."""
        while not done(self.seen):
            self._news.clear()
            await self._news.wait()

    async def commit(self, below: int) -> None:
        """Ack, in order, all records seen below this offset."""
        for event in self._events:
            if event.message.offset < below:
                event.ack()
        await self.app.consumer.commit()

    def offsets(self, topic: str, partition: int = 0) -> list[int]:
        return [each.offset for each in self.seen if (each.topic, each.partition) == (topic, partition)]

    @property
    def waiting(self) -> int:
        """Records in the stream's buffer."""
        return sum(int(stream.channel.queue.qsize()) for stream in self._streams())

    def _streams(self) -> Iterator[Any]:
        for actor in self._agent._actors:
            yield actor.stream


@asynccontextmanager
async def working(
    log: LogUnderTest, group: str, *topics: str, directory: Path, closed: bool = False
) -> AsyncIterator[Worker]:
    """A worker that is stopped at the end; everything within the deadline. closed: its gate is."""
    async with asyncio.timeout(DEADLINE_S):
        worker = Worker(log, group, topics, directory)
        if closed:
            worker.gate.clear()
        worker.app.finalize()
        keep_everything(worker.app)
        await worker.app.start()
        try:
            yield worker
        finally:
            await worker.app.stop()


def test_records_arrive_in_order_with_dense_offsets(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic = fresh("readings")
        log.create(topic, 2)
        for partition in (0, 1):
            assert log.append(topic, partition, numbers(0, 100)) == list(range(100))
        async with working(log, fresh("group"), topic, directory=tmp_path) as worker:
            await worker.until(lambda seen: len(seen) >= 200)
            for n in range(100, 110):
                log.append(topic, n % 2, [b"%d" % n])
            await worker.until(lambda seen: len(seen) >= 210)
        for partition in (0, 1):
            expected = [*numbers(0, 100), *(b"%d" % n for n in range(100, 110) if n % 2 == partition)]
            assert [each for each in worker.seen if each.partition == partition] == [
                Seen(topic, partition, offset, value) for offset, value in enumerate(expected)
            ]

    asyncio.run(run())


def test_a_group_goes_on_where_it_committed_and_gets_the_rest_again(
    log: LogUnderTest, tmp_path: Path
) -> None:
    async def run() -> None:
        topic, group = fresh("readings"), fresh("group")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 40))
        async with working(log, group, topic, directory=tmp_path) as worker:
            await worker.until(lambda seen: len(seen) >= 40)
            await worker.commit(below=25)
            assert log.committed(group, topic, 0) == 25
        async with working(log, group, topic, directory=tmp_path) as worker:
            await worker.until(lambda seen: len(seen) >= 15)
            assert worker.offsets(topic) == list(range(25, 40))
            await worker.commit(below=40)
        log.append(topic, 0, numbers(40, 41))
        async with working(log, group, topic, directory=tmp_path) as worker:
            await worker.until(lambda seen: len(seen) >= 1)
            assert worker.offsets(topic) == [40]

    asyncio.run(run())


def test_what_was_never_committed_comes_again_from_the_first(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic, group = fresh("readings"), fresh("group")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 10))
        for _ in range(2):
            async with working(log, group, topic, directory=tmp_path) as worker:
                await worker.until(lambda seen: len(seen) >= 10)
            assert worker.offsets(topic) == list(range(10))
            assert log.committed(group, topic, 0) in {None, 0}

    asyncio.run(run())


def test_groups_know_nothing_of_each_other(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic, one, other = fresh("readings"), fresh("group"), fresh("group")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 10))
        async with (
            working(log, one, topic, directory=tmp_path) as first,
            working(log, other, topic, directory=tmp_path) as second,
        ):
            await first.until(lambda seen: len(seen) >= 10)
            await first.commit(below=10)
            await second.until(lambda seen: len(seen) >= 10)
            assert first.offsets(topic) == second.offsets(topic) == list(range(10))
        assert (log.committed(one, topic, 0), log.committed(other, topic, 0) or 0) == (10, 0)

    asyncio.run(run())


def test_one_worker_takes_several_topics(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topics = [fresh("readings"), fresh("readings"), fresh("findings")]
        for topic in topics:
            log.create(topic, 1)
        async with working(log, fresh("group"), *topics, directory=tmp_path) as worker:
            for topic in topics:
                log.append(topic, 0, numbers(0, 3))
            await worker.until(lambda seen: len(seen) >= 9)
            assert [worker.offsets(topic) for topic in topics] == [[0, 1, 2]] * 3

    asyncio.run(run())


def test_a_topic_that_is_created_after_the_worker_started_is_taken_over(
    log: LogUnderTest, tmp_path: Path
) -> None:
    async def run() -> None:
        early, late = fresh("readings"), fresh("readings")
        log.create(early, 1)
        log.append(early, 0, numbers(0, 3))
        async with working(log, fresh("group"), early, late, directory=tmp_path) as worker:
            await worker.until(lambda seen: len(seen) >= 3)
            await worker.commit(below=3)
            log.create(late, 1)
            log.append(late, 0, numbers(0, 3))
            await worker.until(lambda _: len(worker.offsets(late)) >= 3)
            log.append(early, 0, numbers(3, 4))
            await worker.until(lambda _: len(worker.offsets(early)) >= 4)
            assert worker.offsets(late) == [0, 1, 2]
            assert worker.offsets(early) == [0, 1, 2, 3]

    asyncio.run(run())


def test_a_slow_stream_is_not_buried_and_loses_nothing(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic = fresh("readings")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 300))
        most = 0

        async def watch(record: Seen) -> None:
            nonlocal most
            most = max(most, worker.waiting)
            await asyncio.sleep(0)

        async with working(log, fresh("group"), topic, directory=tmp_path, closed=True) as worker:
            worker.on_record = watch
            while worker.waiting < BUFFER // 2:  # noqa: ASYNC110 - Faust's queue tells nobody
                await asyncio.sleep(0.01)
            log.append(topic, 0, numbers(300, 600))
            worker.gate.set()
            await worker.until(lambda seen: len(seen) >= 600)
            assert worker.offsets(topic) == list(range(600))
            assert BUFFER // 2 <= most <= BUFFER

    asyncio.run(run())


@pytest.mark.parametrize("at", [1, 30, 99])
def test_a_seek_back_gives_every_record_from_there_on_again(
    log: LogUnderTest, tmp_path: Path, at: int
) -> None:
    async def run() -> None:
        topic = fresh("readings")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 100))
        back: list[int] = []

        async def turn(record: Seen) -> None:
            if record.offset == at and not back:
                back.append(len(worker.seen))
                await worker.app.consumer.seek(TP(topic, 0), 1)

        async with working(log, fresh("group"), topic, directory=tmp_path, closed=True) as worker:
            worker.on_record = turn
            worker.gate.set()
            await worker.until(
                lambda _: bool(back) and worker.offsets(topic)[back[0] :][-99:] == list(range(1, 100))
            )
            offsets = worker.offsets(topic)
            assert offsets[: at + 1] == list(range(at + 1))
            between = offsets[at + 1 : -99]  # what was in the buffer already
            assert between == list(range(at + 1, at + 1 + len(between)))

    asyncio.run(run())


def test_a_seek_forward_goes_on_from_there(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic, group = fresh("readings"), fresh("group")
        log.create(topic, 1)
        log.append(topic, 0, numbers(0, 200))

        async def turn(record: Seen) -> None:
            if record.offset == 0:
                await worker.app.consumer.seek(TP(topic, 0), 150)

        async with working(log, group, topic, directory=tmp_path, closed=True) as worker:
            worker.on_record = turn
            worker.gate.set()
            await worker.until(lambda seen: bool(seen) and seen[-1].offset == 199)
            offsets = worker.offsets(topic)
            assert offsets[-50:] == list(range(150, 200))
            assert len(offsets) <= 50 + 1 + BUFFER + log.let_through

    asyncio.run(run())


def test_what_a_worker_sends_is_durable_when_it_is_confirmed(log: LogUnderTest, tmp_path: Path) -> None:
    async def run() -> None:
        topic, out = fresh("readings"), fresh("findings")
        log.create(topic, 1)
        log.create(out, 2)
        big = os.urandom(512 * 1024)
        async with working(log, fresh("group"), topic, out, directory=tmp_path) as worker:
            send = worker.app.producer.send_and_wait
            for n in range(3):
                assert (await send(out, b"key", b"%d" % n, 1, None, None)).offset == n
                assert log.end(out, 1) == n + 1
            confirmed = await send(out, None, big, 0, None, None)
            assert (confirmed.topic, confirmed.partition, confirmed.offset) == (out, 0, 0)
            sent = [
                await worker.app.topic(out, value_serializer="raw").send(value=b"x", partition=1)
                for _ in "ab"
            ]
            assert [(await each).offset for each in sent] == [3, 4]
            await worker.until(lambda seen: len(seen) >= 6)
        assert [each.value for each in worker.seen if each.partition == 0] == [big]
        assert [each.value for each in worker.seen if each.partition == 1] == [b"0", b"1", b"2", b"x", b"x"]

    asyncio.run(run())


# ------------------------------------------------------------------ workers that are killed

PROGRAM = """
import asyncio, json, os, sys
import faust
from streams.transports.read_offset import keep_everything

broker, group, topic, datadir, settings = sys.argv[1:]
app = faust.App(
    group, broker=broker, store="memory://", datadir=datadir, web_enabled=False, stream_wait_empty=False,
    stream_buffer_maxsize=16, broker_max_poll_records=50, broker_commit_interval=0.05,
    topic_disable_leader=True, topic_allow_declare=False, **json.loads(settings),
)
source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

@app.agent(source, concurrency=1)
async def take(stream):
    async for event in stream.noack().events():
        os.write(1, b"%d %s\\n" % (event.message.offset, event.value))
        event.ack()

async def main():
    app.finalize()
    keep_everything(app)
    await app.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Life(subprocess.Popen[str]):
    """A worker of its own, which says each record and then acks it."""

    def __init__(self, log: LogUnderTest, group: str, topic: str, directory: Path, cython: bool) -> None:
        environment = {**os.environ, "NO_CYTHON": "" if cython else "1"}
        super().__init__(
            [
                sys.executable,
                "-c",
                PROGRAM,
                log.broker,
                group,
                topic,
                str(directory / "faust"),
                json.dumps(log.settings),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._deadline = threading.Timer(DEADLINE_S, self.kill)
        self._deadline.start()

    def __exit__(self, *error: Any) -> None:
        self._deadline.cancel()
        self.kill()
        super().__exit__(*error)

    def said(self, most: int | None = None) -> list[tuple[int, str]]:
        """(offset, value) of the next so many records, or all until the process ends."""
        assert self.stdout is not None
        lines = [line.split() for line in islice(self.stdout, most) if line.endswith("\n")]
        return [(int(offset), value) for offset, value in lines]


def until_committed(log: LogUnderTest, group: str, topic: str, offset: int) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S):
            while log.committed(group, topic, 0) != offset:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.01)

    asyncio.run(run())


@pytest.mark.parametrize("cython", [True, False])
def test_a_second_worker_waits_and_takes_over_when_the_first_is_killed(
    log: LogUnderTest, tmp_path: Path, cython: bool
) -> None:
    topic, group = fresh("readings"), fresh("group")
    log.create(topic, 1)
    log.append(topic, 0, numbers(0, 20))
    with Life(log, group, topic, tmp_path, cython) as first:
        assert first.said(20) == [(n, str(n)) for n in range(20)]
        with Life(log, group, topic, tmp_path, cython) as second:
            log.append(topic, 0, numbers(20, 40))
            assert first.said(20) == [(n, str(n)) for n in range(20, 40)]
            until_committed(log, group, topic, 40)
            first.kill()
            log.append(topic, 0, numbers(40, 50))
            assert second.said(10) == [(n, str(n)) for n in range(40, 50)]
            second.kill()
            assert second.said() == []


def test_workers_killed_at_any_moment_leave_no_hole(log: LogUnderTest, tmp_path: Path) -> None:
    topic, group = fresh("readings"), fresh("group")
    chance = random.Random(7)
    log.create(topic, 1)
    done = 0
    for life in range(3):
        log.append(topic, 0, numbers(life * 2000, life * 2000 + 2000))
        with Life(log, group, topic, tmp_path, cython=True) as worker:
            said = worker.said(chance.randrange(1, 1500))
            worker.kill()
            said += worker.said()
        offsets = [offset for offset, _ in said]
        assert offsets == list(range(offsets[0], offsets[-1] + 1))
        assert offsets[0] <= done  # nothing between two lives
        assert [value for _, value in said] == [str(offset) for offset in offsets]
        done = max(done, offsets[-1] + 1)
        assert (log.committed(group, topic, 0) or 0) <= done
