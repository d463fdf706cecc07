"""A partition in one process's hands: what is sent, saved and acknowledged, and in which order."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from streams.engine.store import StateStore
from streams.partition import SET_ASIDE, Partition
from zhiwei import frames
from zhiwei.clock import MICROS, SystemClock, to_datetime
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry, LogRecord
from zhiwei.errors import Fenced, LogMismatch, Retryable, StorageFull
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane, log_topic
from zhiwei.sql import open_engine, sqlite_url
from zhiwei.testing.hold import SCHEMA, HoldScenario
from zhiwei.types import Drill, Finding, FindingRecord, Rejection, Tick

TOPIC = "readings.hold"
START = 1_750_000_000 * MICROS


def frame(step: int, level: float, entity: str = "a") -> bytes:
    at = START + step * 40 * MICROS
    return frames.encode(
        SCHEMA,
        entity=[entity],
        device=["d"],
        ts=[at],
        arrived=[at],
        flags=[0],
        channels={"level": pa.array([level], pa.float32())},
        clock="live",
    )


@dataclass
class Source:
    """Remembers what it was told."""

    acked: list[object] = field(default_factory=list)
    sought: list[int] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    def ack(self, handle: object) -> None:
        self.acked.append(handle)

    async def seek(self, offset: int) -> None:
        self.sought.append(offset)

    async def commit(self, offset: int) -> None:
        self.committed.append(offset)


class Failing:
    """A writer or a store that is away for the first so many calls."""

    def __init__(self, call: Callable[..., object], error: Exception, times: int) -> None:
        self._call, self._error, self.times = call, error, times

    def _called(self, *given: object, **named: object) -> object:
        if self.times:
            self.times -= 1
            raise self._error
        return self._call(*given, **named)

    append = save = _called


class Bed:
    """Real log and real store in a folder; a partition can be opened, crashed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.readings = CommitLog(folder, "readings", writer=True)
        self.findings = CommitLog(folder, "findings", writer=True)
        for lane in Lane:
            self.readings.create_topic(log_topic(lane, "hold"), 1)
        for topic in (FINDINGS, FINDINGS_URGENT):
            self.findings.create_topic(topic, 1)
        self.findings.create_topic(SET_ASIDE, 1)
        self.store = StateStore(open_engine(sqlite_url(folder / "state.sqlite")))
        self.source = Source()

    def write(self, *values: bytes, topic: str = TOPIC) -> None:
        self.readings.append([Entry(topic, 0, value) for value in values])

    def partition(self, lane: Lane = Lane.READINGS) -> Partition:
        self.source = Source()
        return Partition(
            HoldScenario(),
            site="s",
            topic=log_topic(lane, "hold"),
            number=0,
            lane=lane,
            log=self.readings,
            findings=self.findings,
            findings_partitions=1,
            store=self.store,
            source=self.source,
            clock=SystemClock(),
            snapshot_s=3600.0,
            snapshot_rows=1_000_000,
        )

    async def feed(self, partition: Partition, start: int = 0) -> None:
        """All records from an offset on, stepped."""
        for record in self.readings.read(partition.topic, 0, start):
            await partition.put(record.offset, record.value, record.offset)
        last = self.readings.end(partition.topic, 0) - 1
        await until(lambda: partition.applied == last and not partition._lock.locked(), partition.work())

    def said(self) -> list[tuple[str, int, str]]:
        """Of both topics; all of it is of a life-safety kind, and so none of it may be on the other one."""
        assert self.on(FINDINGS) == []
        return [(f.id, f.rev, f.phase) for f in self.on(FINDINGS_URGENT)]

    def on(self, topic: str) -> list[Finding]:
        found = (msgspec.json.decode(r.value, type=FindingRecord) for r in self.findings.read(topic, 0, 0))
        return [f for f in found if isinstance(f, Finding)]


async def until(reached: Callable[[], bool], work: Coroutine[None, None, None]) -> None:
    """Run work until something is so; raises what work raises."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(20):
        while not reached() and not task.done():
            await asyncio.wait({task}, timeout=0.001)
    if task.done():
        await task
    task.cancel()


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_nothing_is_acknowledged_before_its_snapshot(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50), frame(1, 50))
        partition = bed.partition()
        await partition.open()
        await bed.feed(partition)
        assert bed.source.acked == []
        await partition.save()
        assert bed.source.acked == [0, 1]

    asyncio.run(run())


def test_a_crash_between_send_and_snapshot_sends_the_same_ids_and_revisions_again(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50), frame(1, 50))
        first = bed.partition()
        await first.open()
        await bed.feed(first)
        once = bed.said()
        second = bed.partition()
        await second.open()
        await bed.feed(second)
        assert bed.said() == once + once
        assert [phase for _, _, phase in once] == ["suspected", "raised"]

    asyncio.run(run())


def test_a_restart_goes_on_behind_the_snapshot_and_acknowledges_what_it_holds(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50))
        first = bed.partition()
        await first.open()
        await bed.feed(first)
        await first.save()
        bed.write(frame(1, 50))
        second = bed.partition()
        await second.open()
        await bed.feed(second)  # from offset 0: the source's own commit was lost
        assert bed.source.acked == [0]
        assert [phase for _, _, phase in bed.said()] == ["suspected", "raised"]

    asyncio.run(run())


def test_records_that_do_not_follow_make_the_source_seek_back_and_lose_nothing(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50), frame(1, 50), frame(2, 1))
        partition = bed.partition()
        await partition.open()
        records = bed.readings.read(TOPIC, 0, 0)
        await partition.put(0, records[0].value, 0)
        await partition.put(2, records[2].value, 2)
        await partition.put(2, records[2].value, 2)
        assert bed.source.sought == [1]  # asked once, not once a record
        await bed.feed(partition, 1)
        assert [phase for _, _, phase in bed.said()] == ["suspected", "raised", "cleared"]

    asyncio.run(run())


def test_a_worker_that_was_replaced_while_it_slept_cannot_save(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50))
        sleeper, successor = bed.partition(), bed.partition()
        await sleeper.open()
        await bed.feed(sleeper)
        await successor.open()
        with pytest.raises(Fenced):
            await sleeper.save()
        assert bed.source.acked == []

    asyncio.run(run())


def test_another_log_in_place_of_ours_is_refused(bed: Bed, tmp_path: Path) -> None:
    async def run() -> None:
        bed.write(frame(0, 50))
        first = bed.partition()
        await first.open()
        await bed.feed(first)
        await first.save()
        other = Bed(tmp_path / "other")
        other.store = bed.store
        with pytest.raises(LogMismatch):
            await other.partition().open()

    asyncio.run(run())


def test_what_retention_took_is_a_named_gap_and_the_rest_goes_on(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 1), frame(1, 1), frame(2, 50))
        bed.readings.trim(TOPIC, 0, below=2)
        partition = bed.partition()
        await partition.open()
        assert bed.source.committed == [2]
        await bed.feed(partition, 2)
        assert [phase for _, _, phase in bed.said()] == ["suspected"]

    asyncio.run(run())


@pytest.mark.parametrize("error", [StorageFull("the disk is full"), Retryable("the log is away")])
def test_findings_that_the_log_does_not_take_are_tried_again_and_nothing_goes_before_them(
    bed: Bed, error: Exception
) -> None:
    async def run() -> None:
        bed.write(frame(0, 50), frame(1, 50))
        partition = bed.partition()
        partition._writer = Failing(bed.findings.append, error, times=3)
        await partition.open()
        await bed.feed(partition)
        assert [phase for _, _, phase in bed.said()] == ["suspected", "raised"]
        await partition.save()
        assert bed.source.acked == [0, 1]

    asyncio.run(run())


def test_while_the_state_store_is_away_findings_are_sent_and_nothing_is_acked(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50))
        partition = bed.partition()
        await partition.open()
        await bed.feed(partition)
        assert await partition.save()
        partition._store = Failing(bed.store.save, Retryable("the database is away"), times=2)
        bed.write(frame(1, 50), frame(2, 5))
        await bed.feed(partition, 1)
        assert not await partition.save()
        bed.write(frame(3, 50, entity="b"), frame(3, 5))
        await bed.feed(partition, 3)
        assert not await partition.save()
        assert [phase for _, _, phase in bed.said()] == ["suspected", "raised", "cleared", "suspected"]
        assert bed.source.acked == [0]
        assert await partition.save()
        assert bed.source.acked == [0, 1, 2, 3, 4]
        again = bed.partition()
        await again.open()
        bed.write(frame(4, 50, entity="b"))
        await bed.feed(again, 5)
        assert [phase for _, _, phase in bed.said()][4:] == ["raised"]

    asyncio.run(run())


def test_a_partition_waits_when_replay_since_the_last_snapshot_has_reached_its_limit(bed: Bed) -> None:
    async def run() -> None:
        partition = bed.partition()
        partition._snapshot_rows = 3
        await partition.open()
        loop, tried, is_away = asyncio.get_running_loop(), asyncio.Event(), True

        class Store:
            def save(self, *given: object, **named: object) -> bool:
                loop.call_soon_threadsafe(tried.set)
                if is_away:
                    raise Retryable("the database is away")
                return bed.store.save(*given, **named)

        partition._store = Store()
        for step in range(3):
            await partition.put(step, frame(step, 5), step)
        work = asyncio.create_task(partition.work())
        async with asyncio.timeout(20):
            await tried.wait()
            await partition.put(3, frame(3, 5), 3)
            tried.clear()
            await tried.wait()
        assert (partition.applied, bed.source.acked) == (2, [])
        is_away = False
        await until(lambda: partition.applied == 3, asyncio.sleep(3600))
        assert bed.source.acked == [0, 1, 2]
        work.cancel()

    asyncio.run(run())


def test_who_waits_for_room_in_a_partition_is_let_go_when_another_has_it(bed: Bed) -> None:
    async def run() -> None:
        partition = bed.partition()
        await partition.open()

        async def fill() -> None:
            for step in range(100):
                await partition.put(step, frame(step, 5), step)

        filling = asyncio.create_task(fill())
        await asyncio.sleep(0)
        assert not filling.done()
        partition.close()
        async with asyncio.timeout(20):
            await filling

    asyncio.run(run())


def test_a_poisoned_row_and_a_broken_record_are_kept_with_their_reasons(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 666), b"\xff\xff\xff\xff broken", frame(1, 50, entity="b"))
        partition = bed.partition()
        await partition.open()
        await bed.feed(partition)
        aside = [msgspec.json.decode(r.value, type=Rejection) for r in bed.findings.read(SET_ASIDE, 0, 0)]
        assert [(one.reason, one.payload) for one in aside] == [
            ("rule_error", b""),
            ("bad_frame", b"\xff\xff\xff\xff broken"),
        ]
        assert "entity a: ValueError: level is 666" in aside[0].detail
        assert [phase for _, _, phase in bed.said()] == ["suspected"]
        kept = bed.store.take(TOPIC, 0, log=bed.readings.id, partitions=1, end=3)
        assert kept.skips == [(0, 0)]

    asyncio.run(run())


def test_a_full_inbox_makes_the_source_wait(bed: Bed) -> None:
    async def run() -> None:
        partition = bed.partition()
        await partition.open()
        record = LogRecord(0, frame(0, 1))

        async def fill() -> None:
            for offset in range(1000):
                await partition.put(offset, record.value, offset)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await fill()
        assert len(partition._inbox) == 64

    asyncio.run(run())


# ------------------------------------------------------------------ lanes


def ticked(step: int) -> bytes:
    return msgspec.json.encode(Tick(clock="live", time=to_datetime(START + step * 40 * MICROS)))


def old(step: int, level: float) -> bytes:
    """A row that came two hours late."""
    at = START + step * 40 * MICROS
    return frames.encode(
        SCHEMA, entity=["a"], device=["d"], ts=[at - 7200 * MICROS], arrived=[at], flags=[0],
        channels={"level": pa.array([level], pa.float32())}, clock="live",
    )  # fmt: skip


def help_row() -> bytes:
    return frames.encode(
        SCHEMA, entity=["a"], device=["d"], ts=[START], arrived=[START], flags=[0],
        channels={"help": pa.array([True], pa.bool_())}, clock="live",
    )  # fmt: skip


async def run_lane(bed: Bed, lane: Lane, *values: bytes) -> None:
    bed.write(*values, topic=log_topic(lane, "hold"))
    partition = bed.partition(lane)
    await partition.open()
    await bed.feed(partition)


def kinds(findings: list[Finding]) -> list[tuple[str, str, bool, bool]]:
    return [(f.kind, str(f.phase), f.historical, f.late) for f in findings]


def test_findings_of_life_safety_have_a_topic_of_their_own_and_others_stay_off_it(bed: Bed) -> None:
    asyncio.run(run_lane(bed, Lane.READINGS, frame(0, 50), ticked(2), frame(3, 1)))
    assert kinds(bed.on(FINDINGS_URGENT)) == [
        ("test.high", "suspected", False, False),
        ("test.high", "raised", False, False),
        ("test.high", "cleared", False, False),
    ]
    assert kinds(bed.on(FINDINGS)) == [
        ("test.silent", "raised", False, False),
        ("test.silent", "cleared", False, False),
    ]


def test_historical_findings_of_life_safety_travel_with_the_ordinary_ones_and_late_ones_do_not(
    bed: Bed,
) -> None:
    asyncio.run(run_lane(bed, Lane.BACKLOG, old(0, 50), old(1, 50), ticked(2)))
    assert kinds(bed.on(FINDINGS)) == [
        ("test.high", "suspected", True, False),
        ("test.high", "raised", True, False),
    ]
    assert kinds(bed.on(FINDINGS_URGENT)) == [("test.high", "raised", False, True)]


def test_a_call_on_the_urgent_lane_is_an_urgent_finding(bed: Bed) -> None:
    asyncio.run(run_lane(bed, Lane.URGENT, help_row()))
    assert bed.on(FINDINGS) == []
    assert kinds(bed.on(FINDINGS_URGENT)) == [("test.help", "raised", False, False)]


@pytest.mark.parametrize("topic", [FINDINGS, FINDINGS_URGENT])
def test_both_topics_are_told_how_far_time_has_come(bed: Bed, topic: str) -> None:
    asyncio.run(run_lane(bed, Lane.READINGS, frame(0, 1), ticked(5)))
    told = [msgspec.json.decode(r.value, type=FindingRecord) for r in bed.findings.read(topic, 0, 0)]
    assert [tick.clock for tick in told if isinstance(tick, Tick)] == ["hold/0/live"]


@pytest.mark.parametrize(
    ("lane", "topic"), [(Lane.READINGS, FINDINGS), (Lane.URGENT, FINDINGS_URGENT), (Lane.BACKLOG, FINDINGS)]
)
def test_a_drill_goes_the_way_of_the_findings_of_its_lane_behind_those_of_rows_before_it(
    bed: Bed, lane: Lane, topic: str
) -> None:
    drill = msgspec.json.encode(Drill(topic=log_topic(lane, "hold"), partition=0, sent=to_datetime(START)))
    asyncio.run(run_lane(bed, lane, help_row(), drill))
    told = {one: [r.value for r in bed.findings.read(one, 0, 0)] for one in (FINDINGS, FINDINGS_URGENT)}
    assert [one for one, values in told.items() for value in values if value == drill] == [topic]
    assert told[topic][-1] == drill


def test_lanes_of_a_partition_have_snapshots_of_their_own(bed: Bed) -> None:
    async def run() -> None:
        bed.write(frame(0, 50))
        bed.write(old(0, 50), old(1, 50), topic="backlog.hold")
        for lane in (Lane.READINGS, Lane.BACKLOG):
            partition = bed.partition(lane)
            await partition.open()
            await bed.feed(partition)
            await partition.save()
        bed.write(ticked(3), topic="backlog.hold")
        backlog = bed.partition(Lane.BACKLOG)
        await backlog.open()
        assert backlog.applied == 1
        await bed.feed(backlog)
        assert kinds(bed.on(FINDINGS_URGENT)) == [
            ("test.high", "suspected", False, False),
            ("test.high", "raised", False, True),
        ]

    asyncio.run(run())


@pytest.mark.parametrize(("lane", "steps"), [(Lane.READINGS, [6]), (Lane.BACKLOG, [2, 2, 2])])
def test_old_rows_are_stepped_in_smaller_pieces_for_others_to_come_in_between(
    bed: Bed, lane: Lane, steps: list[int]
) -> None:
    async def run() -> None:
        partition = bed.partition(lane)
        await partition.open()
        for offset in range(6):
            await partition.put(offset, b"x" * 20_000, offset)
        assert [len(await partition._take()) for _ in steps] == steps

    asyncio.run(run())


@pytest.mark.parametrize(
    ("lane", "sizes", "taken"),
    [
        (Lane.READINGS, [10, 10], 2),  # they gather while the partition rests
        (Lane.BACKLOG, [10, 10], 2),
        (Lane.URGENT, [10, 10], 1),  # a call for help never waits for another
        (Lane.READINGS, [40_000, 10], 1),  # worth a step by itself
    ],
)
def test_after_a_step_rows_gather_unless_they_call_for_help_or_are_worth_a_step(
    bed: Bed, lane: Lane, sizes: list[int], taken: int
) -> None:
    async def run() -> None:
        partition = bed.partition(lane)
        await partition.open()
        if lane is not Lane.URGENT:
            partition._rests_until_s = SystemClock().monotonic_s() + 0.5

        async def put() -> None:
            for offset, size in enumerate(sizes):
                await partition.put(offset, b"x" * size, offset)
                await asyncio.sleep(0.05)

        putting = asyncio.create_task(put())
        assert len(await partition._take()) == taken
        await putting

    asyncio.run(run())


def test_a_rest_is_as_long_as_steps_are_and_never_after_a_call_for_help(bed: Bed) -> None:
    async def rest_s(lane: Lane) -> float:
        partition = bed.partition(lane)
        await partition.open()
        await partition._apply([LogRecord(0, frame(0, 1))])
        return partition._rests_until_s - SystemClock().monotonic_s()

    async def run() -> None:
        assert -1.0 < await rest_s(Lane.READINGS) <= 0.25
        assert await rest_s(Lane.URGENT) == float("-inf")

    asyncio.run(run())
