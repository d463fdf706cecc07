"""SQLite files of the log: made whole or not at all, opened with pragmas that make a commit durable,
and errors that say what to do. The only file of this package that knows SQLite's codes.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zhiwei.errors import Retryable, StorageFull, ZhiweiError

BUSY_S = 10.0
"""How long a transaction waits for another process's before it gives up."""

PAGE_BYTES = 8192
"""SQLite's 4096 costs 30 % more disk for records of 1 kB and a p99 of 5 ms, not 0.7 ms, for 40 kB."""

_WAL_KEPT = 64 * 1024 * 1024
"""After one large transaction the WAL file is cut back to this many bytes."""


class LogDamaged(ZhiweiError):  # noqa: N818 - states what is the case, like its siblings in zhiwei.errors
    """A file is not what we wrote. Nothing was changed."""


def create(file: Path, *, application: int, version: int, schema: str) -> None:
    """Make the file unless it exists. Another process sees it complete or not at all.

    Raises StorageFull, or ZhiweiError where the directory cannot be written.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        if file.exists():
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with told(file):
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                db.execute(f"PRAGMA page_size={PAGE_BYTES}")
                db.execute("PRAGMA journal_mode=WAL")
                _make_durable(db)
                db.executescript(
                    f"PRAGMA application_id={application}; PRAGMA user_version={version};"
                    f"BEGIN; {schema}; COMMIT;"
                )
            finally:
                db.close()  # the last connection moves the WAL into the file
        with suppress(FileExistsError):  # another process was faster: its file counts
            os.link(draft, file)
        _sync_directory(file.parent)
    except OSError as error:
        raise ZhiweiError(f"{file}: cannot be created: {error.strerror}") from None
    finally:
        for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
            with suppress(OSError):
                leftover.unlink()


def connect(file: Path, *, application: int, version: int, kind: str, write: bool) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any thread, one at a time.

    kind: what the file should be, for messages. Raises LogDamaged or ZhiweiError.
    """
    with told(file):
        # Also for reading: a read-only open fails where no other process has the file open.
        db = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if write:
                _make_durable(db)
            else:
                db.execute("PRAGMA query_only=ON")
            (found,) = db.execute("PRAGMA application_id").fetchone()
            (have,) = db.execute("PRAGMA user_version").fetchone()
            if found != application:
                raise LogDamaged(f"{file}: is no {kind}; move it away or choose another data directory")
            if have != version:
                raise ZhiweiError(
                    f"{file}: {kind} of version {have}, this program reads version {version}; "
                    "use the program that wrote it"
                )
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection, file: Path) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT, or nothing at all. Errors as in ``told``."""
    with told(file):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # some errors have rolled back already
                db.execute("ROLLBACK")
            raise


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours: StorageFull, Retryable, LogDamaged, or else ZhiweiError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(file, error) from None
    except UnicodeDecodeError as error:  # a damaged text, or SQLite's own message quoting one
        raise _unreadable(file, error) from None


_REFUSED = {
    # A quota or a size limit of the process is reported as a write error, not as a full disk.
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}


def _named(file: Path, error: sqlite3.Error) -> ZhiweiError:
    code = getattr(error, "sqlite_errorcode", -1)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code in _REFUSED:
        return StorageFull(f"{file}: nothing was written: {error}; free disk space, then go on")
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Retryable(f"{file}: held by another process for more than {BUSY_S:g} s")
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}:
        return _unreadable(file, error)
    return ZhiweiError(f"{file}: {error}")


def _unreadable(file: Path, error: Exception) -> LogDamaged:
    return LogDamaged(f"{file}: cannot be read: {error}; restore it from a copy, or move it away")


def _make_durable(db: sqlite3.Connection) -> None:
    # NORMAL may lose the last commits of a WAL in a power cut; fullfsync is what macOS needs beside it.
    for pragma in ("synchronous=FULL", "fullfsync=ON", "checkpoint_fullfsync=ON"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(f"PRAGMA journal_size_limit={_WAL_KEPT}")


def _sync_directory(directory: Path) -> None:
    """The new name itself must survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
