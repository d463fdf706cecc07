"""The owner of SQLAlchemy's engine: one way to open a database, durable at each commit."""

from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from zhiwei.errors import ConfigError
from zhiwei.settings import Settings

_CONNECT_S = 5
"""A PostgreSQL that does not answer for so long is not there."""


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{file}"


def file_of(data: Path, name: Literal["events", "state"]) -> Path:
    """The SQLite file of a database in the data directory."""
    return data / f"{name}.sqlite"


def open_database(settings: Settings, name: Literal["events", "state"]) -> Engine:
    """Where incidents (``events``) or snapshots (``state``) are kept: files, or one PostgreSQL for both.

    Raises ConfigError for a URL that names no PostgreSQL.
    """
    if not settings.database.url:
        settings.data.mkdir(parents=True, exist_ok=True)
        return open_engine(sqlite_url(file_of(settings.data, name)))
    try:
        url = make_url(settings.database.url)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        expected = "postgresql://user@host:port/database"
        raise ConfigError(file="settings", key="database.url", value="(hidden)", expected=expected)
    url = url.set(drivername="postgresql+psycopg")
    if settings.database.password:
        url = url.set(password=settings.database.password)
    return open_engine(url.render_as_string(hide_password=False))


def open_engine(url: str) -> Engine:
    """An engine for this URL; a commit is durable when it returns.

    SQLite: WAL, foreign keys on, patient with a second process; ``synchronous=FULL``, as in WAL mode NORMAL
    may lose the last commits in a power cut. Transactions begin IMMEDIATE, so that two writers wait for each
    other in place of failing half way. PostgreSQL: a connection that the server has closed meanwhile is
    noticed before it is used.
    """
    if url.startswith("postgresql"):
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_S})
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
