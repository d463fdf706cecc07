"""What a lift, a water station and a home keep in a snapshot, by what they report: ``python -m bench.state``.

A city has many of each, so the bytes of one say how large a state store and a worker's memory must be. Each
entity has reported for 40 minutes and nothing of it is open.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_rows
from zhiwei import frames, registry
from zhiwei.clock import MICROS
from zhiwei.contracts import LogRecord
from zhiwei.schema import Channel

ENTITIES = 200
"""Enough that what the table itself takes does not show."""
TURNS = 40
_START_US = 1_750_000_000 * MICROS
_CALM = {"free_chlorine": 0.4, "ph": 7.2, "turbidity": 0.3}
"""Others report 1, true or a word."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Entities that report alike. channels: of each device; none = all that the scenario has."""

    scenario: str
    what: str
    channels: tuple[str, ...] = ()
    devices: int = 1


KINDS = (
    Kind("elevator", "a lift's four-piece kit", ("moving", "in_door_zone", "door_closed", "person")),
    Kind("elevator", "a lift with every channel"),
    Kind("water", "a station with three probes", ("free_chlorine", "ph", "turbidity")),
    Kind(
        "water",
        "a station with seven channels",
        ("free_chlorine", "ph", "turbidity", "temperature", "conductivity", "orp", "flow"),
    ),
    Kind("water", "a station with every channel"),
    Kind("elderly", "a home with a presence sensor and an SOS button", ("presence", "sos")),
    Kind("elderly", "a home with one device of every channel"),
    Kind("elderly", "a home with six of those", devices=6),
)


def snapshot_bytes(kind: Kind) -> float:
    """Of one entity."""
    scenario = registry.scenario(kind.scenario)
    engine = Engine(scenario, site="city", topic=f"readings.{kind.scenario}", partition=0)
    schema = scenario.schema
    names = kind.channels or tuple(channel.name for channel in schema.channels)
    channels = [channel for channel in schema.channels if channel.name in names]
    offset = 0
    for turn in range(TURNS):
        at = _START_US + turn * 60 * MICROS
        for device in range(kind.devices):
            frame = frames.encode(
                schema,
                entity=[f"entity-{number:05}" for number in range(ENTITIES)],
                device=[f"device-{device}"] * ENTITIES,
                ts=[at] * ENTITIES,
                arrived=[at] * ENTITIES,
                flags=[0] * ENTITIES,
                channels={channel.name: _column(channel, turn) for channel in channels},
                clock="live",
            )
            engine.apply([LogRecord(offset, frame)])
            offset += 1
    return len(copy_rows(engine, everything=True)) / ENTITIES


def _column(channel: Channel, turn: int) -> pa.Array:
    said: dict[str, frames.Cell] = {"bool": True, "utf8": "word", "list": ["word"], "int16": 1}
    wiggle = math.sin(turn) / 100  # a constant value is a stuck probe
    value = said.get(channel.dtype, _CALM.get(channel.name, 1.0) + wiggle)
    cells: Sequence[frames.Cell] = [value] * ENTITIES
    return frames.arrow_column(channel, cells)


def main() -> None:
    for kind in KINDS:
        print(f"{kind.what}: {snapshot_bytes(kind):,.0f} bytes in a snapshot")


if __name__ == "__main__":
    main()
