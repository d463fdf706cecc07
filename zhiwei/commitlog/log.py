"""One file of the log: append, read, create topics, cut off the beginning.

Offsets begin at 0 and rise by exactly one per (topic, partition), whichever process appends: they are
given out inside the write transaction. Each record carries a checksum over its place and its bytes, so
that a reader gives what was appended or says that the file is damaged.
"""

import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from zhiwei.clock import Clock, SystemClock
from zhiwei.commitlog.file import LogDamaged, connect, create, told, transaction
from zhiwei.commitlog.layout import (
    APPLICATION,
    PART,
    SCHEMA,
    VERSION,
    PartitionStatus,
    Trimmed,
    add_partitions,
    checksum,
    file_of,
    generations_in,
)
from zhiwei.commitlog.wake import Bell, Waiter
from zhiwei.contracts import Entry, LogRecord
from zhiwei.errors import StorageFull, ZhiweiError
from zhiwei.generations import named, split

READ_BYTES = 4 * 1024 * 1024
"""A read stops after so many bytes, with at least one record: bounds memory and time."""

TRIM_RECORDS = 200
TRIM_BYTES = 16 * 1024 * 1024
"""What one transaction of ``trim`` deletes at most: it holds the write lock for some milliseconds."""

_REMEDY = "restore the file from a copy, or move the data directory away to begin a new log"


class CommitLog:
    """A LogReader and, with ``writer``, a LogWriter (zhiwei/contracts.py) over ``<directory>/<name>.log``.

    A writer makes the file when there is none; a reader waits for it: until then every topic is
    unknown and ``id`` is empty. Calls block for a disk access: use a thread where a loop runs. They may
    come from several threads; appending does not hold up reading.

    reserve_bytes: free disk space below which nothing is accepted. free_bytes: how to ask for it.
    Errors of all calls: LogDamaged, Retryable (held by another process for long), ZhiweiError.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        writer: bool = False,
        reserve_bytes: int = 0,
        clock: Clock | None = None,
        free_bytes: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free,
    ) -> None:
        self.name = name
        self.file = directory / f"{name}.log"
        self.clock = clock or SystemClock()
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes
        self._may_write = writer
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._write_db: sqlite3.Connection | None = None
        self._read_db: sqlite3.Connection | None = None
        self._parts: dict[tuple[str, int], int] = {}
        self._id = ""
        self._bell, self._waiter = Bell(self.file), Waiter(self.file)
        if writer:
            schema = SCHEMA.format(id=secrets.token_hex(16))
            create(self.file, application=APPLICATION, version=VERSION, schema=schema)
            with self._writing():
                pass  # a file that is not ours is refused here, not at the first append

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of file and sockets; a later call opens them again."""
        with self._write_lock, self._read_lock:
            for db in (self._write_db, self._read_db):
                if db is not None:
                    db.close()
            self._write_db = self._read_db = None
            self._id, self._parts = "", {}  # of the file that was open
            self._bell.close()
            self._waiter.close()

    # ------------------------------------------------------------------ writing

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make the topic; nothing happens when it exists with as many partitions.

        Raises ZhiweiError when it has another number, or belongs to the other log.
        """
        if file_of(topic) != self.name:
            raise ZhiweiError(f"topic {topic!r} belongs to {file_of(topic)}.log, not to {self.file}")
        if partitions < 1:
            raise ZhiweiError(f"topic {topic!r}: partitions = {partitions}: expected at least 1")
        with self._writing() as db:
            (have,) = db.execute("SELECT count(*) FROM partitions WHERE topic = ?", (topic,)).fetchone()
            if have == partitions:
                return
            if have:
                raise ZhiweiError(
                    f"topic {topic!r} in {self.file} has {have} partitions, not {partitions}: set "
                    f"log.partitions = {have}, or stop everything and run: zhiwei repartition {partitions}"
                )
            add_partitions(db, topic, partitions)
        self._bell.ring()

    def begin_anew(self, topic: str, partitions: int) -> None:
        """See ``contracts.TopicLog``. One transaction; records stay where they are, under another name."""
        with self._writing() as db:
            (have,) = db.execute("SELECT count(*) FROM partitions WHERE topic = ?", (topic,)).fetchone()
            if have == partitions:
                return
            if have:
                retired = named(topic, generations_in(db, topic)[-1])
                db.execute("UPDATE partitions SET topic = ? WHERE topic = ?", (retired, topic))
            add_partitions(db, topic, partitions)
        with self._write_lock, self._read_lock:
            self._parts = {}
        self._bell.ring()

    def physical(self, topic: str) -> str:
        """The same."""
        return topic

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """Offsets given, in order. When it returns, the records survive a power cut.

        One transaction: all or nothing. Raises StorageFull when the disk is full or its reserve is
        reached, ZhiweiError for a topic or partition that does not exist.
        """
        if not entries:
            return []
        offsets: list[int] = []
        rows: list[tuple[int, int, int, bytes]] = []
        with self._writing() as db:
            self._refuse_below_reserve(db, sum(len(entry.value) for entry in entries))
            now = self.clock.now_us()
            ends: dict[int, int] = {}
            sizes: dict[int, int] = {}
            topics: dict[int, str] = {}
            for entry in entries:
                part = self._part(db, entry.topic, entry.partition)
                if part is None:
                    where = f"partition {entry.partition} of topic {entry.topic!r}"
                    raise ZhiweiError(f"{self.file}: there is no {where}: create the topic first")
                if part not in ends:
                    _, ends[part] = self._bounds(db, part)
                    sizes[part], topics[part] = 0, entry.topic
                key = part * PART + ends[part]
                rows.append((key, now, checksum(key, entry.value), entry.value))
                offsets.append(ends[part])
                ends[part] += 1
                sizes[part] += len(entry.value)
            db.executemany("INSERT INTO records (id, at, crc, value) VALUES (?, ?, ?, ?)", rows)
            # Its cursor must be gone before the lock is: the end of one resets a statement that others share.
            changed = db.executemany(
                "UPDATE partitions SET appended = appended + ?1 - next, next = ?1, bytes = bytes + ?2"
                " WHERE part = ?3 AND topic = ?4",
                [(end, sizes[part], part, topics[part]) for part, end in ends.items()],
            ).rowcount
            if changed != len(ends):
                self._parts = {}
                raise ZhiweiError(f"{self.file}: a topic was begun anew meanwhile; start this process again")
        self._bell.ring()
        return offsets

    def trim(
        self,
        topic: str,
        partition: int,
        *,
        below: int,
        before_us: int | None = None,
        most_bytes: int | None = None,
    ) -> Trimmed:
        """Delete from the beginning on, in one short transaction; call again while there is more.

        below: no record at or above this offset. before_us: only what was appended earlier.
        most_bytes: stop once so much was deleted. ``retain`` decides on these.
        """
        with self._writing() as db:
            part = self._part(db, topic, partition)
            if part is None:
                return Trimmed(0, 0, more=False)
            rows = db.execute(
                "SELECT id, at, length(value) FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (part * PART, part * PART + below, TRIM_RECORDS),
            ).fetchall()
            size, last, more = 0, -1, len(rows) == TRIM_RECORDS
            for key, at, length in rows:
                too_young = before_us is not None and at >= before_us
                if too_young or (most_bytes is not None and size >= most_bytes):
                    more = False
                    break
                if size >= TRIM_BYTES:
                    more = True
                    break
                size, last = size + length, key
            if last < 0:
                return Trimmed(0, 0, more=False)
            deleted = db.execute(
                "DELETE FROM records WHERE id >= ? AND id <= ?", (part * PART, last)
            ).rowcount
            db.execute(
                "UPDATE partitions SET earliest = ?, deleted = deleted + ?, bytes = bytes - ? WHERE part = ?",
                (last - part * PART + 1, deleted, size, part),
            )
        return Trimmed(deleted, size, more)

    # ------------------------------------------------------------------ reading

    @property
    def id(self) -> str:
        """Of this log, made at random with the file; empty while there is no file."""
        if not self._id:
            with self._reading() as db:
                if db is not None:
                    row = db.execute("SELECT id FROM log").fetchone()
                    if row is None or not isinstance(row[0], str):
                        raise LogDamaged(f"{self.file}: damaged, it has lost its id; {_REMEDY}")
                    self._id = row[0]
        return self._id

    def identity(self, topic: str) -> str:
        """``id``, with the generation behind it where the topic was begun anew."""
        bare, number = split(topic)
        if number is None:
            number = (self.generations(bare) or (0,))[-1]
        return f"{self.id}.{number}" if number else self.id

    def generations(self, topic: str) -> tuple[int, ...]:
        """See ``contracts.LogReader``."""
        with self._reading() as db:
            return () if db is None else generations_in(db, topic)

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        """Records from offset on, in order, at most so many or 4 MiB; none at the end.

        Below ``earliest`` it begins there. Raises LogDamaged rather than give a wrong record.
        """
        with self._reading() as db:
            if db is None or (part := self._part(db, topic, partition)) is None:
                return []
            earliest, end = self._bounds(db, part)
            first = part * PART + max(offset, earliest)
            rows = db.execute(
                "SELECT id, crc, value FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (first, part * PART + end, most),
            )
            records: list[LogRecord] = []
            size = 0
            with closing(rows):  # or an error on its way up would keep the file's state of now alive
                for expected, (key, crc, value) in enumerate(rows, start=first):
                    if key != expected or not isinstance(value, bytes) or crc != checksum(key, value):
                        raise self._damaged(topic, partition, expected - part * PART)
                    records.append(LogRecord(offset=key - part * PART, value=value))
                    size += len(value)
                    if size >= READ_BYTES:
                        break
            return records

    def earliest(self, topic: str, partition: int) -> int:
        """The lowest offset that is kept, equal to ``end`` when nothing is."""
        return self.bounds(topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will get."""
        return self.bounds(topic, partition)[1]

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """``earliest`` and ``end`` of the same moment; (0, 0) for an unknown partition."""
        with self._reading() as db:
            if db is None or (part := self._part(db, topic, partition)) is None:
                return 0, 0
            return self._bounds(db, part)

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 if there is no such topic."""
        return self.topics().get(topic, 0)

    def topics(self) -> dict[str, int]:
        """Topic → partitions."""
        with self._reading() as db:
            if db is None:
                return {}
            return dict(db.execute("SELECT topic, count(*) FROM partitions GROUP BY topic ORDER BY topic"))

    def status(self) -> list[PartitionStatus]:
        """Every partition, for audit and retention."""
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(
                "SELECT topic, partition, earliest, next, appended, deleted, bytes,"
                " (SELECT at FROM records WHERE id >= part * ?1 AND id < (part + 1) * ?1 ORDER BY id LIMIT 1)"
                " FROM partitions ORDER BY topic, partition",
                (PART,),
            )
            return [PartitionStatus(*row) for row in rows]

    def count(self, topic: str, partition: int) -> int:
        """Records found in the file, one by one: reads all of it, for audit only."""
        with self._reading() as db:
            if db is None or (part := self._part(db, topic, partition)) is None:
                return 0
            (found,) = db.execute(
                "SELECT count(*) FROM records WHERE id >= ? AND id < ?", (part * PART, (part + 1) * PART)
            ).fetchone()
            return int(found)

    async def changed(self, timeout_s: float) -> None:
        """Returns when something may have been appended, at the latest after so long.

        Ask, then wait: what came in between ends the wait at once. For one task per object.
        """
        await self._waiter.changed(timeout_s)

    def wait(self, timeout_s: float) -> None:
        """``changed`` for code without an event loop."""
        self._waiter.wait(timeout_s)

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self._may_write:
            raise ZhiweiError(f"{self.file}: was opened for reading")
        with self._write_lock:
            if self._write_db is None:
                self._write_db = self._connect(write=True)
            with transaction(self._write_db, self.file):
                yield self._write_db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """One consistent view of the file, or None while it does not exist."""
        with self._read_lock:
            if self._read_db is None and self.file.exists():
                self._read_db = self._connect(write=False)
            db = self._read_db
            if db is None:
                yield None
                return
            with told(self.file):
                db.execute("BEGIN")
                try:
                    yield db
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")

    def _connect(self, *, write: bool) -> sqlite3.Connection:
        return connect(self.file, application=APPLICATION, version=VERSION, kind="Zhiwei log", write=write)

    def _part(self, db: sqlite3.Connection, topic: str, partition: int) -> int | None:
        """Number of the partition; when it is first used, its ends are held against its records."""
        key = topic, partition
        if key not in self._parts:
            row = db.execute("SELECT part FROM partitions WHERE topic = ? AND partition = ?", key).fetchone()
            if row is None:
                return None
            part = row[0]  # from the index: the table must agree
            found = db.execute("SELECT topic, partition FROM partitions WHERE part = ?", (part,)).fetchone()
            if found != key:
                raise LogDamaged(f"{self.file}: damaged in its list of partitions; {_REMEDY}")
            earliest, end = self._bounds(db, part)
            lowest, highest = db.execute(
                "SELECT (SELECT min(id) FROM records WHERE id >= ?1 AND id < ?2),"
                " (SELECT max(id) FROM records WHERE id >= ?1 AND id < ?2)",
                (part * PART, (part + 1) * PART),
            ).fetchone()
            kept = (None, None) if earliest == end else (part * PART + earliest, part * PART + end - 1)
            if (lowest, highest) != kept:
                raise self._damaged(topic, partition, earliest)
            self._parts[key] = part
        return self._parts[key]

    def _bounds(self, db: sqlite3.Connection, part: int) -> tuple[int, int]:
        row = db.execute("SELECT earliest, next FROM partitions WHERE part = ?", (part,)).fetchone()
        match row:
            case (int(earliest), int(end)) if 0 <= earliest <= end:
                return earliest, end
        raise LogDamaged(f"{self.file}: damaged in its list of partitions; {_REMEDY}")

    def _damaged(self, topic: str, partition: int, offset: int) -> LogDamaged:
        return LogDamaged(
            f"{self.file}: damaged at topic {topic!r}, partition {partition}, offset {offset}; {_REMEDY}"
        )

    def _refuse_below_reserve(self, db: sqlite3.Connection, size: int) -> None:
        free = self._free_bytes(self.file.parent)
        if free >= self._reserve_bytes:
            return
        # What retention deleted is used again without asking the disk for more.
        (pages,) = db.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        if pages * page_bytes < 2 * size + 64 * page_bytes:
            raise StorageFull(
                f"{self.file}: {free} bytes free on the disk, below the reserve of {self._reserve_bytes}: "
                "nothing was written; free disk space or lower log.reserve_bytes"
            )
