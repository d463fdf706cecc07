"""The frame: one Arrow record batch (IPC stream) of readings of one scenario, partition and clock.

The one place that knows the format, for those who write it (ingest, replay) and those who read it
(streams, explanations). A frame carries its own schema and dictionaries: any record can be read alone.
Null means missing, never 0; on reading, every channel has a fixed dtype whatever its nulls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zhiwei.contracts import Array, Bools, Ints
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag

VERSION = 1
MOST_BYTES = 512 * 1024
"""A frame never grows beyond this; well under the 1 MB limit of a Kafka record batch."""

_INT64 = pa.int64()
_TIME = pa.timestamp("us", tz="UTC")
_NAMES = pa.dictionary(pa.int32(), pa.utf8())
_ARROW = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int16": pa.int16(),
    "bool": pa.bool_(),
    "utf8": _NAMES,
    "list": pa.list_(_NAMES),
}
_FIXED = {"entity": _NAMES, "device": _NAMES, "ts": _TIME, "arrived": _TIME, "flags": pa.uint16()}
_UNREADABLE = (pa.ArrowException, StopIteration, OSError, ValueError, KeyError, TypeError)
"""What pyarrow raises for bytes that are no frame; a name that is not UTF-8 is a ValueError."""
_FLOAT32_MOST = float(np.finfo(np.float32).max)


class BadFrame(ValueError):  # noqa: N818
    """These bytes are no frame that this version can read; the text says why."""


@dataclass(slots=True)
class Columns:
    """Readings by column. All arrays are (n,); names are indices into the two dictionaries.

    ts, arrived: µs UTC. channels: name → (values, valid); the value of an invalid cell means nothing.
    """

    entities: list[str]
    entity: npt.NDArray[np.int32]
    devices: list[str]
    device: npt.NDArray[np.int32]
    ts: Ints
    arrived: Ints
    flags: npt.NDArray[np.uint16]
    channels: dict[str, tuple[Array, Bools]]
    clock: str = "live"

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def own(self) -> Bools:
        """(n,) rows of this lane; the others are copies of old rows, whose place is the backlog."""
        return np.asarray(self.flags & np.uint16(Flag.HISTORICAL) == 0)


Cell = float | bool | str | Sequence[str] | None
"""What a cell may hold; a sequence of texts for a list channel."""


def arrow_column(channel: Channel, values: Sequence[Cell]) -> pa.Array:
    """Python values as an Arrow column of the channel's type; a float is rounded to the channel's width.

    Raises pa.ArrowException where a value is of another type or does not fit: no fraction is cut off
    an integer channel and no finite number becomes infinite. UnicodeEncodeError for half a surrogate pair.
    """
    try:
        if channel.dtype == "utf8":
            return pa.array(values, pa.utf8()).dictionary_encode()
        if channel.dtype == "list":
            lists = pa.array(values, pa.list_(pa.utf8()))
            return pa.ListArray.from_arrays(
                lists.offsets, lists.values.dictionary_encode(), mask=lists.is_null()
            )
        if channel.dtype == "bool":
            return pa.array(values, pa.bool_())
        try:
            numbers = pa.array(values, pa.float64())
        except pa.ArrowInvalid:  # Arrow refuses whole numbers that a float has to round, we round them
            numbers = pa.array([float(v) if isinstance(v, int) else v for v in values], pa.float64())
        # By way of float64: where Arrow makes integers from objects itself, it cuts 1.5 down to 1.
        column = numbers.cast(_ARROW[channel.dtype])
    except OverflowError as error:
        raise pa.ArrowInvalid(f"channel {channel.name!r}: {error}") from None
    if channel.dtype == "float32" and not pc.is_inf(column).equals(pc.is_inf(numbers)):
        raise pa.ArrowInvalid(f"channel {channel.name!r}: a value is beyond ±{_FLOAT32_MOST:.3g}")
    return column


def encode(
    schema: Schema,
    *,
    entity: Sequence[str],
    device: Sequence[str],
    ts: Sequence[int],
    arrived: Sequence[int],
    flags: Sequence[int],
    channels: Mapping[str, pa.Array],
    clock: str,
    counts: Mapping[str, int] | None = None,
) -> bytes:
    """Bytes of a frame.

    ts, arrived: µs UTC. channels: columns made by ``arrow_column``. clock: ``live``, or the name of a
    simulated source. counts: ingest's counts for the ledger.
    """
    arrays = [
        pa.array(entity, pa.utf8()).dictionary_encode(),
        pa.array(device, pa.utf8()).dictionary_encode(),
        pa.array(ts, pa.int64()).cast(_TIME),
        pa.array(arrived, pa.int64()).cast(_TIME),
        pa.array(flags, pa.uint16()),
        *channels.values(),
    ]
    fields = [
        *(pa.field(name, column) for name, column in _FIXED.items()),
        *(pa.field(name, column.type) for name, column in channels.items()),
    ]
    metadata = {
        "zhiwei.frame": str(VERSION),
        "scenario": schema.scenario,
        "schema": str(schema.version),
        "clock": clock,
        **{f"count.{name}": str(value) for name, value in (counts or {}).items()},
    }
    batch = pa.record_batch(arrays, schema=pa.schema(fields, metadata=metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode(schema: Schema, value: bytes) -> Columns:
    """Read a frame of this scenario. Raises BadFrame for anything else, whatever the bytes.

    The arrays may be read-only views on ``value``.
    """
    try:
        return _columns(schema, value)
    except BadFrame:
        raise
    except _UNREADABLE as error:
        raise BadFrame(f"not an Arrow frame: {error}") from None


def _columns(schema: Schema, value: bytes) -> Columns:
    batch = pa.ipc.open_stream(value).read_next_batch()
    batch.validate(full=True)
    metadata = _metadata(batch)
    for key, want in (("zhiwei.frame", VERSION), ("scenario", schema.scenario), ("schema", schema.version)):
        if (have := metadata.get(key)) != str(want):
            raise BadFrame(f"{key} is {have!r}, this reader knows {str(want)!r}")
    # Columns are found by place: in an open schema a channel may well be called "device" or "flags".
    names, columns = batch.schema.names, batch.columns
    if names[: len(_FIXED)] != list(_FIXED):
        raise BadFrame(f"columns are {names[: len(_FIXED)]}, expected {list(_FIXED)}")
    for (name, want), column in zip(_FIXED.items(), columns, strict=False):
        if column.type != want or column.null_count:
            raise BadFrame(f"{name} is {column.type} with {column.null_count} nulls, expected {want} without")
    entity, device, ts, arrived, flags = columns[: len(_FIXED)]
    for name, column in (("entity", entity), ("device", device)):
        if column.dictionary.null_count:
            raise BadFrame(f"a name of {name} is null")
    channels: dict[str, tuple[Array, Bools]] = {}
    for name, column in zip(names[len(_FIXED) :], columns[len(_FIXED) :], strict=True):
        channel = schema.channel(name)
        if channel is None:
            raise BadFrame(f"channel {name!r} is not in schema {schema.scenario} {schema.version}")
        if name in channels:
            raise BadFrame(f"channel {name!r} occurs twice")
        channels[name] = _fixed_dtype(channel, column)
    return Columns(
        entities=entity.dictionary.to_pylist(),
        entity=entity.indices.to_numpy(),
        devices=device.dictionary.to_pylist(),
        device=device.indices.to_numpy(),
        ts=ts.view(_INT64).to_numpy(),
        arrived=arrived.view(_INT64).to_numpy(),
        flags=flags.to_numpy(),
        channels=channels,
        clock=metadata.get("clock", "live"),
    )


def counts(value: bytes) -> dict[str, int]:
    """Ingest's counts in a frame's metadata, and ``rows``. Raises BadFrame."""
    try:
        batch = pa.ipc.open_stream(value).read_next_batch()
        found = {
            key.removeprefix("count."): int(count)
            for key, count in _metadata(batch).items()
            if key.startswith("count.")
        }
    except _UNREADABLE as error:
        raise BadFrame(f"not an Arrow frame: {error}") from None
    return {**found, "rows": batch.num_rows}


def _metadata(batch: pa.RecordBatch) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (batch.schema.metadata or {}).items()}


def _fixed_dtype(channel: Channel, column: pa.Array) -> tuple[Array, Bools]:
    if column.null_count:
        valid = column.is_valid().to_numpy(zero_copy_only=False)
    else:  # mostly, and five times as cheap: a frame may be small
        valid = np.ones(len(column), np.bool_)
    if column.type != _ARROW[channel.dtype]:
        raise BadFrame(f"channel {channel.name!r} is {column.type}, expected {channel.dtype}")
    if channel.dtype == "utf8":
        if column.dictionary.null_count:
            raise BadFrame(f"a text of channel {channel.name!r} is null")
        texts = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        return texts[column.indices.fill_null(len(texts) - 1).to_numpy()], valid
    if channel.dtype == "list":
        lists = np.empty(len(column), dtype=object)
        lists[:] = [None if one is None else tuple(one) for one in column.to_pylist()]
        return lists, valid
    if column.null_count:
        column = column.fill_null(False if channel.dtype == "bool" else 0)
    return column.to_numpy(zero_copy_only=False), valid
