"""What ``zhiwei doctor`` asks of the servers: is it there, does it let us in, is it as the settings say.

Each server is asked as its client will ask it, and nothing is made or changed there.
"""

import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from streams.telemetry.influx import Influx
from zhiwei import registry
from zhiwei.errors import ZhiweiError
from zhiwei.kafka import KafkaLog, Layout
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, lanes_of, log_topic
from zhiwei.settings import Influx as InfluxSettings
from zhiwei.settings import Mqtt, Settings
from zhiwei.sql import open_database
from zhiwei.wiring.check import Check, Verdict, why

_ANSWER_S = 5.0
_POSTGRES_TESTED = 15
"""The first major version that it was tested with."""
_CLIENT_ID = b"zhiwei-doctor"


# ------------------------------------------------------------------ MQTT


def broker(mqtt: Mqtt) -> Check:
    """A broker of others: whether it takes a CONNECT with our name and password (MQTT 3.1.1, 3.1 and 3.2)."""
    place = f"{mqtt.host}:{mqtt.port}"
    try:
        with socket.create_connection((mqtt.host, mqtt.port), timeout=_ANSWER_S) as link:
            link.settimeout(_ANSWER_S)
            link.sendall(_connect(mqtt))
            answer = _received(link, 4)
    except OSError as error:
        advice = "start the broker, or correct [mqtt] host and port"
        return Check(name="broker", verdict=Verdict.FAIL, found=f"{place}: {why(error)}", advice=advice)
    if len(answer) < 4 or answer[0] != 0x20:
        advice = "correct [mqtt] host and port: what listens there is no MQTT broker"
        return Check(
            name="broker", verdict=Verdict.FAIL, found=f"{place} does not speak MQTT 3.1.1", advice=advice
        )
    if code := answer[3]:
        refused = {4: "user name or password", 5: "not authorized"}.get(code, f"code {code}")
        advice = "correct [mqtt] username and password, or the broker's own list of them"
        return Check(
            name="broker", verdict=Verdict.FAIL, found=f"{place} refuses us: {refused}", advice=advice
        )
    return Check(name="broker", verdict=Verdict.OK, found=f"{place} lets us in")


def _connect(mqtt: Mqtt) -> bytes:
    """CONNECT with a clean session: nothing is left behind at the broker."""
    flags, fields = 0x02, [_CLIENT_ID]
    if mqtt.username:
        flags |= 0x80
        fields.append(mqtt.username.encode())
        if mqtt.password:
            flags |= 0x40
            fields.append(mqtt.password.encode())
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + struct.pack("!H", mqtt.keepalive_s)
    body += b"".join(struct.pack("!H", len(field)) + field for field in fields)
    length, left = bytearray(), len(body)
    while True:
        left, low = left >> 7, left & 0x7F
        length.append(low | (0x80 if left else 0))
        if not left:
            return b"\x10" + bytes(length) + body


def _received(link: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    found = b""
    while len(found) < size and (more := link.recv(size - len(found))):
        found += more
    return found


# ------------------------------------------------------------------ Kafka


def kafka(settings: Settings) -> Iterator[Check]:
    """Whether the cluster answers, and its topics are as the settings say."""
    try:
        with KafkaLog(settings.kafka) as log:
            layout = log.layout()
    except ZhiweiError as error:
        advice = "start Kafka, or correct [kafka] servers; advertised.listeners must be reachable from here"
        yield Check(name="Kafka", verdict=Verdict.FAIL, found=str(error), advice=advice)
        return
    yield cluster(layout, settings.kafka.replication)
    yield topics(layout, settings)


def cluster(layout: Layout, replication: int) -> Check:
    """Whether there are brokers enough for the copies that are wanted."""
    found = f"{layout.brokers} brokers, [kafka] replication = {replication}"
    if layout.brokers < replication:
        advice = f"start {replication - layout.brokers} more brokers, or lower [kafka] replication"
        return Check(name="Kafka", verdict=Verdict.FAIL, found=found, advice=advice)
    if replication == 1:
        advice = "with one copy a lost disk loses records: run three brokers and set replication = 3"
        return Check(name="Kafka", verdict=Verdict.WARN, found=found, advice=advice)
    return Check(name="Kafka", verdict=Verdict.OK, found=found)


def topics(layout: Layout, settings: Settings) -> Check:
    """Whether those of our topics that are there have the partitions and copies of the settings."""
    wanted = {
        log_topic(lane, name)
        for name in settings.streams.scenarios
        for lane in lanes_of(registry.scenario(name).schema)
    } | {FINDINGS, FINDINGS_URGENT}
    for topic in sorted(wanted & layout.topics.keys()):
        copies = layout.topics[topic]
        if len(copies) != settings.log.partitions:
            found = f"{topic} has {len(copies)} partitions, [log] partitions = {settings.log.partitions}"
            advice = (
                f"set [log] partitions = {len(copies)}, where entities have their state, or stop everything "
                f"and run: zhiwei repartition {settings.log.partitions}"
            )
            return Check(name="Kafka topics", verdict=Verdict.FAIL, found=found, advice=advice)
        if min(copies) < settings.kafka.replication:
            found = f"{topic} has {min(copies)} copies, [kafka] replication = {settings.kafka.replication}"
            advice = "give the topic more copies with kafka-reassign-partitions"
            return Check(name="Kafka topics", verdict=Verdict.WARN, found=found, advice=advice)
    if missing := wanted - layout.topics.keys():
        found = f"{len(missing)} of {len(wanted)} are still to be made, at the first start"
        return Check(name="Kafka topics", verdict=Verdict.OK, found=found)
    return Check(name="Kafka topics", verdict=Verdict.OK, found=f"all {len(wanted)} are as they should be")


# ------------------------------------------------------------------ PostgreSQL


def postgres(settings: Settings) -> Check:
    """Whether it lets us in, is of a version that was tested, and lets us make our tables."""
    try:
        engine = open_database(settings, "events")
        try:
            with engine.connect() as connection:
                version, may = connection.execute(
                    text(
                        "SELECT current_setting('server_version_num')::int / 10000, "
                        "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
                    )
                ).one()
        finally:
            engine.dispose()
    except ZhiweiError as error:
        return Check(
            name="PostgreSQL", verdict=Verdict.FAIL, found=str(error), advice="correct [database] url"
        )
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        advice = "start PostgreSQL, let this user in (pg_hba.conf), or correct [database] url and password"
        return Check(
            name="PostgreSQL", verdict=Verdict.FAIL, found=said[0] if said else "no answer", advice=advice
        )
    return postgres_found(version, may_create=may)


def postgres_found(version: int, *, may_create: bool) -> Check:
    """version: the major one. may_create: tables, in the schema that we are in."""
    found = f"version {version}, {'may' if may_create else 'may not'} make tables"
    if not may_create:
        advice = "as its owner: GRANT CREATE ON SCHEMA public TO the user of [database] url"
        return Check(name="PostgreSQL", verdict=Verdict.FAIL, found=found, advice=advice)
    if version < _POSTGRES_TESTED:
        advice = f"it was tested with {_POSTGRES_TESTED} and later: upgrade, or try it out first"
        return Check(name="PostgreSQL", verdict=Verdict.WARN, found=found, advice=advice)
    return Check(name="PostgreSQL", verdict=Verdict.OK, found=found)


# ------------------------------------------------------------------ InfluxDB


def influx(settings: InfluxSettings) -> Check:
    """Whether it is there, and answers a question in Flux about the bucket with our token. Writes nothing."""
    parts = urlsplit(settings.url)
    address = (parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80))
    try:
        socket.create_connection(address, timeout=_ANSWER_S).close()
    except OSError as error:
        found = f"{settings.url}: {why(error)}"
        advice = "start InfluxDB, or correct [influx] url: until then telemetry waits and charts are empty"
        return Check(name="InfluxDB", verdict=Verdict.FAIL, found=found, advice=advice)
    try:
        with Influx(settings) as server:
            server.ask(f'from(bucket: "{settings.bucket}") |> range(start: -1s) |> limit(n: 1)')
    except ZhiweiError as error:
        advice = (
            f"make the bucket {settings.bucket!r} there, or correct [influx] url, token, org and bucket; "
            "InfluxDB 1.8 needs flux-enabled = true, a token of the form user:password, and as bucket "
            "database/retention policy"
        )
        return Check(name="InfluxDB", verdict=Verdict.FAIL, found=str(error), advice=advice)
    return Check(name="InfluxDB", verdict=Verdict.OK, found=f"{settings.url} has bucket {settings.bucket}")
