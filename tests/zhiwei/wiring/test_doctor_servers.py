"""The doctor tells a server that is away from one that refuses us and one that is set up otherwise."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zhiwei.kafka import Layout
from zhiwei.settings import Database, Log, Mqtt, Settings, Streams
from zhiwei.settings import Kafka as Cluster
from zhiwei.wiring import doctor_servers as servers

WATER = Streams(scenarios=("water",))
OURS = ("readings.water", "backlog.water", "findings", "findings.urgent")


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port that takes one message and answers it."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                came.append(link.recv(1000))
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], came
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "verdict", "found"),
    [
        (b"\x20\x02\x00\x00", "ok", "lets us in"),
        (b"\x20\x02\x00\x04", "fail", "refuses us: user name or password"),
        (b"\x20\x02\x00\x05", "fail", "refuses us: not authorized"),
        (b"\x20\x02\x00\x03", "fail", "refuses us: code 3"),
        (b"HTTP/1.1 400 Bad Request\r\n", "fail", "does not speak MQTT"),
        (b"", "fail", "does not speak MQTT"),
    ],
)
def test_a_broker_is_judged_by_its_answer_to_a_connect(answer: bytes, verdict: str, found: str) -> None:
    with answering(answer) as (port, came):
        check = servers.broker(Mqtt(embedded=False, port=port, username="zw", password="p" * 200))
    assert (check.verdict, found in check.found) == (verdict, True)
    assert "p" * 200 not in check.found
    assert bool(check.advice) == (verdict == "fail")
    # Fixed header with a length of two bytes, protocol, level 4, user + password + clean session.
    assert came[0][0] == 0x10
    assert came[0][1] & 0x80
    assert came[0][3:11] == b"\x00\x04MQTT\x04\xc2"
    assert came[0].endswith(b"p" * 200)


def test_a_broker_that_is_away_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = servers.broker(Mqtt(embedded=False, port=port))
    assert check.verdict == "fail"
    assert "connection refused" in check.found


@pytest.mark.parametrize(
    ("brokers", "replication", "verdict"), [(3, 3, "ok"), (1, 1, "warn"), (1, 3, "fail"), (2, 3, "fail")]
)
def test_a_cluster_must_have_a_broker_for_each_copy(brokers: int, replication: int, verdict: str) -> None:
    check = servers.cluster(Layout(brokers, {}), replication)
    assert check.verdict == verdict
    assert bool(check.advice) == (verdict != "ok")


@pytest.mark.parametrize(
    ("topics", "verdict", "found"),
    [
        ({}, "ok", "4 of 4 are still to be made"),
        (dict.fromkeys(OURS, (3, 3)), "ok", "all 4"),
        ({**dict.fromkeys(OURS, (3, 3)), "findings": (3,)}, "fail", "findings has 1 partitions, [log]"),
        ({**dict.fromkeys(OURS, (3, 3)), "readings.water": (3, 2)}, "warn", "readings.water has 2 copies"),
        ({**dict.fromkeys(OURS, (3, 3)), "somebody-elses": (1,)}, "ok", "all 4"),
    ],
)
def test_topics_must_be_as_the_settings_say(
    topics: dict[str, tuple[int, ...]], verdict: str, found: str
) -> None:
    settings = Settings(streams=WATER, log=Log(partitions=2), kafka=Cluster(servers="k:9092", replication=3))
    check = servers.topics(Layout(3, topics), settings)
    assert (check.verdict, check.found.startswith(found)) == (verdict, True)


@pytest.mark.parametrize(
    ("version", "may_create", "verdict"),
    [(15, True, "ok"), (17, True, "ok"), (14, True, "warn"), (15, False, "fail")],
)
def test_a_postgres_must_let_us_make_tables(version: int, may_create: bool, verdict: str) -> None:
    check = servers.postgres_found(version, may_create=may_create)
    assert check.verdict == verdict
    assert bool(check.advice) == (verdict != "ok")


def test_a_postgres_that_is_away_is_said_so_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql://zhiwei@127.0.0.1:{port}/zhiwei"
    check = servers.postgres(Settings(database=Database(url=url, password="geheim")))
    assert check.verdict == "fail"
    assert "refused" in check.found.lower()
    assert "geheim" not in check.found
