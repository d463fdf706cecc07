"""What is to be written of frames, and many of them as one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from streams.engine.batch import renumbered
from zhiwei.contracts import Array, Bools, Ints
from zhiwei.frames import Columns

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is to be written of one frame."""

    scenario: str
    columns: Columns
    kept: Mapping[str, Bools]
    """Channel → (n,) which of its cells. A row without any is left out."""
    place: Ints
    """(n,) of the row in the log, by ``places``: tells rows apart that have no time of their own."""


def places(frame: str, rows: int) -> Ints:
    """(rows,) a number for each row of the frame that has this name in the log, the same each time."""
    return crc32(frame.encode()) + np.arange(rows)


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same rows in one piece for each scenario: making lines costs by the piece, hardly by the row."""
    of: dict[str, list[Piece]] = {}
    for piece in pieces:
        of.setdefault(piece.scenario, []).append(piece)
    return [_as_one(each) if len(each) > 1 else each[0] for each in of.values()]


def _as_one(pieces: Sequence[Piece]) -> Piece:
    frames = [piece.columns for piece in pieces]
    names = dict.fromkeys(name for columns in frames for name in columns.channels)
    entities, entity = _together([(columns.entities, columns.entity) for columns in frames])
    devices, device = _together([(columns.devices, columns.device) for columns in frames])
    channels = {name: _channel(name, frames) for name in names}
    return Piece(
        pieces[0].scenario,
        Columns(
            entities=entities,
            entity=entity,
            devices=devices,
            device=device,
            ts=np.concatenate([columns.ts for columns in frames]),
            arrived=np.concatenate([columns.arrived for columns in frames]),
            flags=np.concatenate([columns.flags for columns in frames]),
            channels=channels,
            clock=frames[0].clock,  # of no meaning here: times are those of the rows
        ),
        {name: _cells(name, pieces) for name in names if any(name in piece.kept for piece in pieces)},
        np.concatenate([piece.place for piece in pieces]),
    )


def _together(parts: Sequence[tuple[list[str], Indices]]) -> tuple[list[str], Indices]:
    """The names of all parts, and each row's place among them."""
    table: dict[str, int] = {}
    rows = [renumbered(names, table)[index].astype(np.int32) for names, index in parts]
    return list(table), np.concatenate(rows)


def _channel(name: str, frames: Sequence[Columns]) -> tuple[Array, Bools]:
    """Values and validity over all rows; a frame without the channel has no value of it."""
    dtype = next(columns.channels[name][0].dtype for columns in frames if name in columns.channels)
    there = [
        columns.channels.get(name) or (np.zeros(len(columns), dtype), np.zeros(len(columns), np.bool_))
        for columns in frames
    ]
    return np.concatenate([values for values, _ in there]), np.concatenate([valid for _, valid in there])


def _cells(name: str, pieces: Sequence[Piece]) -> Bools:
    return np.concatenate([piece.kept.get(name, np.zeros(len(piece.columns), np.bool_)) for piece in pieces])
