"""One server of each kind for the session, and something fresh on it for each test.

Without the servers these tests do not run on somebody's laptop, and one line says so; where CI is set they
run and fail.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from zhiwei.testing.servers.influxdb import InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import Missing, Server

SERVERS: tuple[type[Server], ...] = (Kafka, Mosquitto, InfluxDB, PostgreSQL)


@cache
def _missing() -> tuple[str, ...]:
    """What is not installed; empty where CI is set, as there it is a failure and no excuse."""
    found = []
    for server in SERVERS if not os.environ.get("CI") else ():
        try:
            server.find()
        except Missing as missing:
            found.append(str(missing))
    return tuple(found)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name.startswith("test_") and _missing() else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing():
        terminalreporter.write_line(
            f"Not run: tests/servers, against real servers ({', '.join(_missing())}: make servers)"
        )


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    with InfluxDB(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def fresh() -> str:
    """A name that no other test has: for topics, client ids, databases."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def database(postgres: PostgreSQL, fresh: str) -> str:
    """The SQLAlchemy URL of an empty PostgreSQL database."""
    return postgres.create_database(fresh)


@pytest.fixture
def bucket(influxdb: InfluxDB, fresh: str) -> str:
    """An empty bucket of InfluxDB."""
    return influxdb.create_bucket(fresh)
