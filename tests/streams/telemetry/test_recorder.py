"""Each row once whatever dies, each loss by name, and nobody disturbed."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.telemetry import progress, recorder, segments
from streams.telemetry.lane import Lane, Limits
from streams.telemetry.recorder import GRACE_S, GROUP, Recorder
from zhiwei import metrics
from zhiwei.clock import MICROS, SystemClock, to_datetime
from zhiwei.commitlog import CommitLog, GroupLock
from zhiwei.contracts import Entry
from zhiwei.errors import LogMismatch, StorageFull
from zhiwei.history import Gap
from zhiwei.settings import Log, Settings, Streams
from zhiwei.types import Control, Flag, Tick


def tick(us: int, clock: str = "live") -> bytes:
    return msgspec.json.encode(Tick(clock=clock, time=to_datetime(us)))


def counted(name: str) -> float:
    found = {sample.name: sample.value for family in metrics.REGISTRY.collect() for sample in family.samples}
    return found.get(name, 0.0)


# ------------------------------------------------------------------ each row once


class Killed(BaseException):
    """The process is gone: no handler of ours catches it."""


@contextmanager
def killed_at(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Die before the count-th step that changes what is on the disk: after the one before it."""
    left = count

    def step(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", step(os.fsync))
        patch.setattr(Path, "replace", step(Path.replace))
        patch.setattr(Path, "unlink", step(Path.unlink))
        patch.setattr(Path, "write_bytes", step(Path.write_bytes))
        yield


def script(bed: Any) -> Iterator[Callable[[], None]]:
    """Everything that happens to a lane: segments, merges, a frame that is none, a gap, removals."""
    for second in range(3):
        yield lambda second=second: bed.write(bed.level(second, float(second)), tick(bed.at(second)))
        yield bed.close_segment
    yield lambda: bed.write(bed.level(100), b"no frame", bed.level(101))
    yield bed.close_segment
    yield lambda: bed.write(bed.level(102))
    yield bed.close_segment
    yield lambda: bed.write(bed.level(103), bed.level(104))
    yield lambda: bed.trim(bed.log.end(bed.topic, 0) - 1)
    yield bed.close_segment
    yield bed.close_segment


def test_a_kill_at_any_step_keeps_every_row_exactly_once(beds, monkeypatch) -> None:
    monkeypatch.setattr(segments, "FAN", 2)
    healthy = beds()
    for do in script(healthy):
        do()
    expected = healthy.stored()
    assert len(expected) == 3 + 4
    lost = [(gap.reason, gap.records) for gap in healthy.ask().gaps]
    assert lost == [("unreadable", 1), ("overtaken", 1)]
    kills, died = 0, True
    while died:
        kills, died = kills + 1, False
        bed = beds()
        with killed_at(kills, monkeypatch):
            for do in script(bed):
                try:
                    do()
                except Killed:
                    died = True
                    bed.begin()
                    do()
        assert (bed.stored(), kills) == (expected, kills)
        assert ([(gap.reason, gap.records) for gap in bed.ask().gaps], kills) == (lost, kills)
        assert not list(bed.data.glob("telemetry/**/.draft-*"))
        bed.log.close()
    assert kills > 35
    healthy.log.close()


def test_a_segment_that_was_complete_before_the_position_was_written_is_not_recorded_again(
    bed, monkeypatch
) -> None:
    two = [bed.row(bed.at(1), {"level": value}, flags=int(Flag.NO_TS)) for value in (1.0, 2.0)]
    bed.write(bed.frame(two), bed.level(2, flags=int(Flag.NO_TS)))
    with monkeypatch.context() as patch:
        patch.setattr(progress, "save", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            bed.close_segment()
    assert len(bed.segments()) == 1
    assert len(bed.ask().values.at) == 3
    bed.limits = Limits(segment_rows=2)  # cut elsewhere, a second record of the same would lie across
    bed.begin()
    bed.write(bed.level(3))
    bed.close_segment()
    assert bed.stored() == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert [(each.first, each.following) for each in bed.segments()] == [(0, 2), (2, 3)]


def test_rows_wait_until_there_are_enough_or_the_time_has_come(beds) -> None:
    bed = beds(limits=Limits(segment_rows=3, segment_s=10.0))
    bed.write(*(bed.level(second) for second in range(7)))
    bed.record()
    assert [(each.first, each.following) for each in bed.segments()] == [(0, 3), (3, 6)]
    bed.clock.now += 10 * MICROS - 1
    bed.record()
    assert len(bed.segments()) == 2
    bed.clock.now += 1
    bed.record()
    assert [(each.first, each.following) for each in bed.segments()][2:] == [(6, 7)]
    bed.log.close()


def test_time_without_rows_is_passed_without_a_segment_and_not_read_again(bed) -> None:
    bed.write(tick(bed.start), msgspec.json.encode(Control(kind="policy", version="1", body="")))
    bed.close_segment()
    assert bed.segments() == []
    (folder,) = bed.data.glob("telemetry/test/*")
    assert progress.load(folder).stands[0].following == 2


def test_every_partition_and_the_backlog_are_recorded(beds) -> None:
    bed = beds(partitions=2)
    bed.write(bed.level(1))
    bed.write(bed.level(2), partition=1)
    bed.record()
    bed.log.create_topic("backlog.test", 2)
    bed.write(bed.level(3), topic="backlog.test", partition=1)
    bed.close_segment()
    bed.close_segment()
    assert sorted((each.folder.name.split("_")[0], each.partition) for each in bed.segments()) == [
        ("backlog", 1),
        ("readings", 0),
        ("readings", 1),
    ]
    bed.log.close()


def test_old_segments_of_a_log_that_is_gone_are_still_history(tmp_path, bed) -> None:
    bed.write(bed.level(1))
    bed.close_segment()
    bed.log.close()
    for file in (bed.data / "log").glob("readings.log*"):
        file.rename(tmp_path / f"gone-{file.name}")
    after = type(bed)(bed.data)
    after.write(after.level(2))
    after.close_segment()
    assert len(after.segments()) == 2
    assert after.ask().values.at.tolist() == [after.at(1), after.at(2)]
    after.log.close()


def test_a_log_that_ends_before_what_is_recorded_is_refused_and_nothing_changed(bed, tmp_path) -> None:
    bed.write(bed.level(1))
    bed.log.close()
    copy = (bed.data / "log" / "readings.log").read_bytes()
    bed.write(bed.level(2))
    bed.close_segment()
    bed.log.close()
    for file in (bed.data / "log").glob("readings.log*"):
        file.unlink()
    (bed.data / "log" / "readings.log").write_bytes(copy)
    with pytest.raises(LogMismatch, match=r"readings\.test/0/2, the log ends at 1"):
        bed.begin().step()
    assert len(bed.segments()) == 1


# ------------------------------------------------------------------ each loss by name


def test_what_retention_of_the_log_took_is_a_gap_between_the_rows_around_it(bed) -> None:
    bed.write(bed.level(10))
    bed.close_segment()
    bed.write(bed.level(20), bed.level(30), bed.level(40))
    bed.trim(3)
    before = counted("zhiwei_telemetry_overtaken_records_total")
    bed.close_segment()
    assert counted("zhiwei_telemetry_overtaken_records_total") == before + 2
    assert bed.ask().gaps == (Gap(bed.at(10), bed.at(40), "overtaken", 2),)
    assert bed.ask().values.at.tolist() == [bed.at(10), bed.at(40)]
    assert [(each.first, each.following) for each in bed.segments()] == [(0, 1), (3, 4)]


def test_what_was_read_before_a_gap_is_in_a_segment_before_the_gap_is_passed(bed) -> None:
    bed.write(bed.level(10))
    bed.record()
    bed.write(bed.level(20), bed.level(30))
    bed.trim(2)
    bed.recorder.step()
    bed.begin()
    bed.close_segment()
    assert bed.stored() == [(0, 0), (2, 0)]
    assert [(each.first, each.following) for each in bed.segments()] == [(0, 1), (2, 3)]
    assert bed.ask().gaps == (Gap(bed.at(10), bed.at(30), "overtaken", 1),)


def test_what_was_never_there_to_be_recorded_is_a_gap_without_a_beginning(beds) -> None:
    bed = beds()
    bed.write(bed.level(10), bed.level(20))
    bed.trim(1)
    bed.close_segment()
    assert bed.ask().gaps == (Gap(None, bed.at(20), "overtaken", 1),)
    bed.log.close()


def test_ticks_tell_how_far_before_and_after_a_gap_time_is_known(bed) -> None:
    bed.write(bed.level(10), tick(bed.at(11)))
    bed.record()
    bed.write(bed.level(20), tick(bed.at(30)), bed.level(40))
    bed.trim(3)
    bed.close_segment()
    assert bed.ask().gaps == (Gap(bed.at(11), bed.at(30), "overtaken", 1),)


def test_a_gap_has_a_stretch_on_each_clock(bed) -> None:
    year = 365 * 86_400
    bed.write(tick(bed.at(10)), tick(bed.at(-year), "sim"))
    bed.record()
    bed.write(bed.level(20), tick(bed.at(30)), tick(bed.at(5 - year), "sim"))
    bed.trim(3)
    bed.close_segment()
    assert bed.ask().gaps == (Gap(bed.at(10), bed.at(30), "overtaken", 1),)
    assert bed.ask(start=-year, end=-year + 60).gaps == (
        Gap(bed.at(-year), bed.at(5 - year), "overtaken", 1),
    )


def test_frames_that_cannot_be_read_are_passed_over_counted_and_named_once(bed) -> None:
    before = counted("zhiwei_telemetry_unreadable_records_total")
    other = msgspec.structs.replace(bed.schema, version=2)
    strange = bed.frame([bed.row(bed.at(2), {"level": 1.0})], other)
    bed.write(bed.level(1), strange, b"\xff\xff\xff\xff", b"{", bed.level(3))
    bed.record()
    bed.begin()  # what was not committed is read again
    bed.close_segment()
    bed.begin()
    bed.close_segment()
    assert bed.stored() == [(0, 0), (4, 0)]
    assert bed.ask().gaps == (Gap(bed.at(1), bed.at(3), "unreadable", 3),)
    assert counted("zhiwei_telemetry_unreadable_records_total") == before + 6  # three, by two processes


def test_what_is_lost_again_and_again_stays_bounded_and_named(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_MOST_LOST", 3)
    kept = progress.Progress()
    for offset in range(0, 20, 2):
        kept.lose(0, offset, offset + 1, "unreadable", {"live": offset})
        kept.see(0, offset + 1, "live", offset + 1)
    assert [(lost.first, lost.following, lost.start_us, lost.end_us) for lost in kept.lost] == [
        (0, 15, 0, 15),
        (16, 17, 16, 17),
        (18, 19, 18, 19),
    ]


def test_a_record_that_is_read_again_does_not_end_a_gap_behind_it() -> None:
    kept = progress.Progress()
    kept.lose(0, 5, 6, "unreadable", {"live": 50})
    kept.see(0, 4, "live", 40)
    assert kept.lost[0].end_us is None
    kept.see(0, 6, "live", 60)
    assert kept.lost[0].end_us == 60


# ------------------------------------------------------------------ retention


def test_segments_fall_away_by_age_oldest_first_and_are_not_recorded_again(beds) -> None:
    bed = beds(limits=Limits(segment_s=60.0, keep_s=150.0))
    for second in (1, 2, 3):
        bed.write(bed.level(second), b"no frame", bed.level(second + 0.5))
        bed.close_segment()
    assert [each.first for each in bed.segments()] == [0, 3, 6]
    bed.clock.now += 60 * MICROS
    bed.record()
    assert [each.first for each in bed.segments()] == [3, 6]
    bed.clock.now += 600 * MICROS
    bed.record()
    assert bed.segments() == []
    bed.begin()
    bed.close_segment()
    assert bed.segments() == []
    bed.log.close()


@pytest.mark.parametrize(("scenario", "kept"), [("test", [0, 2, 4]), ("water", [])])
def test_a_scenario_may_keep_its_segments_longer_than_others(beds, scenario: str, kept: list[int]) -> None:
    bed = beds(limits=Limits(segment_s=60.0, keep_s=90.0, keep_scenarios={scenario: 3600.0}))
    for second in (1, 2, 3):
        bed.write(bed.level(second), bed.level(second + 0.5))
        bed.close_segment()
    bed.clock.now += 600 * MICROS
    bed.record()
    assert [each.first for each in bed.segments()] == kept
    bed.log.close()


def test_what_was_lost_before_all_that_is_kept_is_forgotten(beds) -> None:
    bed = beds(limits=Limits(segment_s=60.0, keep_s=90.0))
    for second in (1, 2, 3):
        bed.write(bed.level(second), b"no frame", bed.level(second + 0.5))
        bed.close_segment()
    bed.close_segment()
    (kept,) = bed.segments()
    (gap,) = bed.ask().gaps
    assert kept.first == 6
    assert gap == Gap(bed.at(3), bed.at(3.5), "unreadable", 1)
    bed.log.close()


def test_segments_fall_away_by_size_oldest_first(beds) -> None:
    bed = beds()
    for second in range(4):
        bed.write(bed.level(second))
        bed.close_segment()
    size = sum(each.file.stat().st_size for each in bed.segments()[2:])
    bed.limits = Limits(keep_bytes=size)
    bed.begin().tidy()
    assert [each.first for each in bed.segments()] == [2, 3]
    bed.log.close()


def test_merged_segments_stay_for_readers_and_then_go(bed) -> None:
    for second in range(segments.FAN):
        bed.write(bed.level(second))
        bed.close_segment()
    (merged,) = bed.segments()
    assert len(list(merged.folder.glob("*.parquet"))) == 1 + segments.FAN
    bed.clock.now += int(GRACE_S * MICROS) - 1
    bed.recorder.tidy()
    assert len(list(merged.folder.glob("*.parquet"))) == 1 + segments.FAN
    bed.clock.now += 1
    bed.recorder.tidy()
    assert list(merged.folder.glob("*.parquet")) == [merged.file]


def test_near_the_disk_reserve_nothing_is_written_and_nothing_is_lost_while_the_log_keeps_it(bed) -> None:
    free = 199
    made = Recorder(bed.data, [bed.schema], bed.log, bed.clock, reserve_bytes=100, free_bytes=lambda _: free)
    bed.recorder = made
    bed.write(bed.level(1))
    with pytest.raises(StorageFull, match="199 bytes free, telemetry leaves 200"):
        bed.close_segment()
    assert bed.segments() == []
    free = 200
    bed.close_segment()
    assert bed.stored() == [(0, 0)]


# ------------------------------------------------------------------ the role


class Stop(threading.Event):
    """Lets so many waits pass at once, then says stop."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.waits = waits

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - no test waits
        self.waits -= 1
        if self.waits <= 0:
            self.set()
        return self.is_set()


@pytest.fixture
def role(bed) -> Settings:
    """Settings of a data directory whose log has a generic topic with one frame."""
    bed.log.create_topic("readings.generic", 1)
    schema = msgspec.structs.replace(bed.schema, scenario="generic", channels=())
    bed.write(bed.frame([bed.row(bed.start, {"level": 1.0})], schema), topic="readings.generic")
    return Settings(data_dir=str(bed.data), streams=Streams(scenarios=("generic",)), log=Log(reserve_bytes=0))


def recorded(bed: Any) -> list[Path]:
    return list(bed.data.glob("telemetry/generic/*/*.parquet"))


def test_the_role_records_and_closes_its_segment_when_stopped(bed, role) -> None:
    recorder.record(role, SystemClock(), Stop(3))
    assert len(recorded(bed)) == 1
    lock = GroupLock(bed.data / "log", GROUP)
    assert lock.try_acquire()
    lock.release()


def test_an_error_is_counted_and_recording_begins_again_from_what_is_durable(bed, role, monkeypatch) -> None:
    errors, step = counted("zhiwei_telemetry_errors_total"), Lane.step
    left = 2

    def fails(lane: Lane) -> bool:
        nonlocal left
        left -= 1
        if left >= 0:
            raise RuntimeError("a mistake of ours")
        return step(lane)

    monkeypatch.setattr(Lane, "step", fails)
    recorder.record(role, SystemClock(), Stop(5))
    assert counted("zhiwei_telemetry_errors_total") == errors + 2
    assert len(recorded(bed)) == 1


def test_a_second_recorder_waits_for_the_first(bed, role) -> None:
    lock = GroupLock(bed.data / "log", GROUP)
    assert lock.try_acquire()
    recorder.record(role, SystemClock(), Stop(3))
    assert recorded(bed) == []
    lock.release()


def test_the_role_in_a_loop_ends_when_told_and_leaves_everything_in_segments(bed, role) -> None:
    async def work() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(recorder.run(role, SystemClock(), stop))
        for _ in range(100_000):  # turns of the loop, each with a question to the disk
            if counted("zhiwei_telemetry_recording") == 1:
                break
            await asyncio.to_thread(bed.log.end, bed.topic, 0)
        stop.set()
        await task

    asyncio.run(work())
    assert len(recorded(bed)) == 1


def test_retention_of_the_log_does_not_wait_for_telemetry(bed) -> None:
    bed.write(bed.level(1), bed.level(2))
    bed.record()
    with CommitLog(bed.data / "log", "readings", writer=True) as log:
        assert log.trim(bed.topic, 0, below=2).records == 2
        log.append([Entry(bed.topic, 0, bed.level(3))])
    bed.close_segment()  # what was read before it went is not lost
    assert bed.stored() == [(0, 0), (1, 0), (2, 0)]
    assert bed.ask().gaps == ()
