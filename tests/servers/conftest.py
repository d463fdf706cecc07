"""Something fresh on a server for each test; without the servers nothing here is collected."""

from pathlib import Path
from uuid import uuid4

import pytest

from zhiwei.testing.servers.influxdb import InfluxDB
from zhiwei.testing.servers.installed import missing
from zhiwei.testing.servers.postgres import PostgreSQL


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name.startswith("test_") and missing() else None


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
