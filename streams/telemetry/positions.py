"""How far frames have been written to InfluxDB, and what was lost: a row for each partition of each topic.

In the state database, so that a worker on another machine goes on where one died. What is kept lags behind
InfluxDB and never runs ahead of it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from streams.telemetry.progress import Progress
from zhiwei.errors import Retryable

_meta = MetaData()
_telemetry = Table(
    "telemetry",
    _meta,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("identity", String(64), primary_key=True),
    Column("partitions", Integer, nullable=False),
    Column("following", BigInteger, nullable=False),
    Column("progress", LargeBinary, nullable=False),
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of a topic. A topic that was made anew has another identity."""

    topic: str
    partition: int
    identity: str
    partitions: int


class Positions:
    """Raises Retryable where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._made = False

    def of(self, topic: str) -> dict[Place, Progress]:
        """What is known of a topic, also of those of its name that are gone."""
        with self._told():
            self._make()
            with self._engine.connect() as connection:
                rows = connection.execute(select(_telemetry).where(_telemetry.c.topic == topic)).all()
        return {
            Place(
                topic=row.topic, partition=row.partition, identity=row.identity, partitions=row.partitions
            ): msgspec.json.decode(row.progress, type=Progress)
            for row in rows
        }

    def save(self, reached: Mapping[Place, Progress]) -> None:
        """All or nothing; durable when it returns."""
        with self._told():
            self._make()
            with self._engine.begin() as connection:
                for place, progress in reached.items():
                    key = (
                        (_telemetry.c.topic == place.topic)
                        & (_telemetry.c.partition == place.partition)
                        & (_telemetry.c.identity == place.identity)
                    )
                    connection.execute(delete(_telemetry).where(key))
                    following = progress.stands[place.partition].following
                    body = msgspec.json.encode(progress)
                    connection.execute(
                        insert(_telemetry).values(
                            **msgspec.structs.asdict(place), following=following, progress=body
                        )
                    )

    def _make(self) -> None:
        if not self._made:
            _meta.create_all(self._engine)
            self._made = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise Retryable(f"the state database: {error}") from None
