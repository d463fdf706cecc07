"""Retention: the old goes, what a group needs stays, and the counts add up at every moment."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiwei.commitlog import CommitLog, GroupOffsets, Retained, retain
from zhiwei.commitlog.log import TRIM_BYTES, TRIM_RECORDS
from zhiwei.contracts import Entry

WATER, BACKLOG, QUARANTINE = "readings.water", "backlog.water", "quarantine"


@dataclass
class Hands:
    """A clock that a test sets."""

    now: int = 0

    def now_us(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1e6


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def log(tmp_path: Path, clock: Hands):
    with CommitLog(tmp_path, "readings", writer=True, clock=clock) as log:
        for topic in (WATER, BACKLOG, QUARANTINE):
            log.create_topic(topic, 1)
        yield log


def fill(log: CommitLog, clock: Hands, topic: str, count: int, size: int = 10) -> None:
    """One record at each microsecond from the clock's time on."""
    for _ in range(count):
        log.append([Entry(topic, 0, bytes(size))])
        clock.now += 1


def run(log: CommitLog, **rule: object) -> Retained:
    """``retain`` until there is no more to delete."""
    records = size = 0
    while (step := retain(log, **rule)).more:  # type: ignore[arg-type]
        records, size = records + step.records, size + step.bytes
    return Retained(records + step.records, size + step.bytes, more=False)


def audited(log: CommitLog) -> None:
    for each in log.status():
        assert each.end - each.earliest + each.deleted == each.appended
        assert log.count(each.topic, each.partition) == each.end - each.earliest
        kept = log.read(each.topic, each.partition, 0, most=10_000)
        assert [record.offset for record in kept] == list(range(each.earliest, each.end))
        assert sum(len(record.value) for record in kept) == each.bytes


def test_by_age_what_is_older_goes_and_earliest_says_so(log: CommitLog, clock: Hands) -> None:
    fill(log, clock, QUARANTINE, 10)
    clock.now = 1000
    assert run(log, older_than_us=996, max_bytes=None, required={}) == Retained(4, 40, more=False)
    assert (log.earliest(QUARANTINE, 0), log.end(QUARANTINE, 0)) == (4, 10)
    assert log.read(QUARANTINE, 0, 0)[0].offset == 4
    audited(log)


def test_by_size_the_oldest_of_all_partitions_goes_first(log: CommitLog, clock: Hands) -> None:
    fill(log, clock, QUARANTINE, 3)
    fill(log, clock, BACKLOG, 3)
    fill(log, clock, WATER, 3)
    assert run(log, older_than_us=None, max_bytes=45, required={}).records == 5
    assert [log.earliest(topic, 0) for topic in (QUARANTINE, BACKLOG, WATER)] == [3, 2, 0]
    audited(log)


def test_everything_may_go_and_offsets_go_on_from_there(log: CommitLog, clock: Hands) -> None:
    fill(log, clock, QUARANTINE, 3)
    run(log, older_than_us=None, max_bytes=0, required={})
    assert (log.earliest(QUARANTINE, 0), log.end(QUARANTINE, 0), log.read(QUARANTINE, 0, 0)) == (3, 3, [])
    assert log.append([Entry(QUARANTINE, 0, b"x")]) == [3]
    audited(log)


def test_what_a_required_group_has_not_read_stays(log: CommitLog, clock: Hands, tmp_path: Path) -> None:
    fill(log, clock, WATER, 10)
    fill(log, clock, BACKLOG, 10)
    GroupOffsets(tmp_path, "streams").commit(WATER, 0, 6)
    GroupOffsets(tmp_path, "telemetry").commit(WATER, 0, 4)
    clock.now = 10**6
    rule = {"readings": ("streams", "telemetry"), "backlog": ("streams",)}
    run(log, older_than_us=1, max_bytes=0, required=rule)
    assert log.earliest(WATER, 0) == 4  # the slower of the two
    assert log.earliest(BACKLOG, 0) == 0  # streams has committed nothing there yet
    run(log, older_than_us=1, max_bytes=0, required={"backlog": ("streams",)})
    assert log.earliest(WATER, 0) == 10  # telemetry may lose, when it is not named
    audited(log)


def test_offsets_of_another_log_hold_everything(log: CommitLog, clock: Hands, tmp_path: Path) -> None:
    fill(log, clock, WATER, 10)
    GroupOffsets(tmp_path, "streams").commit(WATER, 0, 11)  # as if the log had been restored from a copy
    run(log, older_than_us=None, max_bytes=0, required={"readings": ("streams",)})
    assert log.earliest(WATER, 0) == 0


@pytest.mark.parametrize(
    ("prefix", "held"),
    [("", True), ("readings", True), ("readings.water", True), ("readings.wat", False), ("backlog", False)],
)
def test_a_prefix_is_whole_segments(
    prefix: str, held: bool, log: CommitLog, clock: Hands, tmp_path: Path
) -> None:
    fill(log, clock, WATER, 3)
    run(log, older_than_us=None, max_bytes=0, required={prefix: ("streams",)})
    assert log.earliest(WATER, 0) == (0 if held else 3)


def test_a_step_is_short_and_says_that_there_is_more(log: CommitLog, clock: Hands) -> None:
    log.append([Entry(QUARANTINE, 0, b"")] * (TRIM_RECORDS + 1))
    clock.now = 10
    assert retain(log, older_than_us=1, max_bytes=None, required={}) == Retained(TRIM_RECORDS, 0, more=True)
    assert retain(log, older_than_us=1, max_bytes=None, required={}) == Retained(1, 0, more=False)
    fill(log, clock, WATER, 3, size=TRIM_BYTES)
    clock.now += 10
    assert retain(log, older_than_us=1, max_bytes=None, required={}).records == 1


@settings(max_examples=30, deadline=None)
@given(
    deeds=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.sampled_from([WATER, BACKLOG]), st.integers(1, 5)),
            st.tuples(st.just("commit"), st.sampled_from(["streams", "alerts"]), st.integers(0, 30)),
            st.tuples(st.just("retain"), st.integers(0, 40), st.integers(0, 200)),
        ),
        max_size=25,
    )
)
def test_retention_never_cuts_what_a_required_group_needs(
    deeds: list[tuple[str, object, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory, clock = tmp_path_factory.mktemp("log"), Hands()
    groups = {name: GroupOffsets(directory, name) for name in ("streams", "alerts")}
    needed = {"streams": 0, "alerts": 0}
    with CommitLog(directory, "readings", writer=True, clock=clock) as log:
        for topic in (WATER, BACKLOG):
            log.create_topic(topic, 1)
        for deed, what, number in deeds:
            if deed == "append":
                fill(log, clock, str(what), number)
            elif deed == "commit":
                needed[str(what)] = max(needed[str(what)], min(number, log.end(WATER, 0)))
                groups[str(what)].commit(WATER, 0, needed[str(what)])
            else:
                assert isinstance(what, int)
                run(log, older_than_us=what, max_bytes=number, required={"readings": ("streams", "alerts")})
            assert log.earliest(WATER, 0) <= min(needed.values())
            audited(log)
    for offsets in groups.values():
        offsets.close()


def test_a_topic_may_have_an_age_of_its_own_in_all_its_generations(log: CommitLog, clock: Hands) -> None:
    fill(log, clock, WATER, 10)
    log.begin_anew(WATER, 2)
    fill(log, clock, WATER, 10)
    fill(log, clock, BACKLOG, 10)
    run(log, older_than_us=12, max_bytes=None, required={}, topics_us={WATER: 25})
    assert log.bounds(f"{WATER}@0", 0) == (5, 10)
    assert log.bounds(WATER, 0) == (0, 10)
    assert log.bounds(BACKLOG, 0) == (0, 10)
    run(log, older_than_us=5, max_bytes=None, required={}, topics_us={WATER: 30})
    assert log.bounds(f"{WATER}@0", 0) == (5, 10)
    assert log.bounds(BACKLOG, 0) == (5, 10)
    audited(log)
