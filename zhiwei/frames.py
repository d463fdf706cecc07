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

from zhiwei.contracts import Array, Bools, Ints
from zhiwei.schema import Channel, Schema

VERSION = 1
MOST_BYTES = 512 * 1024
"""A frame never grows beyond this; well under the 1 MB limit of a Kafka record batch."""

_TIME = pa.timestamp("us", tz="UTC")
_NAMES = pa.dictionary(pa.int32(), pa.utf8())
_ARROW = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int16": pa.int16(),
    "bool": pa.bool_(),
    "utf8": _NAMES,
}
_FIXED = ("entity", "device", "ts", "arrived", "flags")


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


def arrow_column(channel: Channel, values: Sequence[float | bool | str | None]) -> pa.Array:
    """Python values as an Arrow column of the channel's type. Raises pa.ArrowException on a wrong type."""
    if channel.dtype == "utf8":
        return pa.array(values, pa.utf8()).dictionary_encode()
    return pa.array(values, _ARROW[channel.dtype])


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
        pa.field("entity", _NAMES),
        pa.field("device", _NAMES),
        pa.field("ts", _TIME),
        pa.field("arrived", _TIME),
        pa.field("flags", pa.uint16()),
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
        batch = pa.ipc.open_stream(value).read_next_batch()
        batch.validate(full=True)
    except (pa.ArrowException, StopIteration, OSError, ValueError, KeyError, TypeError) as error:
        raise BadFrame(f"not an Arrow frame: {error}") from None
    metadata = {k.decode(): v.decode(errors="replace") for k, v in (batch.schema.metadata or {}).items()}
    for key, want in (("zhiwei.frame", VERSION), ("scenario", schema.scenario), ("schema", schema.version)):
        if (have := metadata.get(key)) != str(want):
            raise BadFrame(f"{key} is {have!r}, this reader knows {str(want)!r}")
    if tuple(batch.schema.names[:5]) != _FIXED:
        raise BadFrame(f"columns are {batch.schema.names[:5]}, expected {list(_FIXED)}")
    channels: dict[str, tuple[Array, Bools]] = {}
    for name in batch.schema.names[5:]:
        channel = schema.channel(name)
        if channel is None:
            raise BadFrame(f"channel {name!r} is not in schema {schema.scenario} {schema.version}")
        channels[name] = _fixed_dtype(channel, batch.column(name))
    entity, device = batch.column("entity"), batch.column("device")
    return Columns(
        entities=entity.dictionary.to_pylist(),
        entity=entity.indices.to_numpy(),
        devices=device.dictionary.to_pylist(),
        device=device.indices.to_numpy(),
        ts=batch.column("ts").cast(pa.int64()).to_numpy(),
        arrived=batch.column("arrived").cast(pa.int64()).to_numpy(),
        flags=batch.column("flags").to_numpy(),
        channels=channels,
        clock=metadata.get("clock", "live"),
    )


def counts(value: bytes) -> dict[str, int]:
    """Ingest's counts in a frame's metadata, and ``rows``. Raises BadFrame."""
    try:
        batch = pa.ipc.open_stream(value).read_next_batch()
    except (pa.ArrowException, StopIteration, OSError, ValueError) as error:
        raise BadFrame(f"not an Arrow frame: {error}") from None
    found = {
        key.decode().removeprefix("count."): int(count)
        for key, count in (batch.schema.metadata or {}).items()
        if key.startswith(b"count.")
    }
    return {**found, "rows": batch.num_rows}


def _fixed_dtype(channel: Channel, column: pa.Array) -> tuple[Array, Bools]:
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if channel.dtype == "utf8":
        if not pa.types.is_dictionary(column.type):
            raise BadFrame(f"channel {channel.name!r} is {column.type}, expected text")
        names = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        return names[column.indices.fill_null(len(names) - 1).to_numpy()], valid
    if column.type != _ARROW[channel.dtype]:
        raise BadFrame(f"channel {channel.name!r} is {column.type}, expected {channel.dtype}")
    if column.null_count:
        column = column.fill_null(False if channel.dtype == "bool" else 0)
    return column.to_numpy(zero_copy_only=False), valid
