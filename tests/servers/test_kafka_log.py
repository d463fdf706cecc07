"""The log on a real Kafka: what the embedded log promises its readers, and what is Kafka's own."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from zhiwei.contracts import Entry
from zhiwei.errors import ConfigError, Retryable, ZhiweiError
from zhiwei.kafka import KafkaLog
from zhiwei.settings import Kafka as Settings
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.process import free_port

TOPIC = "readings.water"
OpenLog = Callable[[], KafkaLog]


@pytest.fixture
def open_log(kafka: Kafka, fresh: str) -> Iterator[OpenLog]:
    """Another client of one and the same log each time; all are closed."""
    opened: list[KafkaLog] = []

    def make() -> KafkaLog:
        opened.append(KafkaLog(Settings(servers=kafka.bootstrap, prefix=f"{fresh}.")))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: OpenLog) -> KafkaLog:
    log = open_log()
    log.create_topic(TOPIC, 2)
    return log


def append(log: KafkaLog, *values: bytes, partition: int = 0) -> list[int]:
    return log.append([Entry(TOPIC, partition, value) for value in values])


def read(log: KafkaLog, offset: int, *, partition: int = 0, most: int = 500) -> list[tuple[int, bytes]]:
    return [(one.offset, one.value) for one in log.read(TOPIC, partition, offset, most=most)]


def test_offsets_are_dense_and_what_was_appended_is_read_back_in_order(log: KafkaLog) -> None:
    assert append(log, b"a", b"b") == [0, 1]
    assert append(log, b"c", partition=1) == [0]
    assert append(log, b"d") == [2]
    assert read(log, 0) == [(0, b"a"), (1, b"b"), (2, b"d")]
    assert read(log, 0, partition=1) == [(0, b"c")]
    assert log.bounds(TOPIC, 0) == (0, 3)


def test_a_read_goes_on_ends_and_goes_back(log: KafkaLog) -> None:
    append(log, *(b"%d" % n for n in range(10)))
    assert read(log, 0, most=3) == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert read(log, 3, most=2) == [(3, b"3"), (4, b"4")]
    assert read(log, 1, most=1) == [(1, b"1")]
    assert [offset for offset, _ in read(log, 2)] == list(range(2, 10))
    assert read(log, 10) == []


def test_whoever_waits_at_the_end_gets_what_another_appends(log: KafkaLog, open_log: OpenLog) -> None:
    append(log, b"a")
    reader = open_log()
    assert read(reader, 0) == [(0, b"a")]
    assert read(reader, 1) == []

    async def run() -> None:
        async with asyncio.timeout(60):
            waiting = asyncio.create_task(reader.changed(50))
            await asyncio.to_thread(append, log, b"b")
            await waiting
            assert read(reader, 1) == [(1, b"b")]

    asyncio.run(run())


def test_topics_are_those_under_the_prefix(log: KafkaLog, kafka: Kafka, fresh: str) -> None:
    with KafkaLog(Settings(servers=kafka.bootstrap, prefix=f"{fresh}-other.")) as other:
        other.create_topic("findings", 1)
        assert other.topics() == {"findings": 1}
    assert log.topics() == {TOPIC: 2}
    assert (log.partitions(TOPIC), log.partitions("findings"), log.bounds("findings", 0)) == (2, 0, (0, 0))


def test_a_topic_made_again_is_another(log: KafkaLog, open_log: OpenLog) -> None:
    assert log.identity(TOPIC) == open_log().identity(TOPIC) != ""
    log.create_topic("findings", 1)
    assert log.identity("findings") not in {"", log.identity(TOPIC)}
    assert log.identity("setaside") == ""


def test_another_number_of_partitions_is_refused_with_the_way_to_do_it(log: KafkaLog) -> None:
    log.create_topic(TOPIC, 2)
    with pytest.raises(ConfigError, match=r"2 partitions.*expected 3.*set it to 2"):
        log.create_topic(TOPIC, 3)


@pytest.mark.parametrize("place", [("findings", 0), (TOPIC, 2)])
def test_a_record_for_a_place_that_is_not_there_is_refused(log: KafkaLog, place: tuple[str, int]) -> None:
    with pytest.raises(ZhiweiError, match=f"there is no partition {place[1]} of topic"):
        log.append([Entry(*place, b"x")])
    assert append(log, b"goes on") == [0]


def test_more_replicas_than_brokers_are_refused_in_words(kafka: Kafka, fresh: str) -> None:
    with (
        KafkaLog(Settings(servers=kafka.bootstrap, prefix=f"{fresh}.", replication=3)) as log,
        pytest.raises(ZhiweiError, match="cannot be made"),
    ):
        log.create_topic(TOPIC, 1)


def test_a_killed_broker_costs_nothing_that_was_confirmed(tmp_path: Path) -> None:
    with Kafka(tmp_path / "own") as own, KafkaLog(Settings(servers=own.bootstrap)) as log:
        log.create_topic(TOPIC, 1)
        append(log, b"before")
        own.kill()
        with pytest.raises(Retryable, match="not appended"):
            append(log, b"meanwhile")
        own.restart()
        append(log, b"after")
        values = [value for _, value in read(log, 0)]
        assert values[0] == b"before"
        assert values[-1] == b"after"
        assert set(values[1:-1]) <= {b"meanwhile"}  # a produce that timed out may have happened


def test_a_client_that_gets_no_answer_is_given_up_for_another(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhiwei.kafka._ASK_S", 1.0)
    log._admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0})
    with pytest.raises(Retryable, match="does not answer"):
        log.partitions(TOPIC)
    assert log.partitions(TOPIC) == 2


def test_a_topic_begun_anew_is_empty_and_the_one_before_is_read_and_takes_nothing(
    log: KafkaLog, open_log: OpenLog
) -> None:
    append(log, b"first")
    asleep = open_log()
    append(asleep, b"second")
    before = log.identity(TOPIC)
    log.begin_anew(TOPIC, 3)
    log.begin_anew(TOPIC, 3)
    assert append(log, b"new", partition=2) == [0]
    other = open_log()
    assert other.topics() == {TOPIC: 3, f"{TOPIC}@0": 2} == log.topics()
    assert other.identity(f"{TOPIC}@0") == before != other.identity(TOPIC)
    assert [one.value for one in other.read(f"{TOPIC}@0", 0, 0)] == [b"first", b"second"]
    assert [one.value for one in other.read(TOPIC, 2, 0)] == [b"new"]
    with pytest.raises(ZhiweiError):
        append(asleep, b"lost")
    assert other.end(f"{TOPIC}@0", 0) == 2


def test_a_topic_may_have_a_retention_of_its_own_also_where_it_is_there_already(
    log: KafkaLog, kafka: Kafka, fresh: str
) -> None:
    settings = Settings(servers=kafka.bootstrap, prefix=f"{fresh}.")
    asked = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def hours(of: KafkaLog, topic: str) -> float:
        resource = ConfigResource(ConfigResource.Type.TOPIC, of.physical(topic))
        found = asked.describe_configs([resource])[resource].result(30)
        return int(found["retention.ms"].value) / 3_600_000

    assert hours(log, TOPIC) == 168.0
    with KafkaLog(settings, keep_hours=24.0, keep_topics={TOPIC: 720.0, "backlog.water": 2.0}) as other:
        for topic in (TOPIC, "backlog.water", "findings"):
            other.create_topic(topic, 2)
        assert [hours(other, one) for one in (TOPIC, "backlog.water", "findings")] == [720, 2, 24]
        other.begin_anew(TOPIC, 3)
        assert (hours(other, TOPIC), hours(other, f"{TOPIC}@0")) == (720, 720)
    # Where nothing is said of it, what it has is left alone.
    log.create_topic("findings", 2)
    assert hours(log, "findings") == 24.0
