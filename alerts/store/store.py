"""The event store: one database, one transaction a call, in threads: the event loop never waits for a disk.

On SQLite all share one thread, so that folding and dispatch wait for each other in a queue in place of its
lock. PostgreSQL serves several at once: there each line has a thread of its own, and what is to be sent does
not wait for what is being folded.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from alerts.store.migrate import migrate
from zhiwei.errors import ZhiweiError
from zhiwei.settings import Settings
from zhiwei.sql import file_of, open_database, open_engine, sqlite_url, told

T = TypeVar("T")


class Store:
    """An open event store at the tables of this version."""

    def __init__(self, engine: Engine) -> None:
        """Creates or upgrades the tables. Raises ZhiweiError where that cannot be."""
        self._engine = engine
        self._threads: dict[str, ThreadPoolExecutor] = {}
        """By line."""
        try:
            self.transact_here(migrate)
        except ZhiweiError:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Where it is, for people."""
        url = self._engine.url
        return str(url.database) if url.drivername == "sqlite" else url.render_as_string(hide_password=True)

    @classmethod
    def of(cls, settings: Settings) -> "Store":
        """The store that these settings name; created if need be."""
        return cls(open_database(settings, "events"))

    @classmethod
    def open(cls, data: Path) -> "Store":
        """The store of a data directory; created if need be."""
        data.mkdir(parents=True, exist_ok=True)
        return cls(open_engine(sqlite_url(file_of(data, "events"))))

    @classmethod
    def open_existing(cls, data: Path) -> "Store":
        """The store of a data directory. Raises ZhiweiError where there is none."""
        file = file_of(data, "events")
        if not file.is_file():
            raise ZhiweiError(f"no event store at {file}: alerts has not run with this data directory")
        return cls.open(data)

    async def transact(self, call: Callable[[Connection], T], line: str = "") -> T:
        """Run in one transaction: durable when it returns, undone when it raises.

        line: calls of one line follow each other; those of different lines may go side by side.
        A call that has begun is finished even when the caller is cancelled. Raises StorageFull, Retryable
        (another process holds the database for long), ZhiweiError (damaged, not to be opened).
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread(line), self.transact_here, call)

    def _thread(self, line: str) -> ThreadPoolExecutor:
        if self._engine.dialect.name == "sqlite":
            line = ""
        if line not in self._threads:
            made = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alerts-store")
            self._threads.setdefault(line, made)  # the console's thread may have been first
        return self._threads[line]

    def transact_here(self, call: Callable[[Connection], T]) -> T:
        """The same in the calling thread."""
        try:
            with self._engine.begin() as connection:
                return call(connection)
        except IntegrityError:
            raise  # not for people: our own bookkeeping is wrong
        except DBAPIError as error:
            raise told(f"event store {self.name}", error) from None

    def close(self) -> None:
        """Waits for what has begun."""
        for thread in self._threads.values():
            thread.shutdown(wait=True)
        self._engine.dispose()
