"""Rows that wait until those before them in time have had their time to come.

Where a policy says ``reorder_us``, a row waits until engine time has passed its own time by so much, and is
stepped as at that moment, in the order of time. What comes later than that keeps its place in the log. Which
row is stepped before which follows from the log alone, however it is cut.
"""

from dataclasses import replace

import numpy as np

from streams.engine.batch import Batch, renumbered
from zhiwei.contracts import Array, Bools, Ints, Policy, Reorders
from zhiwei.schema import Schema
from zhiwei.types import Flag


def limit(policy: Policy) -> int:
    """How long rows under this policy wait for earlier ones, µs; 0 = they do not."""
    return policy.reorder_us if isinstance(policy, Reorders) else 0


def released(
    schema: Schema, held: Batch | None, came: Batch | None, wait_us: int, now: list[int]
) -> tuple[Batch | None, Batch | None]:
    """Rows to be stepped, in their order, and those that wait on.

    held: rows that waited until now; their ``engine`` is when they are due. came: the next ones of the log,
    which wait for ``wait_us``. now: engine time of each clock behind them.
    """
    if held is None and not wait_us:
        return came, None
    rows, waited = held, np.ones(0 if held is None else len(held), bool)
    if came is not None:
        due = _due(came, wait_us)
        waited = np.r_[waited, due > came.engine]
        came = replace(came, engine=due)
        rows = came if held is None else joined(schema, held, came)
    if rows is None:
        return None, None
    ready = rows.engine <= np.array(now, np.int64)[rows.clock]
    order = _order(rows, waited)
    return taken(rows, order[ready[order]]), taken(rows, np.flatnonzero(~ready))


def _due(rows: Batch, wait_us: int) -> Ints:
    """(n,) engine time at which each row is due. A clock that is ahead holds nothing back; copies of old rows
    tell of no order."""
    at = np.where(rows.flags & np.uint16(Flag.CLOCK) != 0, rows.arrived, np.minimum(rows.ts, rows.arrived))
    copies = rows.flags & np.uint16(Flag.HISTORICAL) != 0
    return np.where(copies, rows.engine, np.maximum(rows.engine, at + wait_us))


def _order(rows: Batch, waited: Bools) -> Ints:
    """By when they are due. Of those that are due together, what waited comes first, by time, device and
    content: it may have come in any order; the rest keeps its place in the log."""
    names = np.array(rows.devices, object)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(names, kind="stable")] = np.arange(len(names))
    time, device = np.where(waited, rows.ts, 0), np.where(waited, rank[rows.device_name], 0)
    key = np.where(waited, rows.key, np.uint64(0))
    return np.lexsort((rows.place, rows.offset, key, device, time, ~waited, rows.engine))


def taken(rows: Batch, places: Ints) -> Batch | None:
    """These rows, with the names that they use; None where there are none."""
    if not len(places):
        return None
    entities, entity = np.unique(rows.entity_name[places], return_inverse=True)
    devices, device = np.unique(rows.device_name[places], return_inverse=True)
    return Batch(
        entities=[rows.entities[number] for number in entities.tolist()],
        entity_name=entity.astype(np.int64),
        devices=[rows.devices[number] for number in devices.tolist()],
        device_name=device.astype(np.int64),
        clock=rows.clock[places],
        ts=rows.ts[places],
        arrived=rows.arrived[places],
        engine=rows.engine[places],
        flags=rows.flags[places],
        values=rows.values[places],
        text={name: column[places] for name, column in rows.text.items()},
        channels=rows.channels,
        offset=rows.offset[places],
        place=rows.place[places],
        key=rows.key[places],
    )


def joined(schema: Schema, first: Batch, second: Batch) -> Batch:
    """The rows of both, one behind the other, with the channels of both."""
    channels = tuple(sorted({*first.channels, *second.channels}, key=schema.order))
    entities = {name: number for number, name in enumerate(first.entities)}
    devices = {name: number for number, name in enumerate(first.devices)}
    entity = renumbered(second.entities, entities)[second.entity_name]
    device = renumbered(second.devices, devices)[second.device_name]
    names = sorted({*first.text, *second.text})
    return Batch(
        entities=list(entities),
        entity_name=np.r_[first.entity_name, entity],
        devices=list(devices),
        device_name=np.r_[first.device_name, device],
        clock=np.r_[first.clock, second.clock],
        ts=np.r_[first.ts, second.ts],
        arrived=np.r_[first.arrived, second.arrived],
        engine=np.r_[first.engine, second.engine],
        flags=np.r_[first.flags, second.flags],
        values=np.concatenate([_values(first, channels), _values(second, channels)]),
        text={name: np.r_[_text(first, name), _text(second, name)] for name in names},
        channels=channels,
        offset=np.r_[first.offset, second.offset],
        place=np.r_[first.place, second.place],
        key=np.r_[first.key, second.key],
    )


def _values(rows: Batch, channels: tuple[str, ...]) -> Array:
    values = np.full((len(rows), len(channels)), np.nan)
    for place, name in enumerate(rows.channels):
        values[:, channels.index(name)] = rows.values[:, place]
    return values


def _text(rows: Batch, name: str) -> Array:
    return rows.text.get(name, np.full(len(rows), None, object))
