"""The state store: snapshots of partitions, fenced by epoch, each naming the log it belongs to.

Taking a partition raises its epoch; a save under an older epoch changes nothing and raises Fenced, so a
process that slept through its own replacement can do no harm.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from zhiwei.errors import Fenced, LogMismatch, Retryable
from zhiwei.sql import alone, told

_REBASE_BYTES = 1 << 20

_meta = MetaData()
_partition = Table(
    "partition",
    _meta,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("log", String(64), nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("head", LargeBinary),
)
_chunk = Table(
    "chunk",
    _meta,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
_skip = Table(
    "skip",
    _meta,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("entity", String(200), nullable=False),
    Column("error", String, nullable=False),
)
_gap = Table(
    "gap",
    _meta,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a partition, at the moment it was taken."""

    epoch: int
    applied: int
    """Offset of the last record in the snapshot; -1 = none yet."""
    head: bytes | None
    chunks: list[bytes]
    skips: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of one partition, and of which log."""

    partition: int
    log: str
    partitions: int
    epoch: int
    applied: int
    head: bytes | None
    chunks: list[bytes]


class Skip(msgspec.Struct, frozen=True, array_like=True):
    """A row that is passed over for good, and why."""

    offset: int
    place: int
    entity: str
    error: str


class StateStore:
    """Snapshots in a database. One instance a process; the database is opened by ``zhiwei/sql.py``.

    Its writers queue here: SQLite lets waiting ones try in no order and gives up on who is unlucky for long,
    which 32 partitions on a busy machine were.
    Errors of all calls: Retryable and StorageFull; then whether it happened is not known, and to do it again
    does no harm.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        with self._transaction() as connection:
            alone(connection, "tables of the state store")
            _meta.create_all(connection)

    def take(self, topic: str, partition: int, *, log: str, partitions: int, end: int) -> Kept:
        """Become the owner of a partition under a new epoch, and read what is kept of it.

        log: the log's id; partitions: of the topic; end: the offset that the next record will get.
        Raises LogMismatch, and changes nothing, where the snapshot belongs to another log or another
        partition count, or is ahead of the log.
        """
        with self._transaction() as connection:
            key = (_partition.c.topic == topic) & (_partition.c.partition == partition)
            # Locked: two that take it at once must not both get the same epoch.
            row = connection.execute(select(_partition).where(key).with_for_update()).one_or_none()
            if row is None:
                self._refuse_other_half(connection, topic, log, partitions)
                connection.execute(
                    insert(_partition).values(
                        topic=topic, partition=partition, epoch=1, log=log, partitions=partitions, applied=-1
                    )
                )
                return Kept(1, -1, None, [], [])
            place = f"the state of {topic}/{partition}"
            _refuse_other_log(place, row, log, partitions)
            if row.applied >= end:
                raise LogMismatch(
                    f"{place} has applied offset {row.applied}, the log ends at {end}: "
                    "the log was restored from an older copy; nothing was changed"
                )
            connection.execute(update(_partition).where(key).values(epoch=row.epoch + 1))
            chunks = _chunks(connection, topic, partition)
            skipped = (_skip.c.topic == topic) & (_skip.c.partition == partition)
            skips = connection.execute(select(_skip.c.offset, _skip.c.place).where(skipped)).all()
            return Kept(row.epoch + 1, row.applied, row.head, chunks, [(int(o), int(p)) for o, p in skips])

    def parts(self, topic: str) -> list[Part]:
        """All that is kept of a topic, by partition, without becoming the owner of any."""
        with self._transaction() as connection:
            rows = connection.execute(
                select(_partition).where(_partition.c.topic == topic).order_by(_partition.c.partition)
            ).all()
            return [
                Part(
                    row.partition,
                    row.log,
                    row.partitions,
                    row.epoch,
                    row.applied,
                    row.head,
                    _chunks(connection, topic, row.partition),
                )
                for row in rows
            ]

    def begin_anew(
        self,
        topic: str,
        *,
        retired: str,
        log: str,
        found: Sequence[Part],
        states: Sequence[tuple[bytes, bytes] | None],
    ) -> None:
        """Put other states, head and base each, in the place of a topic's: nothing of its log is applied.

        In one transaction. What was found keeps its heads, and with them its books, under the name
        ``retired``; its rows are now in ``states``, None for a partition without any. Epochs rise above all
        that were. Raises Fenced, and changes nothing, where somebody has taken or saved a partition since.
        """
        with self._transaction() as connection:
            now = connection.execute(
                select(_partition).where(_partition.c.topic == topic).with_for_update()
            ).all()
            if {(row.partition, row.epoch, row.applied) for row in now} != {
                (part.partition, part.epoch, part.applied) for part in found
            }:
                raise Fenced(f"the state of {topic} was taken or saved meanwhile; nothing was changed")
            for table in (_partition, _skip, _gap):
                connection.execute(update(table).where(table.c.topic == topic).values(topic=retired))
            connection.execute(delete(_chunk).where(_chunk.c.topic == topic))
            epoch = 1 + max((part.epoch for part in found), default=0)
            for number, state in enumerate(states):
                head, chunk = state or (None, None)
                key = {"topic": topic, "partition": number}
                connection.execute(
                    insert(_partition).values(
                        **key, epoch=epoch, log=log, partitions=len(states), applied=-1, head=head
                    )
                )
                if chunk is not None:
                    connection.execute(insert(_chunk).values(**key, number=0, body=chunk))

    def look(self, topic: str, partition: int) -> tuple[int, bytes | None]:
        """Applied offset and head of what is kept, without becoming the owner; (-1, None) if nothing is."""
        with self._transaction() as connection:
            key = (_partition.c.topic == topic) & (_partition.c.partition == partition)
            row = connection.execute(select(_partition.c.applied, _partition.c.head).where(key)).one_or_none()
            return (-1, None) if row is None else (int(row.applied), row.head)

    def save(
        self, topic: str, partition: int, *, epoch: int, applied: int, head: bytes, chunk: bytes, base: bool
    ) -> bool:
        """Add a chunk (or begin anew with a base), and move ``applied``, in one transaction.

        Returns whether the next save should be a base: the changes have outgrown it. Raises Fenced.
        """
        with self._transaction() as connection:
            self._move(connection, topic, partition, epoch, applied=applied, head=head)
            mine = (_chunk.c.topic == topic) & (_chunk.c.partition == partition)
            if base:
                connection.execute(delete(_chunk).where(mine))
            number = connection.execute(
                select(func.coalesce(func.max(_chunk.c.number), -1)).where(mine)
            ).scalar_one()
            connection.execute(
                insert(_chunk).values(topic=topic, partition=partition, number=number + 1, body=chunk)
            )
            sizes = connection.execute(
                select(func.length(_chunk.c.body)).where(mine).order_by(_chunk.c.number)
            ).scalars()
            first, *later = [int(size) for size in sizes]
            return sum(later) > max(first, _REBASE_BYTES)

    def skip(self, topic: str, partition: int, *, epoch: int, skips: Sequence[Skip]) -> None:
        """Keep rows that are passed over from now on, also in a replay. Raises Fenced."""
        with self._transaction() as connection:
            self._move(connection, topic, partition, epoch)
            for skip in skips:
                key = (
                    (_skip.c.topic == topic)
                    & (_skip.c.partition == partition)
                    & (_skip.c.offset == skip.offset)
                    & (_skip.c.place == skip.place)
                )
                connection.execute(delete(_skip).where(key))
                connection.execute(
                    insert(_skip).values(
                        topic=topic,
                        partition=partition,
                        offset=skip.offset,
                        place=skip.place,
                        entity=skip.entity,
                        error=skip.error,
                    )
                )

    def name_gap(self, topic: str, partition: int, *, first: int, last: int) -> None:
        """Records that retention took before they were applied."""
        with self._transaction() as connection:
            here = (_gap.c.topic == topic) & (_gap.c.partition == partition) & (_gap.c.first == first)
            connection.execute(delete(_gap).where(here))
            connection.execute(insert(_gap).values(topic=topic, partition=partition, first=first, last=last))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._turn:
            try:
                with self._engine.begin() as connection:
                    yield connection
            except IntegrityError as error:  # another has written the first row of the same place just now
                raise Retryable(f"the state store: {error.orig}") from None
            except DBAPIError as error:
                raise told("the state store", error) from None

    def _refuse_other_half(self, connection: Connection, topic: str, log: str, partitions: int) -> None:
        """A new partition among those of another log or count would begin without what they know of it."""
        for row in connection.execute(select(_partition).where(_partition.c.topic == topic)).all():
            _refuse_other_log(f"the state of {topic}/{row.partition}", row, log, partitions)

    def _move(
        self, connection: Connection, topic: str, partition: int, epoch: int, **values: int | bytes
    ) -> None:
        key = (
            (_partition.c.topic == topic)
            & (_partition.c.partition == partition)
            & (_partition.c.epoch == epoch)
        )
        changed = connection.execute(update(_partition).where(key).values(epoch=epoch, **values))
        if changed.rowcount != 1:
            raise Fenced(f"{topic}/{partition}: epoch {epoch} is over, another owner has taken the partition")


def _chunks(connection: Connection, topic: str, partition: int) -> list[bytes]:
    mine = (_chunk.c.topic == topic) & (_chunk.c.partition == partition)
    return list(connection.execute(select(_chunk.c.body).where(mine).order_by(_chunk.c.number)).scalars())


def _refuse_other_log(place: str, row: Row[Any], log: str, partitions: int) -> None:
    if row.partitions != partitions:
        raise LogMismatch(
            f"{place} was saved with {row.partitions} partitions, the topic has {partitions}: stop "
            f"everything and run: zhiwei repartition {partitions}; nothing was changed"
        )
    if row.log != log:
        raise LogMismatch(f"{place} belongs to log {row.log}, this log is {log}; nothing was changed")
