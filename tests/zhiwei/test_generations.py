"""A topic that was begun anew: each generation has a name that stays, and a log of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.errors import ZhiweiError
from zhiwei.generations import all_of, is_retired, mark, marked

TOPIC = "readings.water"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CommitLog]:
    with CommitLog(tmp_path, "readings", writer=True) as log:
        log.create_topic(TOPIC, 2)
        log.append([Entry(TOPIC, 1, b"first")])
        yield log


def test_what_was_there_is_read_by_the_name_of_its_generation(log: CommitLog) -> None:
    log.begin_anew(TOPIC, 3)
    log.append([Entry(TOPIC, 1, b"second")])
    log.begin_anew(TOPIC, 2)
    assert log.topics() == {TOPIC: 2, f"{TOPIC}@0": 2, f"{TOPIC}@1": 3}
    assert all_of(log, TOPIC) == (f"{TOPIC}@0", f"{TOPIC}@1", TOPIC)
    assert [[one.value for one in log.read(name, 1, 0)] for name in all_of(log, TOPIC)] == [
        [b"first"], [b"second"], [],
    ]  # fmt: skip
    assert len({log.identity(name) for name in all_of(log, TOPIC)}) == 3
    assert [is_retired(name) for name in all_of(log, TOPIC)] == [True, True, False]


def test_begun_anew_with_as_many_partitions_nothing_happens(log: CommitLog) -> None:
    before = log.identity(TOPIC)
    log.begin_anew(TOPIC, 2)
    assert (log.generations(TOPIC), log.identity(TOPIC)) == ((0,), before)
    assert log.end(TOPIC, 1) == 1


def test_a_writer_that_does_not_know_of_it_is_refused(log: CommitLog, tmp_path: Path) -> None:
    with CommitLog(tmp_path, "readings", writer=True) as other:
        other.append([Entry(TOPIC, 0, b"a")])
        log.begin_anew(TOPIC, 3)
        with pytest.raises(ZhiweiError, match="begun anew meanwhile; start this process again"):
            other.append([Entry(TOPIC, 0, b"lost")])
    assert log.bounds(TOPIC, 0) == (0, 0)
    assert log.bounds(f"{TOPIC}@0", 0) == (0, 1)


def test_a_mark_leads_to_the_same_records_for_good(log: CommitLog) -> None:
    first = mark(log, TOPIC)
    assert (first, marked(log, first)) == (TOPIC, TOPIC)
    log.begin_anew(TOPIC, 3)
    second = mark(log, TOPIC)
    assert (marked(log, first), marked(log, second)) == (f"{TOPIC}@0", TOPIC)
    log.begin_anew(TOPIC, 2)
    assert (marked(log, first), marked(log, second)) == (f"{TOPIC}@0", f"{TOPIC}@1")
    assert marked(log, "readings.none") == "readings.none"
