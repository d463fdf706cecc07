"""What all tests share: no verdict on time, which belongs to the machine and its neighbours; and one real
server of each kind for the session, started when a test first asks for it.

Without the servers the tests that need them do not run on somebody's laptop, and one line says so; where CI
is set they run and fail.
"""

from collections.abc import Iterator

import hypothesis
import pytest
from sqlalchemy import text

from zhiwei.sql import open_engine
from zhiwei.testing.servers.influxdb import InfluxDB
from zhiwei.testing.servers.installed import missing
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL

hypothesis.settings.register_profile("zhiwei", deadline=None)
hypothesis.settings.load_profile("zhiwei")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing():
        lacking = ", ".join(missing())
        terminalreporter.write_line(f"Not run: tests against real servers ({lacking}: make servers)")


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
def shared_database(postgres: PostgreSQL) -> str:
    """The SQLAlchemy URL of a database for tests of a store, which empty it first: to make one is slow."""
    return postgres.create_database("shared")


@pytest.fixture
def emptied_database(shared_database: str) -> str:
    """The URL of a PostgreSQL database without tables."""
    engine = open_engine(shared_database)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return shared_database


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgres")) as server:
        yield server
