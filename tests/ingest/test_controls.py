from datetime import UTC, datetime

import pytest

from ingest import controls
from zhiwei.contracts import Entry
from zhiwei.schema import Channel, Schema
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.types import Control, Tick

POLICY = Control(kind="policy", version="1", body="limit = 1")
REGISTRY = Control(kind="registry", version="1", body="{}")
WATER = Schema(scenario="water", version=1, channels=(Channel(name="ph"),))
HOME = Schema(scenario="water", version=1, channels=(Channel(name="sos", dtype="bool", trigger=True),))
LANES = ("readings.water", "backlog.water")
TICK = Entry("readings.water", 0, controls.encode(Tick(clock="live", time=datetime(2024, 5, 1, tzinfo=UTC))))


def due(log: MemoryLog, *wanted: Control, partitions: int = 1, schema: Schema = WATER) -> list[Entry]:
    return controls.due(log, {"water": schema}, {"water": wanted}, partitions)


def entries(control: Control) -> list[Entry]:
    return [Entry(topic, 0, controls.encode(control)) for topic in LANES]


def test_an_empty_log_gets_all_of_them_in_every_partition_of_every_lane() -> None:
    assert due(MemoryLog(), POLICY, REGISTRY, partitions=2) == [
        Entry(topic, partition, controls.encode(control))
        for topic in LANES
        for partition in (0, 1)
        for control in (POLICY, REGISTRY)
    ]


def test_the_urgent_lane_of_a_scenario_with_triggers_gets_them_too() -> None:
    assert [entry.topic for entry in due(MemoryLog(), POLICY, schema=HOME)] == [
        "readings.water",
        "urgent.water",
        "backlog.water",
    ]


def test_a_lane_that_is_behind_the_others_is_brought_up_to_them() -> None:
    log = MemoryLog()
    log.append(entries(POLICY)[:1])
    assert due(log, POLICY) == entries(POLICY)[1:]


def test_what_stands_there_already_is_not_appended_again() -> None:
    log = MemoryLog()
    log.append(due(log, POLICY, REGISTRY))
    frame = b"\xff\xff\xff\xff frame"
    log.append([Entry(topic, 0, value) for topic in LANES for value in (frame, TICK.value) * 300])
    assert due(log, POLICY, REGISTRY) == []


@pytest.mark.parametrize("change", [{"version": "2"}, {"body": "limit = 2"}])
def test_only_the_newest_of_a_kind_counts(change: dict[str, str]) -> None:
    log = MemoryLog()
    changed = Control(**{"kind": "policy", "version": POLICY.version, "body": POLICY.body, **change})  # type: ignore[arg-type]
    log.append([*entries(POLICY), *entries(REGISTRY)])
    assert due(log, changed, REGISTRY) == entries(changed)
    log.append(entries(changed))
    assert due(log, changed, REGISTRY) == []
    assert due(log, POLICY, REGISTRY) == entries(POLICY)


def test_a_forget_record_is_no_policy() -> None:
    log = MemoryLog()
    log.append([*entries(POLICY), *entries(Control(kind="forget", version="1", body="a"))])
    assert due(log, POLICY) == []


def test_the_search_ends_and_a_record_too_far_back_is_written_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controls, "BACK_MOST", 500)
    log = MemoryLog()
    log.append([*entries(POLICY), *[TICK] * 499])
    assert due(log, POLICY) == []
    log.append([TICK])
    assert due(log, POLICY) == entries(POLICY)[:1]
