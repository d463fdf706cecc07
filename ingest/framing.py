"""Rows to frames: columns are checked, refused rows taken out, and the rest cut into frames that fit.

Pure: rows in, bytes and refusals out. The order of rows is the order of arrival.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from ingest.quality import Channels, Value, column, implausible
from zhiwei.contracts import Decoded, Refusal
from zhiwei.frames import MOST_BYTES, encode
from zhiwei.types import Flag, Reason


class Rows:
    """Rows of one scenario, partition and clock, by column, in order of arrival.

    origin: the packet of each row, a number that never falls. copy: the row is on another lane too, where it
    is counted, and refused where it must be.
    """

    __slots__ = ("arrived", "copy", "device", "entity", "flags", "origin", "ts", "values")

    def __init__(self) -> None:
        self.entity: list[str] = []
        self.device: list[str] = []
        self.ts: list[int] = []
        self.arrived: list[int] = []
        self.flags: list[int] = []
        self.values: list[dict[str, Value]] = []
        self.origin: list[int] = []
        self.copy: list[bool] = []

    def __len__(self) -> int:
        return len(self.ts)

    def clear(self) -> None:
        """Begin anew, for the same scenario, partition and clock."""
        Rows.__init__(self)

    def add(
        self,
        entity: str,
        device: str,
        decoded: Decoded,
        arrived: int | None,
        origin: int,
        *,
        copy: bool = False,
        flagged: int = 0,
    ) -> None:
        """Rows of one packet. arrived: µs UTC; None: each row arrived when its ``ts`` says. flagged: quality
        bits beside their own.

        A row without a time gets that of its arrival, and a flag that says so. Raises ValueError if it has
        neither.
        """
        for ts, flags, values in zip(decoded.ts, decoded.flags, decoded.values, strict=True):
            if ts is None:
                if arrived is None:
                    raise ValueError("a row has neither ts nor arrived")
                self.ts.append(arrived)
                self.flags.append(flags | flagged | Flag.NO_TS)
            else:
                self.ts.append(ts)
                self.flags.append(flags | flagged)
            self.entity.append(entity)
            self.device.append(device)
            self.arrived.append(ts if arrived is None else arrived)  # type: ignore[arg-type] # checked above
            self.values.append(values)
            self.origin.append(origin)
            self.copy.append(copy)


Refused = dict[int, list[Refusal]]
"""Packet number → what of it was refused."""
Mapped = Mapping[int, Sequence[Refusal]]
"""The same, to be read."""


@dataclass(slots=True)
class Framed:
    """Frames of one partition, ready for the log."""

    frames: list[bytes] = field(default_factory=list)
    rows: int = 0
    """Without copies."""
    refused: Refused = field(default_factory=dict)


def frame(
    channels: Channels,
    rows: Rows,
    *,
    clock: str,
    frame_rows: int,
    before: Mapped,
    counted: set[int] | None = None,
) -> Framed:
    """All rows as frames of at most ``frame_rows`` rows and frames.MOST_BYTES bytes.

    clock: ``live``, or the name of a simulated source. before: what was refused of these packets already;
    its counts go into the metadata of the frame that holds the packet's first row. counted: packets that
    have such a frame already, on another lane; those of these rows are added.
    """
    out = Framed()
    counted = set() if counted is None else counted
    columns, lost = _columns(channels, rows, out.refused)
    table = _Table(channels, rows, columns, lost, clock, before, counted)
    for start in range(0, table.size, frame_rows):
        _cut(table, start, min(start + frame_rows, table.size), out)
    return out


def _columns(channels: Channels, rows: Rows, refused: Refused) -> tuple[dict[str, pa.Array], list[int]]:
    """Columns in canonical order, and the rows of which nothing but refused cells was given."""
    columns: dict[str, pa.Array] = {}
    cells: dict[int, dict[str, Refusal]] = {}
    unknown: dict[str, Refusal] = {}
    for name in sorted(set().union(*rows.values)):
        channel = channels.find(name)
        if isinstance(channel, Refusal):
            unknown[name] = channel
            continue
        array, wrong = column(channel, [values.get(name) for values in rows.values])
        for row, refusal in wrong.items():
            cells.setdefault(row, {})[name] = refusal
        if array.null_count < len(array):
            columns[name] = array
    if unknown:  # by row, not by name: a payload may hold thousands of names
        for row, values in enumerate(rows.values):
            for name in unknown.keys() & values.keys():
                cells.setdefault(row, {})[name] = unknown[name]
    columns = {name: columns[name] for name in sorted(columns, key=channels.order)}
    return columns, _note(rows, cells, refused)


def _note(rows: Rows, cells: Mapping[int, Mapping[str, Refusal]], refused: Refused) -> list[int]:
    """Note refused cells by packet. Returns the rows that had nothing else: refused as rows."""
    lost = []
    for row in sorted(cells):
        refusals = [cells[row][name] for name in sorted(cells[row])]
        if all(value is None or name in cells[row] for name, value in rows.values[row].items()):
            lost.append(row)
            detail = "; ".join(refusal.detail for refusal in refusals[:3])
            refusals = [Refusal(refusals[0].reason, "row", detail, 1)]
        if not rows.copy[row]:
            refused.setdefault(rows.origin[row], []).extend(refusals)
    return lost


class _Table:
    """The rows that stay, as arrays."""

    def __init__(
        self,
        channels: Channels,
        rows: Rows,
        columns: Mapping[str, pa.Array],
        lost: Sequence[int],
        clock: str,
        before: Mapped,
        counted: set[int],
    ) -> None:
        self.schema = channels.schema
        self.clock = clock
        self.before, self.counted = before, counted
        self.ts = np.array(rows.ts, np.int64)
        self.arrived = np.array(rows.arrived, np.int64)
        self.flags = np.array(rows.flags, np.uint16)
        self.origin = np.array(rows.origin, np.int64)
        self.own = ~np.array(rows.copy, np.bool_)
        self.entity, self.device = rows.entity, rows.device
        self.columns = dict(columns)
        if lost:
            self._without(lost)
        wrong = implausible(self.ts, self.arrived)
        if clock != "live":  # a simulated source is believed where its time is all there is
            wrong[self.ts == self.arrived] = 0
        self.flags |= wrong
        self.first = self.own.copy()  # of its packet
        own = np.flatnonzero(self.own)
        self.first[own[1:]] = self.origin[own[1:]] != self.origin[own[:-1]]

    @property
    def size(self) -> int:
        return len(self.ts)

    def _without(self, lost: Sequence[int]) -> None:
        keep = np.setdiff1d(np.arange(self.size), lost)
        self.ts, self.arrived, self.flags = self.ts[keep], self.arrived[keep], self.flags[keep]
        self.origin, self.own = self.origin[keep], self.own[keep]
        self.entity = [self.entity[row] for row in keep]
        self.device = [self.device[row] for row in keep]
        self.columns = {name: array.take(pa.array(keep)) for name, array in self.columns.items()}


def _cut(table: _Table, start: int, end: int, out: Framed) -> None:
    """Encode these rows; halve them while they make more bytes than a frame may have."""
    part = slice(start, end)
    packets = table.origin[part][table.first[part]].tolist()
    value = encode(
        table.schema,
        entity=table.entity[part],
        device=table.device[part],
        ts=cast(Sequence[int], table.ts[part]),
        arrived=cast(Sequence[int], table.arrived[part]),
        flags=cast(Sequence[int], table.flags[part]),
        channels={name: _slice(array, start, end) for name, array in table.columns.items()},
        clock=table.clock,
        counts=_counts(packets, table, out.refused) if table.own[part].any() else {},
    )
    if len(value) <= MOST_BYTES:
        out.frames.append(value)
        out.rows += int(table.own[part].sum())
        table.counted.update(packets)
    elif end - start > 1:
        middle = (start + end) // 2
        _cut(table, start, middle, out)
        _cut(table, middle, end, out)
    elif table.own[start]:
        detail = f"the row makes a frame of {len(value)} bytes, expected at most {MOST_BYTES}"
        out.refused.setdefault(int(table.origin[start]), []).append(
            Refusal(Reason.TOO_LARGE, "row", detail, 1)
        )


def _slice(array: pa.Array, start: int, end: int) -> pa.Array:
    part = array.slice(start, end - start)
    if len(part) < len(array) and pa.types.is_dictionary(part.type):
        return part.dictionary_decode().dictionary_encode()  # else each part carries every text of all
    return part


def _counts(packets: list[int], table: _Table, refused: Mapped) -> dict[str, int]:
    """For the ledger: packets whose first row is here, and what was refused of them, by reason."""
    fresh = [packet for packet in packets if packet not in table.counted]
    counts: Counter[str] = Counter(packets=len(fresh))
    for place, known in ((fresh, table.before), (packets, refused)):
        for packet in place if known else ():
            for refusal in known.get(packet, ()):
                if refusal.scope == "cell":
                    counts[f"cells.{refusal.reason}"] += 1
                else:
                    counts[f"refused.{refusal.reason}"] += refusal.rows
    return dict(counts)
