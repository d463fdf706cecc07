"""A log, a recorder that can die and begin again, and the history over both, in a folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streams.telemetry.history import SegmentHistory
from streams.telemetry.lane import Limits
from streams.telemetry.recorder import Recorder, open_database
from streams.telemetry.segments import Segment, listed
from zhiwei import frames
from zhiwei.clock import MICROS
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.history import Series
from zhiwei.schema import Channel, Schema

SCHEMA = Schema(
    scenario="test",
    version=1,
    channels=(
        Channel(name="level", unit="m"),
        Channel(name="exact", dtype="float64"),
        Channel(name="floor", dtype="int16"),
        Channel(name="open", dtype="bool"),
        Channel(name="mode", dtype="utf8"),
        Channel(name="codes", dtype="list"),
    ),
    open=True,
)
TOPIC = "readings.test"
START = 1_750_000_000 * MICROS


@dataclass
class Hands:
    """A clock that a test sets."""

    now: int = START

    def now_us(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / MICROS


@dataclass
class Row:
    """One reading, as a test says it."""

    ts: int
    values: dict[str, Any]
    entity: str = "a"
    device: str = "d"
    flags: int = 0
    arrived: int | None = None

    @property
    def at_arrival(self) -> int:
        return self.ts if self.arrived is None else self.arrived


def frame(rows: Sequence[Row], schema: Schema = SCHEMA, clock: str = "live") -> bytes:
    """The rows as ingest would frame them."""
    names = sorted({name for row in rows for name in row.values}, key=schema.order)
    return frames.encode(
        schema,
        entity=[row.entity for row in rows],
        device=[row.device for row in rows],
        ts=[row.ts for row in rows],
        arrived=[row.at_arrival for row in rows],
        flags=[row.flags for row in rows],
        channels={
            name: frames.arrow_column(channel, [row.values.get(name) for row in rows])
            for name in names
            if (channel := schema.channel(name))
        },
        clock=clock,
    )


@dataclass
class Bed:
    """Frames go in by ``write``; ``record`` reads what is there. Test files cannot import this: what they
    need besides hangs on it."""

    data: Path
    partitions: int = 1
    limits: Limits = field(default_factory=Limits)
    clock: Hands = field(default_factory=Hands)

    start = START
    schema = SCHEMA
    topic = TOPIC
    row = Row
    frame = staticmethod(frame)

    def __post_init__(self) -> None:
        self.log = CommitLog(self.data / "log", "readings", writer=True, clock=self.clock)
        self.log.create_topic(TOPIC, self.partitions)
        self.recorder = self.begin()
        self.history = SegmentHistory(self.data, log=self.log, schema_of=lambda _: SCHEMA)

    def begin(self) -> Recorder:
        """A recorder that finds what is durable; the one before is as dead as a killed process."""
        self.recorder = Recorder(self.data, [SCHEMA], self.log, self.clock, limits=self.limits)
        return self.recorder

    def at(self, seconds: float) -> int:
        return START + round(seconds * MICROS)

    def level(self, seconds: float, value: float = 1.0, **more: Any) -> bytes:
        """A frame of one row."""
        return frame([Row(self.at(seconds), {"level": value}, **more)])

    def write(self, *values: bytes, topic: str = TOPIC, partition: int = 0) -> None:
        self.log.append([Entry(topic, partition, value) for value in values])

    def trim(self, below: int) -> None:
        """Retention of the log."""
        self.log.trim(TOPIC, 0, below=below)

    def record(self) -> None:
        """Read all that is there."""
        while self.recorder.step():
            pass

    def close_segment(self) -> None:
        """Read all that is there, and let the time come at which it becomes a segment."""
        self.record()
        self.clock.now += int(self.limits.segment_s * MICROS)
        self.record()

    def ask(self, channel: str = "level", *, start: float = 0, end: float = 3600, step: float | None = None,
            entity: str = "a") -> Series:  # fmt: skip
        """Seconds from the start."""
        return self.history.history(
            "test", entity, channel,
            start_us=self.at(start), end_us=self.at(end),
            step_us=None if step is None else round(step * MICROS),
        )  # fmt: skip

    def segments(self) -> list[Segment]:
        found = []
        for folder in sorted((self.data / "telemetry" / "test").glob("*_*")):
            found += listed(folder)[0]
        return found

    def stored(self, columns: str = '"offset", "row"') -> list[tuple[Any, ...]]:
        """What the segments hold, in order of the log."""
        with open_database(self.data) as connection:
            rows: list[tuple[Any, ...]] = []
            for segment in self.segments():
                rows += connection.execute(
                    f'SELECT {columns} FROM read_parquet($f) ORDER BY "offset", "row"',
                    {"f": str(segment.file)},
                ).fetchall()
        return rows


@pytest.fixture(scope="session")
def beds(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bed]:
    """Makes a bed in a folder of its own: for tests with many examples."""

    def make(**settings: Any) -> Bed:
        return Bed(tmp_path_factory.mktemp("bed"), **settings)

    return make


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    yield made
    made.log.close()
