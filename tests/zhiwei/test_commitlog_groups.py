"""Consumer groups: offsets that fit their log, and one consumer at a time."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zhiwei.commitlog import CommitLog, GroupLock, GroupOffsets, LogDamaged
from zhiwei.contracts import Entry
from zhiwei.errors import LogMismatch, ZhiweiError

TOPIC = "readings.water"


@pytest.fixture
def log(tmp_path: Path):
    with CommitLog(tmp_path, "readings", writer=True) as log:
        log.create_topic(TOPIC, 2)
        log.append([Entry(TOPIC, partition, b"x") for partition in (0, 1) for _ in range(10)])
        yield log


def test_committed_offsets_outlive_the_object(log: CommitLog, tmp_path: Path) -> None:
    offsets = GroupOffsets(tmp_path, "streams")
    assert offsets.committed(TOPIC, 0) is None
    offsets.commit(TOPIC, 0, 3)
    offsets.commit_all({(TOPIC, 0): 4, (TOPIC, 1): 9})
    offsets.close()
    again = GroupOffsets(tmp_path, "streams")
    assert [again.committed(TOPIC, partition) for partition in (0, 1)] == [4, 9]
    assert GroupOffsets(tmp_path, "alerts").committed(TOPIC, 0) is None


def test_asking_makes_no_file(log: CommitLog, tmp_path: Path) -> None:
    assert GroupOffsets(tmp_path, "streams").committed(TOPIC, 0) is None
    assert not (tmp_path / "groups").exists()


def test_another_process_sees_a_commit(log: CommitLog, tmp_path: Path) -> None:
    mine = GroupOffsets(tmp_path, "streams")
    mine.commit(TOPIC, 0, 3)
    program = (
        "import sys; from pathlib import Path; from zhiwei.commitlog import GroupOffsets;"
        f"print(GroupOffsets(Path(sys.argv[1]), 'streams').committed({TOPIC!r}, 0))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60
    )
    assert answer.stdout == "3\n"


def test_offsets_of_another_log_are_refused_and_left_alone(log: CommitLog, tmp_path: Path) -> None:
    offsets = GroupOffsets(tmp_path, "streams")
    offsets.commit(TOPIC, 0, 3)
    offsets.close()
    first = log.id
    log.close()
    log.file.unlink()
    with CommitLog(tmp_path, "readings", writer=True) as other:
        other.create_topic(TOPIC, 2)
        with pytest.raises(LogMismatch, match=rf"they are for log {first}, .* is log {other.id}"):
            GroupOffsets(tmp_path, "streams").committed(TOPIC, 0)
    other.file.unlink()
    with pytest.raises(LogMismatch, match=r"is log \(none\)"):
        GroupOffsets(tmp_path, "streams").committed(TOPIC, 0)


def test_offsets_beyond_the_end_of_the_log_are_refused(log: CommitLog, tmp_path: Path) -> None:
    offsets = GroupOffsets(tmp_path, "streams")
    offsets.commit(TOPIC, 0, 10)
    assert offsets.committed(TOPIC, 0) == 10
    offsets.commit(TOPIC, 0, 11)
    with pytest.raises(LogMismatch, match=r"they stand at readings.water/0/11, .* ends at 10"):
        offsets.committed(TOPIC, 0)


def test_a_file_that_is_no_group_file_is_refused(log: CommitLog, tmp_path: Path) -> None:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "streams.db").write_bytes(b"x" * 4096)
    with pytest.raises(LogDamaged, match=r"streams.db: cannot be read"):
        GroupOffsets(tmp_path, "streams").committed(TOPIC, 0)


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a b", "x" * 101])
def test_a_group_s_name_is_part_of_a_file_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ZhiweiError, match="expected 1 to 100 letters"):
        GroupOffsets(tmp_path, name)
    with pytest.raises(ZhiweiError, match="expected 1 to 100 letters"):
        GroupLock(tmp_path, name)


# ------------------------------------------------------------------ the lock


def test_one_holds_the_lock_of_a_group(tmp_path: Path) -> None:
    first, second, other = (GroupLock(tmp_path, name) for name in ("streams", "streams", "alerts"))
    assert (first.try_acquire(), first.try_acquire()) == (True, True)
    assert (second.try_acquire(), other.try_acquire()) == (False, True)
    first.release()
    assert second.try_acquire()
    second.release()
    other.release()


def test_who_waits_gets_the_lock_when_it_is_released(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = GroupLock(tmp_path, "streams"), GroupLock(tmp_path, "streams")
        first.acquire()
        async with asyncio.timeout(20):
            waiting = asyncio.ensure_future(second.acquire_soon())
            await asyncio.sleep(0)
            assert not waiting.done()
            first.release()
            await waiting
        second.release()

    asyncio.run(run())


HOLDER = """
import os, sys
from pathlib import Path
from zhiwei.commitlog import GroupLock
lock = GroupLock(Path(sys.argv[1]), "streams")
lock.acquire()
child = os.fork() if len(sys.argv) > 2 else 1
if child == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()  # outlives its parent
    os._exit(0)
if len(sys.argv) == 2:
    print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        mine = GroupLock(tmp_path, "streams")
        assert not mine.try_acquire()
        holder.kill()
        mine.acquire()  # waits for the kernel
        mine.release()


def test_a_forked_child_does_not_keep_its_parent_s_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), "fork"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait(20)
        os.kill(child, 0)  # is there still
        mine = GroupLock(tmp_path, "streams")
        assert mine.try_acquire()
        mine.release()
        os.kill(child, signal.SIGKILL)
