"""State as bytes and back: a head, and chunks of rows that are a base or changes to it.

A snapshot names the versions that wrote it; one of a version that is not known is refused, never misread.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from streams.engine.batch import Batch, Clocks
from streams.engine.book import Episode
from streams.engine.engine import Engine
from streams.engine.run import Bins
from streams.engine.table import Table
from zhiwei.contracts import Array, Ints, Scenario
from zhiwei.errors import LogMismatch
from zhiwei.lanes import Lane

VERSION = 2
_READ = (1, 2)
"""Version 1 knew no waiting rows."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to the partition as a whole."""

    version: int
    scenario: str
    schema: int
    policy: str
    registry_version: str
    attributes: dict[str, dict[str, str]]
    channels: tuple[str, ...]
    clocks: list[tuple[str, int]]
    bins: Bins
    waiting: "_Waiting | None" = None


class _Column(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    body: bytes


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are not stepped yet (``reorder``)."""

    entities: list[str]
    devices: list[str]
    channels: tuple[str, ...]
    columns: list[_Column]
    text: dict[str, list[str | tuple[str, ...] | None]]


class _Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one table: names by number, and a column per field."""

    numbers: bytes
    names: list[str]
    columns: list[_Column]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of both tables and the open episodes of their entities, under a head's layout."""

    entities: _Rows
    devices: _Rows
    pages: dict[int, dict[str, Episode]]


def copy_head(engine: Engine) -> bytes:
    """The head of the present state."""
    return msgspec.msgpack.encode(
        Head(
            version=VERSION,
            scenario=engine.scenario.name,
            schema=engine.scenario.schema.version,
            policy=engine.policy.text,
            registry_version=engine.registry_version,
            attributes=engine.attributes,
            channels=engine.channels,
            clocks=list(zip(engine.clocks.names, engine.clocks.now, strict=True)),
            bins=engine.bins,
            waiting=None if engine.waiting is None else _waiting(engine.waiting),
        )
    )


def head_of(head: bytes) -> Head:
    """Read a head. Raises LogMismatch where another version wrote it."""
    try:
        version = msgspec.msgpack.decode(head, type=dict[str, object]).get("version")
        if version not in _READ:
            raise LogMismatch(
                f"a snapshot of version {version}; this release reads versions {', '.join(map(str, _READ))}"
            )
        return msgspec.msgpack.decode(head, type=Head)
    except msgspec.DecodeError as error:
        raise LogMismatch(f"a snapshot cannot be read: {error}") from None


def copy_rows(engine: Engine, *, everything: bool) -> bytes:
    """The rows changed since the last call, or all of them."""
    entities = engine.entities.changed(everything=everything)
    pages = {int(n): dict(engine.pages[n]) for n in entities.tolist() if n in engine.pages}
    chunk = Chunk(
        entities=_rows(engine.entities, entities),
        devices=_rows(engine.devices, engine.devices.changed(everything=everything)),
        pages=pages,
    )
    return msgspec.msgpack.encode(chunk)


def restore(
    scenario: Scenario,
    head: bytes,
    chunks: Iterable[bytes],
    *,
    site: str,
    topic: str,
    partition: int,
    lane: Lane = Lane.READINGS,
    skips: Sequence[tuple[int, int]] = (),
) -> Engine:
    """The engine that a head and its chunks, base first, describe.

    Raises LogMismatch where they were written by another version or for another scenario.
    """
    said = head_of(head)
    if (said.scenario, said.schema) != (scenario.name, scenario.schema.version):
        raise LogMismatch(
            f"snapshot of {topic}/{partition} was written for {said.scenario} schema {said.schema}, "
            f"this release has {scenario.name} schema {scenario.schema.version}"
        )
    engine = Engine(scenario, site=site, topic=topic, partition=partition, lane=lane)
    engine.restore(
        policy=scenario.policy(said.policy, file=f"policy in the snapshot of {topic}/{partition}"),
        registry=(said.registry_version, said.attributes),
        channels=said.channels,
        clocks=Clocks([name for name, _ in said.clocks], [now for _, now in said.clocks]),
        bins=said.bins,
        waiting=None if said.waiting is None else _batch(said.waiting),
    )
    for body in chunks:
        chunk = msgspec.msgpack.decode(body, type=Chunk)
        _put(engine.entities, chunk.entities)
        _put(engine.devices, chunk.devices)
        engine.pages.update(chunk.pages)
    engine.skips.update(skips)
    engine.rebuild()
    engine.entities.changed()
    engine.devices.changed()
    return engine


_ARRAYS = (
    "entity_name",
    "device_name",
    "clock",
    "ts",
    "arrived",
    "engine",
    "flags",
    "values",
    "offset",
    "place",
    "key",
)
"""Of a batch; texts are kept beside them."""


def _waiting(rows: Batch) -> _Waiting:
    return _Waiting(
        entities=rows.entities,
        devices=rows.devices,
        channels=rows.channels,
        columns=[_column(name, getattr(rows, name)) for name in _ARRAYS],
        text={name: column.tolist() for name, column in rows.text.items()},
    )


def _batch(said: _Waiting) -> Batch:
    arrays = {column.name: _array(column) for column in said.columns}
    text = {}
    for name, words in said.text.items():
        text[name] = np.empty(len(words), object)
        text[name][:] = words
    return Batch(entities=said.entities, devices=said.devices, channels=said.channels, text=text, **arrays)


def _column(name: str, array: Array) -> _Column:
    return _Column(name, array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def _array(column: _Column) -> Array:
    return np.frombuffer(column.body, column.dtype).reshape(column.shape)


def _rows(table: Table, numbers: Ints) -> _Rows:
    columns = [_column(name, array) for name, array in table.take(numbers).items()]
    names = [table.names[number] for number in numbers.tolist()]
    return _Rows(numbers=numbers.tobytes(), names=names, columns=columns)


def _put(table: Table, rows: _Rows) -> None:
    """Write rows into the table; columns of another layout start from their fill."""
    numbers = np.frombuffer(rows.numbers, np.int64)
    table.place(numbers, rows.names)
    arrays = table.take(numbers)
    for column in rows.columns:
        have = arrays.get(column.name)
        if have is not None and have.dtype.str == column.dtype and have.shape == column.shape:
            arrays[column.name] = _array(column)
    table.put(numbers, arrays)
