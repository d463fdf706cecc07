"""Waiting log records of one partition, laid out as one batch of rows in log order.

Frames are decoded and put one behind the other; ticks between them become part of each row's
``engine``: the engine time that stood before it. What cannot be decoded is refused by record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from streams.engine import rounds
from zhiwei import frames
from zhiwei.clock import to_us
from zhiwei.contracts import Array, Floats, Ints, LogRecord
from zhiwei.schema import Schema
from zhiwei.types import Control, ControlRecord, Drill, Flag, Tick

_control = msgspec.json.Decoder(ControlRecord)
LIVE = 0
"""Number of the live clock."""
NO_TIME = -(1 << 62)  # before any time; a latency can be taken off it without overflow


@dataclass(slots=True)
class Clocks:
    """Engine time of each clock in a partition: the highest ``arrived`` or tick read from the log."""

    names: list[str] = field(default_factory=lambda: ["live"])
    now: list[int] = field(default_factory=lambda: [NO_TIME])

    def number(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
            self.now.append(NO_TIME)
        return self.names.index(name)

    def pass_to(self, number: int, time: int) -> None:
        """Engine time never goes back."""
        self.now[number] = max(self.now[number], time)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is neither a frame nor a control record of a version known here."""

    offset: int
    value: bytes
    detail: str


@dataclass(slots=True)
class Batch:
    """(n,) arrays in log order. ``entity_name`` and ``device_name`` index the two lists of names.

    A device is called ``entity/device``: two gateways may use one device id for two entities.
    """

    entities: list[str]
    entity_name: npt.NDArray[np.int64]
    devices: list[str]
    device_name: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int16]
    ts: Ints
    arrived: Ints
    engine: Ints
    """Engine time that stood before the row, on the row's clock."""
    flags: npt.NDArray[np.uint16]
    values: Floats
    """(n, channels) in canonical order."""
    text: dict[str, Array]
    channels: tuple[str, ...]
    offset: Ints
    place: npt.NDArray[np.int64]
    """Place of the row in its frame."""
    key: Array
    """(n,) uint64 hash of the row's content."""

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of rows, or a control record between two runs."""

    body: Batch | Control
    offset: int
    """The last one that it covers."""
    now: list[int]
    """Engine time of each clock behind it."""


def is_frame(value: bytes) -> bool:
    """Control records and ticks are JSON objects; a frame begins with Arrow's continuation mark."""
    return not value.startswith(b"{")


@dataclass(slots=True)
class Cut:
    """Records, cut at control records."""

    segments: list[Segment] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    drills: list[Drill] = field(default_factory=list)


def cut(schema: Schema, records: Sequence[LogRecord], clocks: Clocks, known: tuple[str, ...]) -> Cut:
    """Cut records at control records; between two of them all rows are one batch.

    known: channels seen before, which every batch has. clocks: moved by ticks and rows as they are read.
    Each run has the channels of those before it. Ticks behind the last row live on in ``clocks``.
    """
    done = Cut()
    run: list[tuple[int, frames.Columns, Ints]] = []

    def close(offset: int) -> None:
        nonlocal known
        if run:
            rows = _joined(schema, run, clocks, known)
            done.segments.append(Segment(rows, offset, list(clocks.now)))
            known = rows.channels
            run.clear()

    for record in records:
        try:
            if is_frame(record.value):
                columns = frames.decode(schema, record.value)
                run.append((record.offset, columns, _engine_before(columns, clocks)))
                continue
            control = _control.decode(record.value)
        except (frames.BadFrame, msgspec.DecodeError) as error:
            done.unreadable.append(Unreadable(record.offset, record.value, str(error)))
            continue
        if isinstance(control, Tick):
            clocks.pass_to(clocks.number(control.clock), to_us(control.time))
        elif isinstance(control, Drill):
            done.drills.append(control)
        else:
            close(record.offset)
            done.segments.append(Segment(control, record.offset, list(clocks.now)))
    if records:
        close(records[-1].offset)
    return done


def _engine_before(columns: frames.Columns, clocks: Clocks) -> Ints:
    """Running maximum of ``arrived`` before each row; moves the clock past the frame. Copies of old rows do
    not move it: they tell of another time."""
    clock = clocks.number(columns.clock)
    running = np.empty(len(columns) + 1, np.int64)
    running[0] = clocks.now[clock]
    running[1:] = np.where(columns.own, columns.arrived, NO_TIME)
    np.maximum.accumulate(running, out=running)
    clocks.pass_to(clock, int(running[-1]))
    return running[:-1]


def _joined(
    schema: Schema,
    run: list[tuple[int, frames.Columns, Ints]],
    clocks: Clocks,
    known: tuple[str, ...],
) -> Batch:
    numeric = set(known)
    textual: set[str] = set()
    for _, columns, _ in run:
        for name in columns.channels:
            channel = schema.channel(name)
            (textual if channel is not None and channel.dtype in ("utf8", "list") else numeric).add(name)
    channels = tuple(sorted(numeric, key=schema.order))
    rows = sum(len(columns) for _, columns, _ in run)
    values = np.full((rows, len(channels)), np.nan)
    text = {name: np.full(rows, None, dtype=object) for name in sorted(textual)}
    entities: dict[str, int] = {}
    devices: dict[str, int] = {}
    entity, device = np.empty(rows, np.int64), np.empty(rows, np.int64)
    clock = np.empty(rows, np.int16)
    place_of = {name: place for place, name in enumerate(channels)}
    start = 0
    for _, columns, _ in run:
        here = slice(start, start + len(columns))
        entity[here] = renumbered(columns.entities, entities)[columns.entity]
        device[here] = renumbered(columns.devices, devices)[columns.device]
        clock[here] = clocks.number(columns.clock)
        for name, (column, valid) in columns.channels.items():
            if name in text:
                text[name][here][valid] = column[valid]
            else:
                values[here, place_of[name]] = np.where(valid, column, np.nan)
        start = here.stop
    flags = np.concatenate([columns.flags for _, columns, _ in run])
    pairs, pair = np.unique(entity * len(devices) + device, return_inverse=True)
    entity_names, device_names = list(entities), list(devices)
    return Batch(
        entities=entity_names,
        entity_name=entity,
        devices=[
            f"{entity_names[p // len(devices)]}/{device_names[p % len(devices)]}" for p in pairs.tolist()
        ],
        device_name=pair,
        clock=clock,
        ts=np.concatenate([columns.ts for _, columns, _ in run]),
        arrived=np.concatenate([columns.arrived for _, columns, _ in run]),
        engine=np.concatenate([engine for _, _, engine in run]),
        flags=flags,
        values=values,
        text=text,
        channels=channels,
        offset=np.concatenate([np.full(len(columns), offset, np.int64) for offset, columns, _ in run]),
        place=np.concatenate([np.arange(len(columns)) for _, columns, _ in run]),
        # A copy of what came in time before is a redelivery of it.
        key=rounds.content_key(flags & ~np.uint16(Flag.HISTORICAL), values, text, channels),
    )


def renumbered(names: list[str], table: dict[str, int]) -> npt.NDArray[np.int64]:
    """The number of each name in ``table``, which learns those that it has not."""
    return np.array([table.setdefault(name, len(table)) for name in names], np.int64)
