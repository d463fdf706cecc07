"""Appending, reading, waking, and refusing, on one CommitLog or two in one process."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiwei.commitlog import CommitLog, LogDamaged, file_of
from zhiwei.commitlog.log import READ_BYTES
from zhiwei.commitlog.wake import rendezvous
from zhiwei.contracts import Entry, LogReader, LogRecord, LogWriter
from zhiwei.errors import StorageFull, ZhiweiError

TOPIC = "readings.water"


def entries(*values: bytes, topic: str = TOPIC, partition: int = 0) -> list[Entry]:
    return [Entry(topic, partition, value) for value in values]


@pytest.fixture
def log(tmp_path: Path):
    with CommitLog(tmp_path, "readings", writer=True) as log:
        log.create_topic(TOPIC, 2)
        yield log


@pytest.fixture
def reader(log: CommitLog):
    with CommitLog(log.file.parent, "readings") as reader:
        yield reader


def test_it_is_the_log_of_the_contracts(log: CommitLog) -> None:
    writer: LogWriter = log
    reader: LogReader = log
    assert writer.append(entries(b"a")) == [0]
    assert reader.read(TOPIC, 0, 0) == [LogRecord(0, b"a")]


@pytest.mark.parametrize(
    ("topic", "file"),
    [
        ("readings.water", "readings"),
        ("backlog.water", "readings"),
        ("quarantine", "readings"),
        ("findings", "findings"),
        ("findings.urgent", "findings"),
        ("setaside", "findings"),
        ("readingsx", "findings"),
    ],
)
def test_the_first_segment_of_a_topic_names_its_file(topic: str, file: str) -> None:
    assert file_of(topic) == file


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=40)), max_size=6),
        max_size=8,
    )
)
def test_what_was_appended_is_read_in_order_with_dense_offsets(
    batches: list[list[tuple[int, bytes]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected: list[list[LogRecord]] = [[], []]
    with CommitLog(tmp_path_factory.mktemp("log"), "readings", writer=True) as log:
        log.create_topic(TOPIC, 2)
        for batch in batches:
            offsets = log.append([Entry(TOPIC, partition, value) for partition, value in batch])
            for (partition, value), offset in zip(batch, offsets, strict=True):
                assert offset == len(expected[partition])
                expected[partition].append(LogRecord(offset, value))
        assert [log.read(TOPIC, partition, 0) for partition in (0, 1)] == expected
        assert [log.end(TOPIC, partition) for partition in (0, 1)] == [len(each) for each in expected]


def test_a_read_begins_at_the_offset_and_gives_at_most_so_many(log: CommitLog) -> None:
    log.append(entries(*(b"%d" % n for n in range(10))))
    assert [record.offset for record in log.read(TOPIC, 0, 4, most=3)] == [4, 5, 6]
    assert log.read(TOPIC, 0, 10) == []
    assert log.read(TOPIC, 0, 99) == []


def test_a_read_is_bounded_by_bytes_with_at_least_one_record(log: CommitLog) -> None:
    log.append(entries(bytes(READ_BYTES + 1), b"small", bytes(READ_BYTES - 1), b"", b"c", b"d"))
    assert [record.offset for record in log.read(TOPIC, 0, 0)] == [0]
    assert [record.offset for record in log.read(TOPIC, 0, 1)] == [1, 2]
    assert [record.offset for record in log.read(TOPIC, 0, 3)] == [3, 4, 5]


def test_an_append_to_an_unknown_partition_appends_nothing_at_all(log: CommitLog) -> None:
    with pytest.raises(ZhiweiError, match=r"partition 2 of topic 'readings\.water'"):
        log.append([*entries(b"a"), Entry(TOPIC, 2, b"b")])
    assert log.end(TOPIC, 0) == 0
    assert log.append(entries(b"c")) == [0]


def test_another_writer_s_appends_are_seen_and_counted_on(log: CommitLog) -> None:
    with CommitLog(log.file.parent, "readings", writer=True) as other:
        assert log.append(entries(b"a")) == [0]
        assert other.append(entries(b"b")) == [1]
        assert log.append(entries(b"c")) == [2]
        assert [record.value for record in other.read(TOPIC, 0, 0)] == [b"a", b"b", b"c"]


def test_a_topic_is_made_once_and_keeps_its_partitions(log: CommitLog) -> None:
    log.create_topic(TOPIC, 2)
    assert (log.partitions(TOPIC), log.partitions("readings.other")) == (2, 0)
    with pytest.raises(ZhiweiError, match=r"has 2 partitions, not 4: set log\.partitions = 2"):
        log.create_topic(TOPIC, 4)
    with pytest.raises(ZhiweiError, match="expected at least 1"):
        log.create_topic("readings.other", 0)
    with pytest.raises(ZhiweiError, match=r"belongs to findings.log"):
        log.create_topic("findings", 1)
    assert log.topics() == {TOPIC: 2}


def test_a_reader_that_came_before_the_file_is_empty_until_it_exists(tmp_path: Path) -> None:
    with CommitLog(tmp_path / "later", "readings") as reader:
        assert (reader.id, reader.topics(), reader.read(TOPIC, 0, 0)) == ("", {}, [])
        assert (reader.earliest(TOPIC, 0), reader.end(TOPIC, 0), reader.status()) == (0, 0, [])
        with CommitLog(tmp_path / "later", "readings", writer=True) as writer:
            writer.create_topic(TOPIC, 1)
            writer.append(entries(b"a"))
            assert reader.read(TOPIC, 0, 0) == [LogRecord(0, b"a")]
            assert reader.id == writer.id != ""


def test_a_reader_writes_nothing(log: CommitLog, reader: CommitLog) -> None:
    for call in (lambda: reader.append(entries(b"a")), lambda: reader.create_topic("readings.x", 1)):
        with pytest.raises(ZhiweiError, match="opened for reading"):
            call()


def test_the_id_stays_with_the_file_and_differs_between_logs(tmp_path: Path) -> None:
    ids = []
    for directory in ("a", "a", "b"):
        with CommitLog(tmp_path / directory, "readings", writer=True) as log:
            ids.append(log.id)
    assert ids[0] == ids[1] != ids[2]


def test_a_closed_log_opens_again_when_it_is_used(log: CommitLog) -> None:
    log.append(entries(b"a"))
    log.close()
    assert log.append(entries(b"b")) == [1]


def test_records_of_one_append_are_all_seen_or_none(log: CommitLog, reader: CommitLog) -> None:
    log.append([Entry(TOPIC, 0, b"a"), Entry(TOPIC, 1, b"b"), Entry(TOPIC, 0, b"c")])
    assert (reader.end(TOPIC, 0), reader.end(TOPIC, 1)) == (2, 1)


# ------------------------------------------------------------------ refusing


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "readings.log") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(LogDamaged, match=r"readings.log: is no Zhiwei log; move it away"):
        CommitLog(tmp_path, "readings", writer=True)


def test_a_file_of_another_version_is_refused(log: CommitLog) -> None:
    log.close()
    with sqlite3.connect(log.file) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    with (
        CommitLog(log.file.parent, "readings") as reader,
        pytest.raises(ZhiweiError, match="of version 2, this program reads version 1"),
    ):
        reader.read(TOPIC, 0, 0)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readings.log").write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(LogDamaged, match="cannot be read"):
        CommitLog(tmp_path, "readings", writer=True)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZhiweiError, match=r"file/readings.log: cannot be created"):
        CommitLog(tmp_path / "file", "readings", writer=True)


def test_below_the_reserve_nothing_is_accepted_until_there_is_room_again(tmp_path: Path) -> None:
    free = 1000
    with CommitLog(tmp_path, "readings", writer=True, reserve_bytes=500, free_bytes=lambda _: free) as log:
        log.create_topic(TOPIC, 1)
        assert log.append(entries(b"a")) == [0]
        free = 499
        with pytest.raises(StorageFull, match="499 bytes free on the disk, below the reserve of 500"):
            log.append(entries(b"b"))
        assert log.end(TOPIC, 0) == 1
        free = 500
        assert log.append(entries(b"c")) == [1]


def test_below_the_reserve_what_retention_freed_is_used_again(tmp_path: Path) -> None:
    free = 1000
    with CommitLog(tmp_path, "readings", writer=True, reserve_bytes=500, free_bytes=lambda _: free) as log:
        log.create_topic(TOPIC, 1)
        log.append(entries(*[bytes(100_000)] * 20))
        log.trim(TOPIC, 0, below=20)
        log.close()  # brings everything into the main file
        size, free = log.file.stat().st_size, 0
        log.append(entries(*[bytes(100_000)] * 3))
        log.close()
        assert log.file.stat().st_size == size


# ------------------------------------------------------------------ waking


def deadline(seconds: float = 20.0) -> asyncio.Timeout:
    return asyncio.timeout(seconds)


def test_changed_returns_when_something_is_appended(log: CommitLog, reader: CommitLog) -> None:
    async def run() -> list[LogRecord]:
        async with deadline():
            await reader.changed(3600)  # the first call returns at once
            waiting = asyncio.ensure_future(reader.changed(3600))
            await asyncio.sleep(0)
            await asyncio.to_thread(log.append, entries(b"a"))
            await waiting
            return reader.read(TOPIC, 0, 0)

    assert asyncio.run(run()) == [LogRecord(0, b"a")]


def test_an_append_between_two_waits_ends_the_second_at_once(log: CommitLog, reader: CommitLog) -> None:
    async def run() -> None:
        async with deadline():
            await reader.changed(3600)
            log.append(entries(b"a"))
            await reader.changed(3600)

    asyncio.run(run())


def test_all_tasks_that_wait_wake_up(log: CommitLog, reader: CommitLog) -> None:
    async def run() -> None:
        async with deadline():
            await reader.changed(3600)
            waiting = [asyncio.ensure_future(reader.changed(3600)) for _ in range(3)]
            await asyncio.sleep(0)
            log.append(entries(b"a"))
            await asyncio.gather(*waiting)

    asyncio.run(run())


def test_changed_ends_at_its_time_out_and_when_the_log_is_closed(reader: CommitLog) -> None:
    async def run() -> None:
        async with deadline():
            await reader.changed(3600)
            await reader.changed(0.001)
            waiting = asyncio.ensure_future(reader.changed(3600))
            await asyncio.sleep(0)
            reader.close()
            await waiting

    asyncio.run(run())


def test_a_new_topic_wakes_readers(log: CommitLog, reader: CommitLog) -> None:
    async def run() -> int:
        async with deadline():
            await reader.changed(3600)
            log.create_topic("readings.late", 3)
            await reader.changed(3600)
            return reader.partitions("readings.late")

    assert asyncio.run(run()) == 3


def test_another_process_wakes_a_waiting_reader(log: CommitLog, reader: CommitLog) -> None:
    program = (
        "import sys; from pathlib import Path; from zhiwei.commitlog import CommitLog;"
        "from zhiwei.contracts import Entry;"
        f"CommitLog(Path(sys.argv[1]), 'readings', writer=True).append([Entry({TOPIC!r}, 0, b'a')])"
    )
    reader.wait(0)
    with subprocess.Popen([sys.executable, "-c", program, str(log.file.parent)]) as process:
        reader.wait(60)
        found = reader.read(TOPIC, 0, 0)
        assert process.wait(60) == 0
    assert found == [LogRecord(0, b"a")]


def test_the_socket_of_a_dead_process_is_removed_by_the_next_append(log: CommitLog) -> None:
    program = (
        "import os, sys; from pathlib import Path; from zhiwei.commitlog import CommitLog;"
        "log = CommitLog(Path(sys.argv[1]), 'readings'); log.wait(0); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(log.file.parent)], check=True, timeout=60)
    assert len(list(rendezvous(log.file).iterdir())) == 1
    log.append(entries(b"a"))
    assert list(rendezvous(log.file).iterdir()) == []


def test_sockets_are_private_short_and_leave_with_their_owner(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with CommitLog(deep, "readings") as reader:
        reader.wait(0)
        (socket,) = rendezvous(reader.file).iterdir()
        assert len(os.fsencode(socket)) < 104
        assert rendezvous(reader.file).stat().st_mode & 0o777 == 0o700
    assert not socket.exists()


def test_without_a_private_directory_there_is_only_the_time_out(log: CommitLog, reader: CommitLog) -> None:
    place = rendezvous(log.file)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    reader.wait(0)
    log.append(entries(b"a"))
    reader.wait(0.001)
    assert list(place.iterdir()) == []
    assert reader.read(TOPIC, 0, 0) == [LogRecord(0, b"a")]
    place.rmdir()
