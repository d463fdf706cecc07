"""The owner of SQLAlchemy's engine: one way to open a database, with the pragmas that make it durable."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{file}"


def open_engine(url: str) -> Engine:
    """An engine for SQLite: WAL, synced at each commit, foreign keys on, patient with a second process.

    A commit is durable when it returns (``synchronous=FULL``: in WAL mode NORMAL may lose the last
    commits in a power cut). Transactions begin IMMEDIATE, so that two writers wait for each other in
    place of failing half way.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
