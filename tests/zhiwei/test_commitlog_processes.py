"""Several processes on one log, some of them killed: what was acknowledged is there, once and in order."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from zhiwei.commitlog import CommitLog

TOPIC = "readings.water"

WRITER = """
import os, resource, signal, sys
from pathlib import Path
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.errors import StorageFull

directory, name, count, size, limit = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
log = CommitLog(directory, "readings", writer=True)
log.create_topic("readings.water", 1)
os.write(1, b"ready\\n")
sys.stdin.readline()
try:
    for n in range(count):
        value = f"{name} {n} ".encode().ljust(size, b".")
        (offset,) = log.append([Entry("readings.water", 0, value)])
        os.write(1, f"{n} {offset}\\n".encode())  # the acknowledgement: from here on it may not be lost
except StorageFull as error:
    os.write(1, f"full {error}\\n".encode())
"""


class Writer(subprocess.Popen[str]):
    """Appends ``<name> <n>`` for n = 0, 1, … and tells each offset it was given."""

    def __init__(self, directory: Path, name: str, *, count: int, size: int = 1000, limit: int = 0) -> None:
        arguments = [str(directory), name, str(count), str(size), str(limit)]
        super().__init__(
            [sys.executable, "-c", WRITER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = name
        assert self.acknowledged(1) == ["ready\n"]

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)

    def go(self) -> None:
        assert self.stdin is not None
        self.stdin.write("go\n")
        self.stdin.flush()

    def acknowledged(self, most: int | None = None) -> list[str]:
        """The next so many lines, or all until the process ends; without one that was cut off."""
        assert self.stdout is not None
        return [line for line in islice(self.stdout, most) if line.endswith("\n")]


def pairs(lines: Sequence[str]) -> list[tuple[int, int]]:
    return [(int(n), int(offset)) for n, offset in (line.split() for line in lines)]


def stored(directory: Path) -> list[tuple[str, int]]:
    """(writer, n) of every record; fails unless offsets are dense from 0."""
    found: list[tuple[str, int]] = []
    with CommitLog(directory, "readings") as log:
        while records := log.read(TOPIC, 0, len(found)):
            for record in records:
                assert record.offset == len(found)
                name, n, rest = record.value.decode().split(" ")
                assert set(rest) <= {"."}
                found.append((name, int(n)))
    return found


@pytest.mark.parametrize("size", [100, 40_000])
def test_a_writer_killed_at_any_moment_loses_nothing_it_had_acknowledged(tmp_path: Path, size: int) -> None:
    chance = random.Random(size)
    told: dict[tuple[str, int], int] = {}
    names = [f"life{number}" for number in range(5)]
    for name in names:
        with Writer(tmp_path, name, count=10**9, size=size) as writer:
            writer.go()
            lines = writer.acknowledged(chance.randrange(1, 400))
            writer.kill()
            lines += writer.acknowledged()
            told |= {(name, n): offset for n, offset in pairs(lines)}
    found = stored(tmp_path)
    assert {key: offset for offset, key in enumerate(found) if key in told} == told
    for name in names:  # in order, without holes; at most the one in flight was stored unacknowledged
        kept = [n for life, n in found if life == name]
        assert kept == list(range(len(kept)))
        assert 0 <= len(kept) - sum(life == name for life, _ in told) <= 1
    assert [life for life, _ in found] == sorted(life for life, _ in found)


def test_several_writers_at_once_share_dense_offsets_and_keep_their_order(tmp_path: Path) -> None:
    writers = [Writer(tmp_path, name, count=300) for name in ("a", "b", "c")]
    for writer in writers:
        writer.go()
    told = {}
    for writer in writers:
        with writer:
            told |= {(writer.name, n): offset for n, offset in pairs(writer.acknowledged(300))}
    found = stored(tmp_path)
    assert dict(zip(found, range(900), strict=True)) == told
    for name in ("a", "b", "c"):
        assert [n for writer, n in found if writer == name] == list(range(300))
    assert found != sorted(found)  # they did write at the same time


def test_a_full_disk_is_said_and_what_was_acknowledged_before_is_kept(tmp_path: Path) -> None:
    # A limit on the size of files: the disk refuses a write half way through a transaction.
    with Writer(tmp_path, "a", count=10**6, size=40_000, limit=3_000_000) as writer:
        writer.go()
        *lines, last = writer.acknowledged()
        assert writer.wait(60) == 0
    assert last.startswith("full ")
    assert "readings.log: nothing was written" in last
    assert stored(tmp_path) == [("a", n) for n, _ in pairs(lines)]
    with Writer(tmp_path, "b", count=3) as writer:  # the limit is gone: it goes on
        writer.go()
        assert [offset for _, offset in pairs(writer.acknowledged(3))] == [
            len(lines) + number for number in range(3)
        ]


def test_a_log_is_made_once_though_many_processes_begin_at_the_same_time(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from zhiwei.commitlog import CommitLog;"
        "print('ready', flush=True); sys.stdin.readline();"
        "log = CommitLog(Path(sys.argv[1]), 'readings', writer=True);"
        "log.create_topic('readings.water', 3); print(json.dumps([log.id, log.topics()]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert len({id_ for id_, _ in answers}) == 1
    assert [topics for _, topics in answers] == [{TOPIC: 3}] * 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["readings.log"]
