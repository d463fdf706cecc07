"""Rows as InfluxDB's line protocol, made by columns: no object for a row or a cell. Pure.

A row is a point: measurement = scenario; tags ``entity`` and ``device``; a field for each channel that has a
value; ``arrived`` in µs, ``flags`` where there are any, ``ts`` where the device's clock was implausible. Its
time is the event time in ns. Our times are whole µs, so the last three digits are free for a hash of the
row's values: points of one time with other values do not overwrite each other (but for one chance in 1,000),
and a redelivered row falls on itself. Readers cut these digits.
"""

import re
from collections.abc import Sequence, Set
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.telemetry.piece import Piece, joined
from zhiwei.contracts import Array, Bools, Ints
from zhiwei.frames import Columns
from zhiwei.types import Flag

ARRIVED, FLAGS, TS = "arrived", "flags", "ts"
DIGITS = 1000
"""ns in a µs."""
MOST_US = (1 << 63) // DIGITS - DIGITS
"""InfluxDB's times reach from 1677 to 2262."""

_OURS = {ARRIVED, FLAGS, TS, "time", "entity", "device"}
"""Keys that no channel may have in InfluxDB: ours, and ``time``, which it refuses."""
_CHANNEL = "channel:"
_ODD = re.compile(r'[\\%"$\x00-\x20\x7f]')
_CODED = re.compile(r"%([0-9A-F]{2})")
_SPECIAL = re.compile(r"[,= ]")

Hashes = npt.NDArray[np.uint64]
Cell = tuple[str, str]
"""Measurement and field."""


class Lines:
    """Points as text, one element each, with its line end: a text value may hold line ends of its own."""

    def __init__(self, array: pa.StringArray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, part: slice) -> "Lines":
        return Lines(self._array[part])

    def body(self) -> bytes:
        """All of them, as InfluxDB takes them."""
        if not len(self):
            return b""
        _, offsets, data = self._array.buffers()
        first = self._array.offset
        bounds = np.frombuffer(offsets, np.int32)[first : first + len(self) + 1]
        return memoryview(data)[bounds[0] : bounds[-1]].tobytes()


def lines(pieces: Sequence[Piece], without: Set[Cell] = frozenset()) -> tuple[Lines, int]:
    """The points of these pieces, and how many rows have a time that InfluxDB cannot hold.

    without: fields that are left out, with the rows that have no other.
    """
    made = [_points(piece, without) for piece in joined(pieces)]
    arrays = [array for array, _ in made]
    texts = pa.concat_arrays(arrays) if arrays else pa.array([], pa.utf8())
    return Lines(texts), sum(untimely for _, untimely in made)


def _points(piece: Piece, without: Set[Cell]) -> tuple[pa.StringArray, int]:
    columns = piece.columns
    fields = {name: field_of(name) for name in columns.channels}
    kept = {
        name: piece.kept[name]
        for name, field in fields.items()
        if name in piece.kept and (coded(piece.scenario), coded(field)) not in without
    }
    wanted = np.logical_or.reduce([np.zeros(len(columns), np.bool_), *kept.values()])
    timely = np.abs(event_times(columns)) < MOST_US
    rows = np.flatnonzero(wanted & timely)
    head = f"{tag(piece.scenario)},device="
    parts: list[pa.Array | str] = [
        head, _names(columns.devices, columns.device[rows]),
        ",entity=", _names(columns.entities, columns.entity[rows]),
        f" {ARRIVED}=", pa.array(columns.arrived[rows]).cast(pa.utf8()), "i",
        *_field(FLAGS, columns.flags[rows].astype(np.int64), columns.flags[rows] != 0),
        *_field(TS, columns.ts[rows], _flagged(columns, Flag.CLOCK)[rows]),
    ]  # fmt: skip
    for name, cells in kept.items():
        parts += _field(fields[name], columns.channels[name][0][rows], cells[rows])
    times = event_times(columns)[rows] * DIGITS + _digits(piece)[rows]
    parts += [" ", pa.array(times).cast(pa.utf8()), "\n"]
    joined = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
    return joined, int(np.count_nonzero(wanted & ~timely))


def event_times(columns: Columns) -> Ints:
    """(n,) µs UTC: ``ts``, or ``arrived`` where the device's clock was implausible."""
    return np.where(_flagged(columns, Flag.CLOCK), columns.arrived, columns.ts)


def present(columns: Columns) -> dict[str, Bools]:
    """Channel → (n,) whether there is a value. NaN is missing; infinity is no value for InfluxDB."""
    return {
        name: valid & np.isfinite(values) if values.dtype.kind == "f" else valid
        for name, (values, valid) in columns.channels.items()
    }


# ------------------------------------------------------------------ names


def coded(name: str) -> str:
    """A name as a key or tag value that needs no quoting in Flux, and can end a tag.

    InfluxDB has no way to write a tag value that ends in a backslash, nor an empty one.
    """
    return _ODD.sub(lambda match: f"%{ord(match[0]):02X}", name) or "%"


def decoded(text: str) -> str:
    """The name that ``coded`` was given."""
    return _CODED.sub(lambda match: chr(int(match[1], 16)), text) if text != "%" else ""


def field_of(channel: str) -> str:
    """The field of a channel: its name, but for names that mean something else there."""
    mine = channel in _OURS or channel.startswith(("_", _CHANNEL))
    return _CHANNEL + channel if mine else channel


def tag(name: str) -> str:
    """A name as the line protocol has it."""
    return _SPECIAL.sub(r"\\\g<0>", coded(name))


def _names(names: Sequence[str], index: Array) -> pa.Array:
    return pa.array([tag(name) for name in names], pa.utf8()).take(pa.array(index))


# ------------------------------------------------------------------ values


def _field(name: str, values: Array, cells: Bools) -> list[pa.Array]:
    """``,name=value`` where there is a cell, else nothing."""
    if not cells.any():
        return []
    if values.dtype == object:
        table: dict[object, int] = {}
        codes = [table.setdefault(value, len(table)) for value in values[cells].tolist()]
        index = np.zeros(len(values), np.int32)
        index[cells] = codes
        texts = pa.array([_quoted(text_of(value)) for value in table], pa.utf8())
        text = texts.take(pa.array(index, mask=~cells))
    else:
        text = pa.array(values, mask=~cells).cast(pa.utf8())
    suffix = "i" if values.dtype.kind == "i" else ""
    return [pc.binary_join_element_wise(f",{tag(name)}=", text, suffix, "")]


def text_of(value: object) -> str:
    """A text as it is, a list of texts as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# ------------------------------------------------------------------ the last three digits


def _digits(piece: Piece) -> Ints:
    """(n,) 0 … 999, by the values of a row; by its place where it cannot be told from a redelivery."""
    columns = piece.columns
    hashes = np.where(_flagged(columns, Flag.CLOCK), _mixed(columns.ts.view(np.uint64)), np.uint64(0))
    for name, cells in present(columns).items():
        numbers = numbers_of(columns.channels[name][0], cells).view(np.uint64)
        salt = np.uint64(crc32(name.encode()) << 32)
        hashes ^= np.where(cells, _mixed(numbers ^ salt), np.uint64(0))
    by_value = (hashes % np.uint64(DIGITS)).astype(np.int64)
    return np.where(_flagged(columns, Flag.NO_TS), piece.place % DIGITS, by_value)


def numbers_of(values: Array, cells: Bools) -> npt.NDArray[np.float64]:
    """(n,) float64: a text as the CRC-32 of its bytes. What is in no cell means nothing."""
    if values.dtype != object:
        return values.astype(np.float64) + 0.0  # -0.0 is 0.0
    table = {value: float(crc32(text_of(value).encode())) for value in set(values[cells].tolist())}
    numbers = np.zeros(len(values))
    numbers[cells] = [table[value] for value in values[cells].tolist()]
    return numbers


def _mixed(bits: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit moves every other."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _flagged(columns: Columns, flag: Flag) -> Bools:
    return np.asarray(columns.flags & np.uint16(flag) != 0)
