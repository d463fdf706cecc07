"""What is our transport's own beside the contract of every log: settings, traps of Faust, failures."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.exceptions import ProducerSendError
from faust.types import TP
from yarl import URL

from streams.transports.embedded import consumer as consumer_module
from streams.transports.embedded.source import Source, partition_for
from zhiwei.commitlog import CommitLog, GroupOffsets
from zhiwei.contracts import Entry
from zhiwei.errors import ConfigError, LogMismatch, StorageFull, ZhiweiError
from zhiwei.ids import partition_of

WATER, URGENT, FINDINGS = "readings.water", "readings.urgent", "findings"
DEADLINE_S = 30.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CommitLog]:
    with CommitLog(tmp_path, "readings", writer=True) as log:
        log.create_topic(WATER, 1)
        log.create_topic(URGENT, 1)
        yield log


@pytest.fixture
def findings(tmp_path: Path) -> Iterator[CommitLog]:
    with CommitLog(tmp_path, "findings", writer=True) as log:
        log.create_topic(FINDINGS, 1)
        yield log


def fill(log: CommitLog, topic: str, count: int) -> None:
    log.append([Entry(topic, 0, b"%d" % n) for n in range(count)])


def an_app(directory: Path, group: str = "streams", query: str = "", **settings: Any) -> faust.App:
    return faust.App(
        group,
        broker=f"embedded://{directory}{query}",
        store="memory://",
        datadir=str(directory / "faust"),
        stream_wait_empty=False,
        stream_buffer_maxsize=16,
        broker_commit_interval=3600.0,
        topic_disable_leader=True,
        web_enabled=False,
        **{"consumer_auto_offset_reset": "earliest", **settings},
    )


def raw(app: faust.App, *topics: str) -> Any:
    return app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def taking(app: faust.App, topic: str, gate: asyncio.Event | None = None) -> list[Any]:
    """The events of a topic, taken and not acked; with a gate, only while it is open."""
    events: list[Any] = []

    async def take(stream: Any) -> None:
        async for event in stream.noack().events():
            if gate is not None:
                await gate.wait()
            events.append(event)

    app.agent(raw(app, topic), concurrency=1, name=f"take-{topic}")(take)
    return events


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[faust.App]:
    async with asyncio.timeout(DEADLINE_S):
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            await asyncio.wait_for(app.stop(), DEADLINE_S)


async def until(events: list[Any], count: int) -> None:
    while len(events) < count:  # noqa: ASYNC110 - the agent's list tells nobody
        await asyncio.sleep(0.01)


# ------------------------------------------------------------------ settings


def test_the_url_is_a_directory_and_what_to_keep_free() -> None:
    assert Source.of([URL("embedded:///data/log")]) == Source(Path("/data/log"))
    assert Source.of([URL("embedded:///d%20e?reserve_bytes=7")]) == Source(Path("/d e"), 7)


@pytest.mark.parametrize(
    "url",
    [
        "embedded://data/log",
        "embedded:////data/log",
        "embedded:///",
        "embedded://",
        "embedded:///data?reserve_bytes=much",
    ],
)
def test_a_url_that_names_no_directory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"broker = .* expected embedded:///absolute/directory"):
        Source.of([URL(url)])


def test_declaring_an_app_and_its_agents_opens_nothing(tmp_path: Path) -> None:
    app = an_app(tmp_path / "log")
    taking(app, WATER)
    assert app.transport.driver_version == "embedded"
    assert list(tmp_path.iterdir()) == []


def test_beginning_at_the_end_of_the_log_is_refused(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path, consumer_auto_offset_reset="latest")
        taking(app, WATER)
        with pytest.raises(ConfigError, match="consumer_auto_offset_reset = 'latest': expected 'earliest'"):
            async with running(app):
                pass

    asyncio.run(run())


def test_a_key_goes_where_ingest_puts_an_entity() -> None:
    for partitions in (1, 4, 7):
        for name in ("lift-1", "lift-2", "站-b", "home-77"):
            assert partition_for(name.encode(), partitions) == partition_of(name, partitions)
    assert partition_for(None, 4) == 0


# ------------------------------------------------------------------ reading


def test_a_topic_whose_stream_stands_still_does_not_hold_up_another(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app, gate = an_app(tmp_path), asyncio.Event()
        slow, urgent = taking(app, WATER, gate), taking(app, URGENT)
        fill(log, WATER, 300)
        async with running(app):
            fill(log, URGENT, 100)
            await until(urgent, 100)
            assert slow == []
            gate.set()
            await until(slow, 300)
        assert [event.message.offset for event in slow] == list(range(300))

    asyncio.run(run())


def test_fetching_waits_when_buffers_are_full_and_goes_on_when_there_is_room(
    log: CommitLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "_ASK_S", 3600.0)  # only news may wake it

    async def run() -> None:
        app, gate = an_app(tmp_path), asyncio.Event()
        slow = taking(app, WATER, gate)
        fill(log, WATER, 300)
        app.finalize()
        consumer: Any = app.consumer
        sleep, slept = consumer.sleep, []

        async def noted(seconds: float) -> None:
            slept.append(seconds)
            await sleep(seconds)

        consumer.sleep = noted
        async with running(app):
            while consumer._get_active_partitions():  # noqa: ASYNC110 - until the buffer is full
                await asyncio.sleep(0.01)
            waiting = asyncio.ensure_future(consumer._getmany(set(), 3600.0))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not waiting.done()
            gate.set()
            await waiting
            await until(slow, 300)
        assert 1 not in slept  # where Faust's own fetching sleeps until there is room

    asyncio.run(run())


def test_a_seek_while_records_are_being_read_drops_these(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        events = taking(app, WATER)
        fill(log, WATER, 10)
        async with running(app):
            await until(events, 10)
            consumer: Any = app.consumer
            read, reading, go_on = consumer._read, asyncio.Event(), threading.Event()
            loop = asyncio.get_running_loop()

            def slowly(wanted: Any) -> Any:
                found = read(wanted)
                if found[TP(WATER, 0)][0]:
                    loop.call_soon_threadsafe(reading.set)
                    go_on.wait(DEADLINE_S)
                return found

            consumer._read = slowly
            fill(log, WATER, 10)
            await reading.wait()
            await consumer.seek(TP(WATER, 0), 3)
            go_on.set()
            await until(events, 27)
        assert [event.message.offset for event in events] == [*range(10), *range(3, 20)]

    asyncio.run(run())


def test_a_rebalance_is_told_to_faust_as_a_coordinator_would(
    log: CommitLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        early, late = taking(app, WATER), taking(app, "readings.late")
        fill(log, WATER, 3)
        async with running(app):
            await until(early, 3)
            assert (app.consumer_generation_id, app.rebalancing_count, app.rebalancing) == (1, 1, False)
            assert app.assignor.assigned_actives() == {TP(WATER, 0)}
            log.create_topic("readings.late", 1)
            fill(log, "readings.late", 3)
            await until(late, 3)
            assert (app.consumer_generation_id, app.rebalancing_count, app.rebalancing) == (2, 2, False)
            assert app.assignor.assigned_actives() == {TP(WATER, 0), TP("readings.late", 0)}
        assert [event.message.offset for event in early] == [0, 1, 2, 0, 1, 2]  # nothing was committed

    asyncio.run(run())
    assert "Missing sensor state" not in caplog.text
    assert "rebalance again" not in caplog.text


def test_a_second_worker_of_a_group_takes_over_when_the_first_stops(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        fill(log, WATER, 10)
        first, second = an_app(tmp_path), an_app(tmp_path)
        at_first, at_second = taking(first, WATER), taking(second, WATER)
        async with running(first):
            await until(at_first, 10)
            starting = asyncio.ensure_future(second.start())
            try:
                while second._consumer is None or not second.consumer._subscribing:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert second.consumer.assignment() == set()
                for event in at_first:
                    event.ack()
                await first.stop()
                log.append([Entry(WATER, 0, b"next")])
                await starting
                await until(at_second, 1)
            finally:
                await second.stop()
        assert [event.message.offset for event in at_second] == [10]

    asyncio.run(run())


def test_a_worker_stops_while_it_waits_for_its_group(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        first, second = an_app(tmp_path), an_app(tmp_path)
        taking(first, WATER)
        taking(second, WATER)
        async with running(first):
            starting = asyncio.ensure_future(second.start())
            while second._consumer is None or not second.consumer._subscribing:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await second.stop()
            await asyncio.gather(starting, return_exceptions=True)

    asyncio.run(run())


def test_what_retention_took_is_passed_over_and_commits_go_on(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        fill(log, WATER, 20)
        GroupOffsets(tmp_path, "streams").commit(WATER, 0, 2)
        log.trim(WATER, 0, below=5)
        app = an_app(tmp_path)
        events = taking(app, WATER)
        async with running(app):
            await until(events, 15)
            assert [event.message.offset for event in events] == list(range(5, 20))
            for event in events[:10]:
                event.ack()
            await app.consumer.commit()
            assert GroupOffsets(tmp_path, "streams").committed(WATER, 0) == 15

    asyncio.run(run())


def test_offsets_of_another_log_stop_the_worker_and_are_left_alone(log: CommitLog, tmp_path: Path) -> None:
    GroupOffsets(tmp_path, "streams").commit(WATER, 0, 7)  # beyond the end: the log was an older copy

    async def run() -> None:
        fill(log, WATER, 3)
        app = an_app(tmp_path)
        events = taking(app, WATER)
        starting = asyncio.ensure_future(app.start())
        async with asyncio.timeout(DEADLINE_S):
            app.finalize()
            await app._crashed.wait()
            await asyncio.gather(starting, return_exceptions=True)
            await app.stop()
        assert isinstance(app.crash_reason, LogMismatch)
        assert events == []

    asyncio.run(run())
    fill(log, WATER, 10)
    assert GroupOffsets(tmp_path, "streams").committed(WATER, 0) == 7


def test_positions_and_ends_are_told(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        fill(log, WATER, 20)
        log.trim(WATER, 0, below=5)
        app = an_app(tmp_path)
        events = taking(app, WATER)
        here, elsewhere = TP(WATER, 0), TP(WATER, 9)
        async with running(app):
            await until(events, 15)
            consumer = app.consumer
            assert consumer.assignment() == {here}
            assert (await consumer.position(here), await consumer.position(elsewhere)) == (20, None)
            assert (consumer.highwater(here), consumer.highwater(elsewhere)) == (20, 0)
            assert await consumer.highwaters(here) == {here: 20}
            assert await consumer.earliest_offsets(here) == {here: 5}
            assert (consumer.topic_partitions(WATER), consumer.topic_partitions("readings.x")) == (1, None)
            assert consumer.key_partition(WATER, b"lift-1") == 0
            assert consumer.key_partition("readings.x", b"lift-1") is None
            await consumer.seek(elsewhere, 3)  # of a partition that was taken away meanwhile
            assert consumer.assignment() == {here}

    asyncio.run(run())


def test_a_commit_that_fails_is_said_and_does_not_stop_the_worker(
    log: CommitLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        fill(log, WATER, 3)
        app = an_app(tmp_path)
        events = taking(app, WATER)
        async with running(app):
            await until(events, 3)
            (tmp_path / "groups" / "streams.db").write_bytes(b"not a database" * 1000)
            for event in events:
                event.ack()
            assert not await app.consumer.commit()
            fill(log, WATER, 1)
            await until(events, 4)

    asyncio.run(run())
    assert "offsets not committed" in caplog.text


# ------------------------------------------------------------------ sending


def test_sends_that_wait_together_keep_their_order(findings: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        async with running(app):
            waiting = [await app.producer.send(FINDINGS, None, b"%d" % n, 0, None, None) for n in range(1500)]
            assert [(await each).offset for each in waiting] == list(range(1500))

    asyncio.run(run())
    values = [record.value for record in findings.read(FINDINGS, 0, 0, most=2000)]
    assert values == [b"%d" % n for n in range(1500)]


def test_what_was_sent_soon_is_in_the_log_after_a_flush_and_after_the_end(
    findings: CommitLog, tmp_path: Path
) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        topic = raw(app, FINDINGS)
        async with running(app):
            for n in range(250):
                topic.send_soon(value=b"%d" % n)
            await app.producer.flush()
            assert findings.end(FINDINGS, 0) == 250
            for n in range(250):
                topic.send_soon(value=b"%d" % n)

    asyncio.run(run())
    assert findings.end(FINDINGS, 0) == 500


def test_a_send_that_cannot_be_stored_fails_and_says_why(findings: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        async with running(app):
            send = app.producer.send_and_wait
            with pytest.raises(ProducerSendError, match=r"'findings\.x' has 0 partitions"):
                await send("findings.x", None, b"a", 0, None, None)
            with pytest.raises(ProducerSendError, match="has 1 partitions, there is no partition 1"):
                await send(FINDINGS, None, b"a", 1, None, None)
            with pytest.raises(ProducerSendError, match="without a value"):
                await send(FINDINGS, None, None, 0, None, None)
            assert (await send(FINDINGS, None, b"a", 0, None, None)).offset == 0

    asyncio.run(run())


def test_a_full_disk_fails_the_send_and_not_the_worker(findings: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path, query=f"?reserve_bytes={10**18}")
        async with running(app):
            for _ in range(2):
                with pytest.raises(StorageFull, match="below the reserve"):
                    await app.producer.send_and_wait(FINDINGS, None, b"a", 0, None, None)
                with pytest.raises(StorageFull, match="below the reserve"):
                    await (await raw(app, FINDINGS).send(value=b"a"))

    asyncio.run(run())
    assert findings.end(FINDINGS, 0) == 0


def test_sends_wait_while_much_is_pending_and_all_arrive(findings: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        async with running(app):
            producer: Any = app.producer
            most = 0

            async def send(n: int) -> None:
                nonlocal most
                done = await producer.send(FINDINGS, None, bytes(1_000_000), 0, None, None)
                most = max(most, producer._pending_bytes)
                await done

            await asyncio.gather(*(send(n) for n in range(30)))
            assert 8 * 1024 * 1024 <= most < 10_000_000

    asyncio.run(run())
    assert findings.end(FINDINGS, 0) == 30


def test_declaring_a_topic_makes_it_and_another_count_is_refused(log: CommitLog, tmp_path: Path) -> None:
    async def run() -> None:
        app = an_app(tmp_path)
        async with running(app):
            await app.topic("findings.urgent", partitions=2).declare()
            await app.consumer.create_topic("findings.urgent", 2, 1)
            with pytest.raises(ZhiweiError, match="has 2 partitions, not 3"):
                await app.topic("findings.urgent", partitions=3).declare()
            assert not app.producer.supports_headers()
            assert app.producer.key_partition("findings.urgent", b"lift-1").topic == "findings.urgent"

    asyncio.run(run())
