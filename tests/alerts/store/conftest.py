"""The event store over each kind of database that is here: SQLite, and a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.store.store import Store
from zhiwei.sql import open_engine
from zhiwei.testing.servers.installed import missing

DATABASES = ("sqlite", "postgres") if not missing() else ("sqlite",)


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty event store."""
    if request.param == "sqlite":
        opened = Store.open(tmp_path)
    else:
        opened = Store(open_engine(request.getfixturevalue("emptied_database")))
    yield opened
    opened.close()
