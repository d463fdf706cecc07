"""Readings as columns of a table that DuckDB can scan: what a segment holds, and how it is named.

One row of a segment is one reading, with a column per channel. The other way, a row per value, was measured
with 200,000 readings of 15 channels: 57 bytes a reading in place of 20, 2.6 s to write in place of 0.2 s;
with four of five cells missing 31 bytes in place of 14, and 0.6 s in place of 0.3 s. Reading one channel of
one entity took 2.0 ms in place of 1.3 ms. So segments are wide.

Times are whole numbers of µs UTC, since a row keeps whatever its device sent: Parquet's own timestamps refuse
what is far from today.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from zhiwei.contracts import Array, Bools, Ints
from zhiwei.frames import Columns
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag

AT = f"CASE WHEN flags & {Flag.CLOCK.value} <> 0 THEN arrived_us ELSE ts_us END"
"""Event time of a row, in SQL over the columns of a segment."""

_SQL = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "int16": "SMALLINT",
    "bool": "BOOLEAN",
    "utf8": "VARCHAR",
    "list": "VARCHAR[]",
}
_KIND = {"float32": "n", "float64": "n", "int16": "n", "bool": "b", "utf8": "t", "list": "l"}
_PLAIN = re.compile(r"[a-z0-9_.-]+")


def column_of(channel: Channel) -> str:
    """Name of a channel's column, ready for SQL but for its quotes.

    The kind stands before it, so that a channel that was a text in an older schema is another column; its
    numbers may change their width. DuckDB takes ``Level`` and ``level`` for one name, and an open schema may
    hold both: what is more than plain letters is written in hexadecimal.
    """
    kind = _KIND[channel.dtype]
    plain = _PLAIN.fullmatch(channel.name) is not None
    return f"{kind}.{channel.name}" if plain else f"{kind}:{channel.name.encode().hex()}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A SELECT over arrays that are registered as views of one connection, and its parameters."""

    sql: str
    parameters: dict[str, object]


class Rows:
    """Decoded frames of one schema that belong into one table."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._parts: list[tuple[int, Columns, Ints]] = []
        self._count = 0
        self.low, self.high = 0, 0
        """Lowest and highest event time; 0 while there is no row."""

    def __len__(self) -> int:
        return self._count

    def add(self, offset: int, columns: Columns, rows: Ints | None = None) -> None:
        """Take a frame, or only these rows of it; they keep their number in the frame. Copies of old rows
        are left out: they are on the backlog."""
        rows = np.arange(len(columns)) if rows is None else rows
        rows = rows[columns.own[rows]]
        if not len(rows):
            return
        clock = columns.flags[rows] & np.uint16(Flag.CLOCK) != 0
        at = np.where(clock, columns.arrived[rows], columns.ts[rows])
        low, high = int(at.min()), int(at.max())
        self.low, self.high = (min(low, self.low), max(high, self.high)) if self._count else (low, high)
        self._parts.append((offset, columns, rows))
        self._count += len(rows)

    def relation(
        self, connection: duckdb.DuckDBPyConnection, view: str, channels: Sequence[Channel] | None = None
    ) -> Relation:
        """The rows as a table of ``connection``, with these channels or all that occur.

        view: a name that is free in the connection; also goes before the names of parameters.
        """
        arrays: dict[str, Array] = {
            "ts_us": self._joined([c.ts[rows] for _, c, rows in self._parts], "int64"),
            "arrived_us": self._joined([c.arrived[rows] for _, c, rows in self._parts], "int64"),
            "flags": self._joined([c.flags[rows] for _, c, rows in self._parts], "uint16"),
            "offset": self._joined([np.full(len(rows), offset) for offset, _, rows in self._parts], "int64"),
            "row": self._joined([rows for _, _, rows in self._parts], "int32"),
        }
        parameters: dict[str, object] = {}
        arrays["entity"], parameters[f"{view}_entities"] = self._names(
            [(c.entities, c.entity[rows]) for _, c, rows in self._parts]
        )
        arrays["device"], parameters[f"{view}_devices"] = self._names(
            [(c.devices, c.device[rows]) for _, c, rows in self._parts]
        )
        terms = [
            f"list_extract(${view}_entities::VARCHAR[], entity + 1) AS entity",
            f"list_extract(${view}_devices::VARCHAR[], device + 1) AS device",
            *("ts_us", "arrived_us", "flags", '"offset"', '"row"'),
        ]
        for number, channel in enumerate(self._channels() if channels is None else channels):
            values, valid = self._cells(channel)
            name, known = f"c{number}", f"{view}_c{number}"
            term = f"CASE WHEN {name}_valid THEN {name} END"
            if channel.dtype in ("utf8", "list"):
                arrays[name], parameters[known] = _numbered(values, valid)
                term = f"list_extract(${known}::{_SQL[channel.dtype]}[], {name} + 1)"
            else:
                arrays[name], arrays[f"{name}_valid"] = values, valid
            terms.append(f'CAST({term} AS {_SQL[channel.dtype]}) AS "{column_of(channel)}"')
        connection.register(view, arrays)
        return Relation(f"SELECT {', '.join(terms)} FROM {view}", parameters)

    def _channels(self) -> list[Channel]:
        names = {name for _, columns, _ in self._parts for name in columns.channels}
        found = (self._schema.channel(name) for name in sorted(names, key=self._schema.order))
        return [channel for channel in found if channel is not None]

    def _cells(self, channel: Channel) -> tuple[Array, Bools]:
        """(n,) values and whether there is one; what a frame does not have is missing, and so is NaN."""
        dtype = "object" if channel.dtype in ("utf8", "list") else channel.dtype
        values = np.zeros(self._count, dtype)
        valid = np.zeros(self._count, np.bool_)
        start = 0
        for _, columns, rows in self._parts:
            here = slice(start, start + len(rows))
            start = here.stop
            if channel.name in columns.channels:
                column, is_valid = columns.channels[channel.name]
                values[here], valid[here] = column[rows], is_valid[rows]
        if values.dtype.kind == "f":
            valid &= ~np.isnan(values)
        return values, valid

    @staticmethod
    def _joined(arrays: Sequence[Array], dtype: str) -> Array:
        return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False)

    @staticmethod
    def _names(parts: Sequence[tuple[list[str], Array]]) -> tuple[Array, list[str]]:
        """Each frame has its own list of names: one list for all, and the index of each row in it."""
        table: dict[str, int] = {}
        codes = [np.empty(0, np.int32)]
        for names, indices in parts:
            number = np.array([table.setdefault(name, len(table)) for name in names], np.int32)
            codes.append(number[indices])
        return np.concatenate(codes), list(table)


def _numbered(values: Array, valid: Bools) -> tuple[Array, list[object]]:
    """Texts as (n,) indices into the list of those that occur; -1 where there is none.

    Objects handed over as they are would be looked at one by one, and their type guessed from a sample.
    """
    table: dict[object, int] = {}
    codes = np.full(len(values), -1, np.int32)
    codes[valid] = [table.setdefault(value, len(table)) for value in values[valid]]
    return codes, [list(value) if isinstance(value, tuple) else value for value in table]
