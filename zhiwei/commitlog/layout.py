"""How a log file is laid out: tables, keys, checksums, and what is told about a partition."""

import sqlite3
from dataclasses import dataclass
from zlib import crc32

from zhiwei.generations import split

APPLICATION = 0x5A57_4C47  # "ZWLG"
VERSION = 1

PART = 1 << 44
"""Records are keyed by part number × 2^44 + offset: 17 million million records a partition."""

SCHEMA = """
CREATE TABLE log (id TEXT NOT NULL);
CREATE TABLE partitions (
    part INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    earliest INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
    appended INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    value BLOB NOT NULL
);
INSERT INTO log (id) VALUES ('{id}')
"""


_OF_INGEST = frozenset({"readings", "urgent", "backlog", "quarantine"})


def file_of(topic: str) -> str:
    """The log that holds a topic, by its first segment: ``readings`` or ``findings``."""
    return "readings" if topic.split(".", 1)[0] in _OF_INGEST else "findings"


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """What the log has written down of a partition: end - earliest + deleted == appended.

    ``CommitLog.count`` is the independent half of the audit: it equals end - earliest.
    """

    topic: str
    partition: int
    earliest: int
    end: int
    appended: int
    deleted: int
    bytes: int
    """Of the records kept, payload only."""
    oldest_us: int | None
    """When the oldest record kept was appended; None where there is none."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What one step of ``trim`` deleted."""

    records: int
    bytes: int
    more: bool
    """The step's own limit ended it: there is more to delete by the same rule."""


def checksum(key: int, value: bytes) -> int:
    """CRC-32 over a record's place and bytes: a record that stands elsewhere is damaged too."""
    return crc32(value, crc32(key.to_bytes(8, "big")))


def add_partitions(db: sqlite3.Connection, topic: str, partitions: int) -> None:
    """Write down a topic that is not there."""
    rows = [(topic, number) for number in range(partitions)]
    db.executemany("INSERT INTO partitions (topic, partition) VALUES (?, ?)", rows)


def generations_in(db: sqlite3.Connection, topic: str) -> tuple[int, ...]:
    """Of a topic, oldest first; the one under the bare name is the newest."""
    names = {name for (name,) in db.execute("SELECT DISTINCT topic FROM partitions")}
    retired = sorted(number for bare, number in map(split, names) if bare == topic and number is not None)
    newest = (retired[-1] + 1 if retired else 0,) if topic in names else ()
    return (*retired, *newest)
