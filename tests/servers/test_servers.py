"""Each server does its work through the client that we use, and keeps what it confirmed through kill -9."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from sqlalchemy import text

from zhiwei.clock import SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.mqtt_receiver import Receiver
from zhiwei.settings import Mqtt
from zhiwei.sql import open_engine
from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import HOST

DEADLINE_S = 60.0
CLOCK = SystemClock()

START_AND_WAIT = """
import sys, time
from pathlib import Path
from zhiwei.testing.servers.mosquitto import Mosquitto
with Mosquitto(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


def until(so: Callable[[], object]) -> None:
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not so():
        assert CLOCK.monotonic_s() < deadline_s
        time.sleep(0.02)


# ------------------------------------------------------------------ Kafka


async def produce(kafka: Kafka, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def consume(kafka: Kafka, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]


async def create_topic(kafka: Kafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


def test_kafka_keeps_what_it_confirmed_through_a_kill(kafka: Kafka, fresh: str) -> None:
    async def before() -> list[bytes]:
        await create_topic(kafka, fresh)
        await produce(kafka, fresh, b"\x00one", b"two")
        return await consume(kafka, fresh, 2)

    async def after() -> list[bytes]:
        await produce(kafka, fresh, b"three")
        return await consume(kafka, fresh, 3)

    assert asyncio.run(asyncio.wait_for(before(), DEADLINE_S)) == [b"\x00one", b"two"]
    kafka.restart()
    assert asyncio.run(asyncio.wait_for(after(), DEADLINE_S)) == [b"\x00one", b"two", b"three"]


# ------------------------------------------------------------------ PostgreSQL


def test_postgres_keeps_what_it_committed_through_a_kill(postgres: PostgreSQL, database: str) -> None:
    engine = open_engine(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE reading (place text, level double precision)"))
        connection.execute(
            text("INSERT INTO reading VALUES (:place, :level)"), {"place": "泵房", "level": 0.5}
        )
    engine.dispose()
    postgres.restart()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT place, level FROM reading")).all() == [("泵房", 0.5)]
    engine.dispose()


# ------------------------------------------------------------------ Mosquitto


def receive(receiver: Receiver, count: int) -> list[bytes]:
    """Receive and acknowledge so many messages."""
    found: list[bytes] = []
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while len(found) < count:
        assert CLOCK.monotonic_s() < deadline_s
        block = receiver.receive(0.02)
        found += [payload for _, payload, _, _ in block.messages]
        receiver.acknowledge(block.link, [packet for _, _, packet, _ in block.messages])
    return found


def test_mosquitto_keeps_a_session_through_a_kill(mosquitto: Mosquitto, fresh: str) -> None:
    settings = Mqtt(host=HOST, port=mosquitto.port, client_id=fresh)
    receiver = Receiver(settings, [f"{fresh}/#"], CLOCK)
    until(lambda: not receiver.receive(0.02).messages and receiver.ready)
    with Publisher(host=HOST, port=mosquitto.port, client_id=f"{fresh}-gateway") as publisher:
        publisher.publish(f"{fresh}/lift", b"one")
        publisher.flush()
        assert receive(receiver, 1) == [b"one"]
        receiver.close()
        publisher.publish(f"{fresh}/lift", b"two")
        publisher.flush()
    sessions = mosquitto.folder / "mosquitto.db"
    until(lambda: sessions.exists() and b"two" in sessions.read_bytes())
    mosquitto.restart()
    receiver = Receiver(settings, [f"{fresh}/#"], CLOCK)
    assert receive(receiver, 1) == [b"two"]
    receiver.close()


# ------------------------------------------------------------------ InfluxDB


def levels(client: InfluxDBClient, bucket: str) -> list[float]:
    """What a question in Flux finds in the bucket."""
    question = f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._field == "level")'
    return [row.get_value() for table in client.query_api().query(question) for row in table.records]


def test_influxdb_keeps_what_it_confirmed_through_a_kill(influxdb: InfluxDB, bucket: str) -> None:
    with InfluxDBClient(influxdb.url, TOKEN, org=ORG) as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        writer.write(bucket, record=Point("water").tag("entity", "station-b").field("level", 0.5).time(1))
        assert levels(client, bucket) == [0.5]
        influxdb.restart()
        assert levels(client, bucket) == [0.5]


# ------------------------------------------------------------------ as processes


def test_a_paused_server_answers_when_it_is_resumed(postgres: PostgreSQL) -> None:
    engine = open_engine(postgres.url)
    with engine.connect() as connection, ThreadPoolExecutor() as pool:
        connection.execute(text("SELECT 1"))
        postgres.pause()
        asked = pool.submit(lambda: connection.execute(text("SELECT 7")).scalar_one())
        with pytest.raises(TimeoutError):
            asked.result(0.5)
        postgres.resume()
        assert asked.result(DEADLINE_S) == 7
    engine.dispose()


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        server = int(starter.stdout.readline())
        starter.kill()
    until(lambda: not alive(server))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    (tmp_path / "mosquitto.conf").write_text("no_such_setting\n")
    with pytest.raises(AssertionError, match="no_such_setting"):
        broker.start()
    assert not broker.running
