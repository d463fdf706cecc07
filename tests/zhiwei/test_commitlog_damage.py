"""Files that were cut off or scribbled over: what is read is a prefix of what was appended, or an error.

A killed process does not test this, since the page cache outlives it: so the files are changed by hand.
"""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from zhiwei.commitlog import CommitLog, LogDamaged, file
from zhiwei.contracts import Entry
from zhiwei.errors import ZhiweiError

TOPIC = "readings.water"
COUNT = 12
SEEDS = (3, 73)  # 73 once made one partition read as the other
FRAME = 512 + 24  # SQLite's WAL: a header of 32 bytes, then frames of 24 bytes and a page
VALUES = [b"%02d" % n * (20 + 30 * (n % 3)) for n in range(COUNT)]


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """``main`` and ``wal`` of a small log as a power cut would leave them: all records in the WAL."""
    monkeypatch.setattr(file, "PAGE_BYTES", 512)
    with CommitLog(tmp_path / "log", "readings", writer=True) as log:
        log.create_topic(TOPIC, 2)
        log.close()  # moves the empty topics into the main file
        for n, value in enumerate(VALUES):
            log.append([Entry(TOPIC, n % 2, value)])
        shutil.copy(log.file, tmp_path / "main")
        shutil.copy(f"{log.file}-wal", tmp_path / "wal")
        yield tmp_path


def reopened(copies: Path, main: bytes, wal: bytes) -> list[list[bytes]]:
    """What a new process reads of both partitions."""
    directory = copies / "again"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "readings.log").write_bytes(main)
    (directory / "readings.log-wal").write_bytes(wal)
    with CommitLog(directory, "readings") as log:
        return [[record.value for record in log.read(TOPIC, number, 0)] for number in (0, 1)]


def prefixes() -> list[list[list[bytes]]]:
    """What may be read: the state after each number of appends."""
    return [[VALUES[:count:2], VALUES[1:count:2]] for count in range(COUNT + 1)]


def test_the_log_is_whole_before_it_is_damaged(copies: Path) -> None:
    found = reopened(copies, (copies / "main").read_bytes(), (copies / "wal").read_bytes())
    assert found == prefixes()[COUNT]


def test_a_wal_cut_off_at_any_length_is_a_prefix_and_loses_whole_appends_only(copies: Path) -> None:
    main, wal = (copies / "main").read_bytes(), (copies / "wal").read_bytes()
    ends = range(32, len(wal) + 1, FRAME)
    lengths = sorted(
        {*range(0, len(wal) + 1, 67), *ends, *(end - 1 for end in ends), *(end + 1 for end in ends)}
    )
    found = [reopened(copies, main, wal[:length]) for length in lengths]
    counts = [prefixes().index(each) for each in found]  # ValueError: reordered or invented
    assert counts == sorted(counts)
    assert set(counts) == set(range(COUNT + 1))


def test_a_wal_with_a_flipped_byte_anywhere_is_a_prefix(copies: Path) -> None:
    main, wal = (copies / "main").read_bytes(), (copies / "wal").read_bytes()
    places = random.Random(1).sample(range(len(wal)), 250)
    for place in places:
        torn = bytearray(wal)
        torn[place] ^= 1 << place % 8
        assert reopened(copies, main, bytes(torn)) in prefixes()


def test_a_wal_whose_last_page_was_half_written_loses_the_last_append_only(copies: Path) -> None:
    main, wal = (copies / "main").read_bytes(), (copies / "wal").read_bytes()
    torn = wal[: -FRAME // 2] + bytes(FRAME // 2)
    assert reopened(copies, main, torn) == prefixes()[COUNT - 1]


def test_after_a_torn_wal_appending_goes_on_without_a_hole(copies: Path) -> None:
    main, wal = (copies / "main").read_bytes(), (copies / "wal").read_bytes()
    reopened(copies, main, wal[: len(wal) // 2])
    with CommitLog(copies / "again", "readings", writer=True) as log:
        end = log.end(TOPIC, 0)
        assert 0 < end < COUNT // 2
        assert log.append([Entry(TOPIC, 0, b"on")]) == [end]
        assert [record.value for record in log.read(TOPIC, 0, 0)] == [*VALUES[: end * 2 : 2], b"on"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_main_file_with_flipped_bytes_gives_right_records_or_a_clear_error(copies: Path, seed: int) -> None:
    main = bytearray(_checkpointed(copies))
    chance = random.Random(seed)
    errors = 0
    for place in range(100, len(main), 7):  # the first 100 bytes are SQLite's header: see the next test
        torn = bytearray(main)
        torn[place] ^= chance.randrange(1, 256)
        try:
            found = reopened(copies, bytes(torn), b"")
        except ZhiweiError:
            errors += 1
        else:
            for number in (0, 1):
                assert found[number] == VALUES[number::2][: len(found[number])]
    assert errors > 100  # or the flips did not hit anything


def test_a_main_file_with_a_damaged_header_or_cut_short_is_a_clear_error(copies: Path) -> None:
    main = _checkpointed(copies)
    for length in range(1, len(main), 512):
        with pytest.raises(LogDamaged, match=r"readings.log: "):
            reopened(copies, main[:length], b"")
    with pytest.raises(LogDamaged, match=r"readings.log: cannot be read"):
        reopened(copies, b"\0" * 100 + main[100:], b"")


def test_a_damaged_record_is_named_and_those_before_it_can_be_read(copies: Path) -> None:
    main = _checkpointed(copies)
    torn = main.replace(b"06" * 10, b"X6" + b"06" * 9, 1)
    assert torn != main
    with pytest.raises(LogDamaged, match=r"topic 'readings.water', partition 0, offset 3; restore"):
        reopened(copies, torn, b"")
    with CommitLog(copies / "again", "readings") as log:
        assert [record.value for record in log.read(TOPIC, 0, 0, most=3)] == VALUES[0:6:2]
        assert [record.value for record in log.read(TOPIC, 0, 4)] == VALUES[8::2]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE partitions SET next = next + 1 WHERE partition = 0",
        "UPDATE partitions SET next = next - 1 WHERE partition = 0",
        "UPDATE partitions SET earliest = 1 WHERE partition = 0",
        "UPDATE partitions SET earliest = 99 WHERE partition = 0",
        "DELETE FROM records WHERE id = (SELECT min(id) FROM records)",
        "UPDATE partitions SET next = 'many' WHERE partition = 0",
    ],
)
def test_ends_that_do_not_fit_the_records_are_found_before_anything_is_written(
    copies: Path, damage: str
) -> None:
    reopened(copies, _checkpointed(copies), b"")
    file = copies / "again" / "readings.log"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(damage)
    before = file.read_bytes()
    with CommitLog(file.parent, "readings", writer=True) as log:
        for use in (
            lambda: log.append([Entry(TOPIC, 0, b"x")]),
            lambda: log.read(TOPIC, 0, 0),
            lambda: log.end(TOPIC, 0),
        ):
            with pytest.raises(LogDamaged, match=r"readings.log: damaged .* restore"):
                use()
    assert file.read_bytes() == before


def _checkpointed(copies: Path) -> bytes:
    """The main file with all records in it, as it is after a clean end."""
    reopened(copies, (copies / "main").read_bytes(), (copies / "wal").read_bytes())
    return (copies / "again" / "readings.log").read_bytes()
