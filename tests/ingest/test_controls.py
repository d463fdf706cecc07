from datetime import UTC, datetime

import pytest

from ingest import controls
from zhiwei.contracts import Entry
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.types import Control, Tick

POLICY = Control(kind="policy", version="1", body="limit = 1")
REGISTRY = Control(kind="registry", version="1", body="{}")
TICK = Entry("readings.water", 0, controls.encode(Tick(clock="live", time=datetime(2024, 5, 1, tzinfo=UTC))))


def due(log: MemoryLog, *wanted: Control, partitions: int = 1) -> list[Entry]:
    return controls.due(log, {"water": wanted}, partitions)


def entry(control: Control, partition: int = 0) -> Entry:
    return Entry("readings.water", partition, controls.encode(control))


def test_an_empty_log_gets_all_of_them_in_every_partition() -> None:
    assert due(MemoryLog(), POLICY, REGISTRY, partitions=2) == [
        entry(POLICY, 0),
        entry(REGISTRY, 0),
        entry(POLICY, 1),
        entry(REGISTRY, 1),
    ]


def test_what_stands_there_already_is_not_appended_again() -> None:
    log = MemoryLog()
    log.append(due(log, POLICY, REGISTRY))
    log.append([Entry("readings.water", 0, b"\xff\xff\xff\xff frame"), TICK] * 300)
    assert due(log, POLICY, REGISTRY) == []


@pytest.mark.parametrize("change", [{"version": "2"}, {"body": "limit = 2"}])
def test_only_the_newest_of_a_kind_counts(change: dict[str, str]) -> None:
    log = MemoryLog()
    changed = Control(**{"kind": "policy", "version": POLICY.version, "body": POLICY.body, **change})  # type: ignore[arg-type]
    log.append([entry(POLICY), entry(REGISTRY)])
    assert due(log, changed, REGISTRY) == [entry(changed)]
    log.append([entry(changed)])
    assert due(log, changed, REGISTRY) == []
    assert due(log, POLICY, REGISTRY) == [entry(POLICY)]


def test_a_forget_record_is_no_policy() -> None:
    log = MemoryLog()
    log.append([entry(POLICY), entry(Control(kind="forget", version="1", body="a"))])
    assert due(log, POLICY) == []


def test_the_search_ends_and_a_record_too_far_back_is_written_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controls, "BACK_MOST", 500)
    log = MemoryLog()
    log.append([entry(POLICY), *[TICK] * 499])
    assert due(log, POLICY) == []
    log.append([TICK])
    assert due(log, POLICY) == [entry(POLICY)]
