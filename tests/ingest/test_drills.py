"""Drills on their way into the log: one to every partition that a live source feeds, and no row of them."""

from typing import Any

import msgspec
import pytest

from ingest import drills
from ingest.codecs.json import JsonCodec
from ingest.intake import Closed, Intake
from ingest.quarantine import TOPIC
from ingest.service import Service
from zhiwei import registry
from zhiwei.clock import MICROS, SystemClock, to_datetime, to_us
from zhiwei.ids import partition_of
from zhiwei.mqtt_packets import QOS_1
from zhiwei.mqtt_receiver import Block
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Drill as DrillSettings
from zhiwei.settings import Log, Mqtt, Settings, Source, Streams
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.testing.scripted_broker import ScriptedBroker
from zhiwei.types import ControlRecord, Drill, Reason, Rejection

NOW = 1_714_528_800_000_000
DEADLINE_S = 30.0
SCHEMAS = {
    "water": Schema(scenario="water", version=1, channels=(Channel(name="ph"),)),
    "elevator": Schema(scenario="elevator", version=1, channels=(Channel(name="sos", trigger=True),)),
}
LIVE_AND_SIMULATED = (
    Source(name="played", topics="zw/v1/water/#", clock="simulated"),
    Source(name="live", topics="zw/v1/#"),
)


def settings(**more: Any) -> Settings:
    return Settings(**{"log": Log(partitions=3), "streams": Streams(scenarios=tuple(SCHEMAS)), **more})


def places(**more: Any) -> list[tuple[str, int]]:
    return [(one.log_topic, one.partition) for one in drills.places(settings(**more), SCHEMAS)]


def every(topic: str) -> list[tuple[str, int]]:
    return [(topic, partition) for partition in range(3)]


def taken(topic: str, payload: bytes, arrived: int = NOW) -> Closed:
    one = Intake(settings(), SCHEMAS, JsonCodec(), b"zw/canary/rx")
    one.take(Block(1, arrived, [(topic.encode(), payload, 1, QOS_1)]))
    return one.close()


# ------------------------------------------------------------------ where they go


def test_every_partition_of_fresh_and_urgent_readings_is_drilled() -> None:
    topics = ("readings.water", "readings.elevator", "urgent.elevator")
    assert sorted(places()) == sorted(place for topic in topics for place in every(topic))


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 64])
def test_a_drill_goes_by_a_name_that_belongs_to_its_partition(partitions: int) -> None:
    for one in drills.places(settings(log=Log(partitions=partitions)), SCHEMAS):
        assert partition_of(one.topic.split("/")[3], partitions) == one.partition


def test_no_simulated_source_is_drilled_and_none_that_takes_other_topics() -> None:
    assert sorted(places(sources=LIVE_AND_SIMULATED)) == sorted(
        [*every("urgent.elevator"), *every("readings.elevator")]
    )
    assert places(sources=LIVE_AND_SIMULATED[:1]) == []
    assert places(sources=(Source(name="live", topics="zw/v1/water/station-b/#"),)) == []


def test_without_an_interval_there_are_none() -> None:
    assert places(drill=DrillSettings(every_s=0)) == []


# ------------------------------------------------------------------ when


def test_a_round_is_due_once_an_interval_and_what_was_not_sent_goes_with_the_next() -> None:
    to = drills.places(settings(), SCHEMAS)
    rounds = drills.Rounds(to, 30.0)
    assert not rounds.waiting(1000.0)
    assert not rounds.waiting(1029.0)
    waiting = rounds.waiting(1030.0)
    assert list(waiting) == list(to)
    waiting.popleft()
    assert list(rounds.waiting(1031.0)) == list(to[1:])
    assert list(rounds.waiting(1060.0)) == list(to)


# ------------------------------------------------------------------ into the log


def test_a_drill_is_one_record_of_its_kind_in_its_partition_and_no_row() -> None:
    for place in drills.places(settings(), SCHEMAS):
        out = taken(place.topic, drills.message(NOW - MICROS))
        (entry,) = out.entries
        expected = Drill(topic=place.log_topic, partition=place.partition, sent=to_datetime(NOW - MICROS))
        assert (entry.topic, entry.partition) == (place.log_topic, place.partition)
        assert msgspec.json.decode(entry.value, type=Drill) == expected
        assert not out.rows


def test_a_drill_of_tomorrow_was_sent_when_it_came() -> None:
    (place, *_) = drills.places(settings(), SCHEMAS)
    (entry,) = taken(place.topic, drills.message(NOW + 86_400 * MICROS)).entries
    assert to_us(msgspec.json.decode(entry.value, type=Drill).sent) == NOW


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b'{"ph":7.5}', b'{"sent":"now"}', b'{"sent":1,"ph":7}', b'{"sent":1e99}']
)
def test_what_is_no_drill_and_speaks_for_a_reserved_name_is_quarantined(payload: bytes) -> None:
    (place, *_) = drills.places(settings(), SCHEMAS)
    (entry,) = taken(place.topic, payload).entries
    rejection = msgspec.json.decode(entry.value, type=Rejection)
    assert (entry.topic, rejection.reason) == (TOPIC, Reason.WRONG_TYPE)
    assert "'zhiwei.drill.' are reserved" in rejection.detail


def test_what_is_sent_to_the_broker_comes_back_into_every_partition() -> None:
    clock, log, scenario = SystemClock(), MemoryLog(), registry.scenario("elevator")
    with ScriptedBroker(echo="zw/") as broker:
        chosen = Settings(
            mqtt=Mqtt(port=broker.port, client_id="rx"),
            log=Log(partitions=4),
            streams=Streams(scenarios=("elevator",)),
            drill=DrillSettings(every_s=0.05),
        )
        service = Service(chosen, {"elevator": scenario.schema}, log, clock, backoff_s=(0.01, 0.05))
        wanted = {(topic, n) for topic in ("readings.elevator", "urgent.elevator") for n in range(4)}
        deadline_s = clock.monotonic_s() + DEADLINE_S
        while not wanted <= {place for place in log.records if _drilled(log, place)}:
            assert clock.monotonic_s() < deadline_s
            service.turn()
        service.close()
    assert not log.values(TOPIC)


def _drilled(log: MemoryLog, place: tuple[str, int]) -> bool:
    found = [msgspec.json.decode(record.value, type=ControlRecord) for record in log.records[place]]
    return any(isinstance(one, Drill) and (one.topic, one.partition) == place for one in found)
