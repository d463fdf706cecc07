"""The owner of SQLAlchemy's engine: one way to open a database, durable at each commit."""

import sqlite3
import time
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, OperationalError

from zhiwei.clock import Clock, SystemClock
from zhiwei.errors import ConfigError, Retryable, StorageFull, ZhiweiError
from zhiwei.settings import Settings

_CONNECT_S = 5
"""A PostgreSQL that does not answer for so long is not there."""
_IDLE_MS = 10_000
"""A process that keeps others waiting and sends nothing for so long hangs: no call of ours takes a second."""
_ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A server that is cut off is noticed within 25 s, and not after the system's two hours."""
_RESTED_S = 1.0
"""A connection that was used within this time is taken to be there."""
_MODE_TRIES, _MODE_PAUSE_S = 100, 0.05
"""How often, and how far apart, a new SQLite file is asked for WAL mode while another process makes it."""


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


def open_engine(url: str, clock: Clock | None = None) -> Engine:
    """An engine for this URL; a commit is durable when it returns. clock: the system's, where none is given.

    SQLite: WAL, foreign keys on, patient with a second process; ``synchronous=FULL``, as in WAL mode NORMAL
    may lose the last commits in a power cut. Transactions begin IMMEDIATE, so that two writers wait for each
    other in place of failing half way. PostgreSQL: a connection that the server has closed while it was not
    used is noticed before it is used again.
    """
    if url.startswith("postgresql"):
        engine = create_engine(url, connect_args={"connect_timeout": _CONNECT_S} | _ALIVE)
        _ask_after_a_rest(engine, clock or SystemClock())
        return engine
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            connection.execute("PRAGMA busy_timeout=10000")
            _write_ahead(connection)
            for pragma in ("synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _ask_after_a_rest(engine: Engine, clock: Clock) -> None:
    """Connections that have rested are asked whether they are still there; asking each time would be one more
    way to the server and back for each transaction."""

    @event.listens_for(engine, "checkin")
    def _rests(_connection: object, record: Any) -> None:
        record.info["rests_since_s"] = clock.monotonic_s()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, record: Any, _proxy: object) -> None:
        now_s = clock.monotonic_s()
        if now_s - record.info.get("rests_since_s", now_s) < _RESTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError(str(error)) from error  # the pool opens another


def _write_ahead(connection: sqlite3.Connection) -> None:
    """WAL mode. Where several processes make a new file at once, SQLite refuses all but one at once: the
    change of mode does not wait for ``busy_timeout``."""
    for _ in range(_MODE_TRIES):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_MODE_PAUSE_S)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")


def alone(connection: Connection, what: str) -> None:
    """Wait until nobody else is in a transaction under this name; held until this one ends.

    For processes that start at once and would all make the same tables, or change the same incidents. One
    that stands still, or is cut off, loses its transaction after a while, and lets the others in. SQLite
    needs no such thing: its transactions begin IMMEDIATE.
    """
    if connection.dialect.name == "postgresql":
        idle = func.set_config("idle_in_transaction_session_timeout", str(_IDLE_MS), True)
        connection.execute(select(idle, func.pg_advisory_xact_lock(_lock_number(what))))


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ``on_conflict_do_update``: both databases can, each in its own dialect."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def told(database: str, error: DBAPIError) -> ZhiweiError:
    """What a database's error means to us: Retryable, StorageFull or, where a person must look, ZhiweiError.

    database: its name, for people.
    """
    said = f"{database}: {error.orig}"
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        # PostgreSQL is away, starting, shutting down or out of space, or has cut the connection: it goes on.
        passing = isinstance(error, OperationalError) or error.connection_invalidated
        return Retryable(said) if passing else ZhiweiError(said)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return StorageFull(f"{said}; nothing was written: free disk space, then it goes on by itself")
    if code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Retryable(f"{said}; another process holds it")
    return ZhiweiError(said)


class Turn:
    """A name in a PostgreSQL database that one process holds at a time, while its connection lives."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._number = engine, _lock_number(name)
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Whether it is ours, now or still; asks the server. Raises Retryable where that does not answer.

        A server that was started again has forgotten who held it; whoever asks first has it then.
        """
        try:
            if self._connection is not None:
                self._connection.execute(select(1))
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.execute(select(func.pg_try_advisory_lock(self._number))).scalar_one():
                self._connection = connection
                return True
            connection.close()
        except DBAPIError as error:
            self.release()
            raise told("the lock in the database", error) from None
        return False

    def release(self) -> None:
        """Let another have it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # not back into the pool: the lock belongs to the session
            connection.close()


def _lock_number(name: str) -> int:
    return crc32(f"zhiwei {name}".encode())
