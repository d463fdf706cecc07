"""Consumer groups: how far each has come, and which process may consume.

A group's offsets are in a file of its own, written by its one consumer only: reading a log never means
writing to it.
"""

import asyncio
import fcntl
import os
import re
import sqlite3
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from zhiwei.commitlog.file import connect, create, told, transaction
from zhiwei.commitlog.layout import file_of
from zhiwei.commitlog.log import CommitLog
from zhiwei.errors import LogMismatch, ZhiweiError
from zhiwei.generations import all_of

APPLICATION = 0x5A57_4752  # "ZWGR"
VERSION = 1

_LOCK_POLL_S = 0.1  # a blocking flock cannot be cancelled, and a take-over may take this much longer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_SCHEMA = """
CREATE TABLE offsets (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    log TEXT NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID
"""


STREAMS = "zhiwei-streams"
"""The group that steps readings."""
ALERTS = "zhiwei-alerts"
"""The group that folds findings."""


class GroupOffsets:
    """How far one group has come, in ``<directory>/groups/<group>.db``; directory is the log's.

    An offset is the next to be read, and belongs to the log it was committed for. Any process may ask,
    one commits. Calls block for a disk access and may come from several threads.
    """

    def __init__(self, directory: Path, group: str) -> None:
        self.group = group
        self.file = _place(directory, group, "db")
        self._logs = {name: CommitLog(directory, name) for name in ("readings", "findings")}
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def commit(self, topic: str, partition: int, next_offset: int) -> None:
        """Durable when it returns. Raises StorageFull, LogDamaged, Retryable, ZhiweiError."""
        self.commit_all({(topic, partition): next_offset})

    def commit_all(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Several (topic, partition) at once: all or none."""
        rows = [
            (topic, partition, offset, self._logs[file_of(topic)].identity(topic))
            for (topic, partition), offset in offsets.items()
        ]
        create(self.file, application=APPLICATION, version=VERSION, schema=_SCHEMA)
        with self._lock, transaction(self._connection(), self.file):
            self._connection().executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", rows)

    def committed(self, topic: str, partition: int) -> int | None:
        """The next offset to be read; None before the first commit to this generation of the topic.

        Raises LogMismatch when the offset was committed for another log, or lies beyond this one's end.
        """
        if not self.file.exists():
            return None
        with self._lock, told(self.file):
            row = (
                self._connection()
                .execute(
                    "SELECT next, log FROM offsets WHERE topic = ? AND partition = ?", (topic, partition)
                )
                .fetchone()
            )
        if row is None:
            return None
        offset, belongs_to = row
        log = self._logs[file_of(topic)]
        if belongs_to != (identity := log.identity(topic)):
            earlier = [log.identity(name) for name in all_of(log, topic)[:-1]]
            if belongs_to in earlier:
                return None
            self._refuse(f"they are for log {belongs_to}, {log.file} is log {identity or '(none)'}")
        if offset > (end := log.end(topic, partition)):
            self._refuse(f"they stand at {topic}/{partition}/{offset}, {log.file} ends at {end}")
        return int(offset)

    def close(self) -> None:
        """Let go of the files; a later call opens them again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
        for log in self._logs.values():
            log.close()

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = connect(
                self.file, application=APPLICATION, version=VERSION, kind="Zhiwei group file", write=True
            )
        return self._db

    def _refuse(self, difference: str) -> NoReturn:
        raise LogMismatch(
            f"offsets of group {self.group!r} do not fit the log: {difference}. Restore the log they belong "
            f"to, or remove {self.file} to begin at the first record kept"
        )


class GroupLock:
    """Held by the one process that consumes for a group; it ends with the process, however that ends."""

    def __init__(self, directory: Path, group: str) -> None:
        self.file = _place(directory, group, "lock")
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        """Whether it is ours now."""
        return self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def acquire(self) -> None:
        """Wait as long as it takes."""
        self._flock(fcntl.LOCK_EX)

    async def acquire_soon(self) -> None:
        """Wait as long as it takes; can be cancelled."""
        while not self.try_acquire():  # noqa: ASYNC110 - another process lets go of it
            await asyncio.sleep(_LOCK_POLL_S)

    def release(self) -> None:
        """Let another process in."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _held.discard(self)

    def _flock(self, how: int) -> bool:
        if self._handle is not None:
            return True
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ZhiweiError(f"{self.file}: cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        _held.add(self)
        return True


_held: weakref.WeakSet[GroupLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked worker shares its parent's locks, and would keep them when the parent is killed."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)


def _place(directory: Path, group: str, ending: str) -> Path:
    if _NAME.fullmatch(group) is None:
        raise ZhiweiError(f"group {group!r}: expected 1 to 100 letters, digits, '.', '_' or '-'")
    return directory / "groups" / f"{group}.{ending}"
