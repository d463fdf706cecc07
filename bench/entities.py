"""What many lifts cost: CPU µs a reading and bytes of state a lift, at 8,030, 100,000 and a million.

``python -m bench.entities [LIFTS ...]`` steps frames as streams does, without servers: every lift in turn
and all its rules, each size in a process of its own on one partition. Building the frames is not
counted.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows
from zhiwei import frames, registry
from zhiwei.clock import MICROS
from zhiwei.contracts import LogRecord

SIZES = (8_030, 100_000, 1_000_000)
FRAME_ROWS = 1000
_STEP_FRAMES = 4
"""Records of a step: what fits into a worker's step (256 KiB)."""
_ROWS_LEAST = 300_000
_TURNS_LEAST = 2
_START_US = 1_750_000_000 * MICROS
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Stepped:
    """One size."""

    lifts: int
    rows: int
    cpu_us: float
    """Of a reading, with every lift known."""
    snapshot_bytes: float
    """Of a lift, in the snapshot as it is stored."""
    memory_bytes: float
    """Of a lift, by which the process grew."""
    save_s: float
    """CPU seconds of a whole snapshot."""


def step(lifts: int) -> Stepped:
    """In this process, which is to have done nothing else."""
    part = registry.scenario("elevator")
    engine = Engine(part, site="city", topic="readings.elevator", partition=0)
    turns = max(_TURNS_LEAST, -(-_ROWS_LEAST // lifts))
    before = _resident()
    _apply(engine, records(lifts, 0))  # the first turn makes the entities
    spent_s, offset = 0.0, -(-lifts // FRAME_ROWS)
    for turn in range(1, turns + 1):
        taken_s, count = _apply(engine, records(lifts, turn, offset))
        spent_s, offset = spent_s + taken_s, offset + count
    memory = _resident() - before
    began_s = time.process_time()
    size = len(copy_head(engine)) + len(copy_rows(engine, everything=True))
    save_s = time.process_time() - began_s
    rows = turns * lifts
    return Stepped(lifts, rows, spent_s / rows * 1e6, size / lifts, memory / lifts, save_s)


def records(lifts: int, turn: int, offset: int = 0) -> Iterator[LogRecord]:
    """One reading of each lift, five seconds after the turn before."""
    schema = registry.scenario("elevator").schema
    columns = {name: schema.channel(name) for name in ("moving", "in_door_zone", "door_closed", "person")}
    at = _START_US + turn * 5 * MICROS
    for place, first in enumerate(range(0, lifts, FRAME_ROWS)):
        names = range(first, min(first + FRAME_ROWS, lifts))
        moving = [(name + turn) % 3 == 0 for name in names]
        said = {
            "moving": moving,
            "in_door_zone": [not one for one in moving],
            "door_closed": moving,
            "person": [False for _ in names],
        }
        size = len(names)
        yield LogRecord(
            offset + place,
            frames.encode(
                schema,
                entity=[f"lift-{name:07}" for name in names],
                device=["kit"] * size,
                ts=[at] * size,
                arrived=[at] * size,
                flags=[0] * size,
                channels={
                    name: frames.arrow_column(channel, said[name])
                    for name, channel in columns.items()
                    if channel is not None
                },
                clock="live",
            ),
        )


def _apply(engine: Engine, source: Iterator[LogRecord]) -> tuple[float, int]:
    """CPU seconds of stepping, and how many records."""
    spent_s, count, batch = 0.0, 0, []
    for record in source:
        batch.append(record)
        if len(batch) == _STEP_FRAMES:
            spent_s, count = spent_s + _timed(engine, batch), count + len(batch)
            batch = []
    return spent_s + (_timed(engine, batch) if batch else 0.0), count + len(batch)


def _timed(engine: Engine, batch: list[LogRecord]) -> float:
    began_s = time.process_time()
    engine.apply(batch)
    return time.process_time() - began_s


def _resident() -> int:
    """Bytes of memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(one for one in status.splitlines() if one.startswith("VmRSS:"))
    return int(line.split()[1]) * _KIB


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(msgspec.json.encode(step(int(sys.argv[2]))).decode())
        return
    for lifts in map(int, sys.argv[1:] or SIZES):
        said = subprocess.run(
            [sys.executable, "-m", "bench.entities", "--one", str(lifts)], check=True, capture_output=True
        )
        one = msgspec.json.decode(said.stdout, type=Stepped)
        print(
            f"{one.lifts:>9,} lifts: {one.cpu_us:.1f} µs CPU a reading over {one.rows:,}; a lift has "
            f"{one.snapshot_bytes:.0f} bytes in a snapshot, {one.memory_bytes:.0f} in memory; "
            f"a whole snapshot takes {one.save_s:.1f} s of CPU to copy",
            flush=True,
        )


if __name__ == "__main__":
    main()
