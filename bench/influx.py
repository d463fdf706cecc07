"""Telemetry to a real InfluxDB: our role by columns against a loop with a ``Point`` for each row.

``python -m bench.influx [ROWS]`` prints rows/s and CPU µs per row of both; needs ``make servers``.
Rows are of 2,000 pump rooms with eight channels, in frames of 2,000 rows. The role reads them from an
embedded log; the loop is given the frames, so it is spared reading.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS

from streams.telemetry.forwarder import BATCH_ROWS, Forwarder
from streams.telemetry.influx import Influx
from streams.telemetry.positions import Positions
from zhiwei import frames, registry
from zhiwei.clock import MICROS, SystemClock
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.settings import Influx as Settings
from zhiwei.sql import open_engine, sqlite_url
from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB

ENTITIES = FRAME_ROWS = 2_000
CHANNELS = (
    "free_chlorine", "ph", "turbidity", "conductivity", "temperature", "flow", "outlet_pressure",
    "tank_level",
)  # fmt: skip
SCHEMA = registry.scenario("water").schema
TOPIC = "readings.water"
START = 1_750_000_000 * MICROS


def frame(number: int, random: np.random.Generator) -> bytes:
    """A row of every pump room, a second after the frame before."""
    names = [f"station-{place}" for place in range(ENTITIES)]
    at = [START + number * MICROS] * ENTITIES
    channels = {}
    for name in CHANNELS:
        channel = SCHEMA.channel(name)
        assert channel is not None
        channels[name] = frames.arrow_column(channel, random.uniform(0.2, 5, ENTITIES).round(3).tolist())
    return frames.encode(
        SCHEMA, entity=names, device=["probe"] * ENTITIES, ts=at, arrived=at, flags=[0] * ENTITIES,
        channels=channels, clock="live",
    )  # fmt: skip


def by_points(client: InfluxDBClient, bucket: str, values: list[bytes]) -> None:
    """What the library's own examples do."""
    writer = client.write_api(write_options=SYNCHRONOUS)
    waiting = []
    for value in values:
        columns = frames.decode(SCHEMA, value)
        for row in range(len(columns)):
            point = Point("water")  # type: ignore[no-untyped-call]
            point = point.tag("entity", columns.entities[columns.entity[row]])  # type: ignore[no-untyped-call]
            point = point.tag("device", columns.devices[columns.device[row]])
            for name, (numbers, valid) in columns.channels.items():
                if valid[row]:
                    point = point.field(name, float(numbers[row]))
            point = point.field("arrived", int(columns.arrived[row]))
            waiting.append(point.time(int(columns.ts[row]) * 1000))
            if len(waiting) == BATCH_ROWS:
                writer.write(bucket, record=waiting)
                waiting = []
    writer.write(bucket, record=waiting)


def measured(what: str, rows: int, work: Callable[[], object]) -> float:
    """CPU seconds of this process; prints them per row."""
    clock = SystemClock()
    began_s, began_cpu_s = clock.monotonic_s(), time.process_time()
    work()
    took_s, cpu_s = clock.monotonic_s() - began_s, time.process_time() - began_cpu_s
    print(f"{what}: {rows / took_s:,.0f} rows/s, {cpu_s / rows * 1e6:.1f} CPU µs per row")
    return cpu_s


def main(rows: int) -> None:
    """Both, each into a bucket of its own."""
    random = np.random.default_rng(2026)
    values = [frame(number, random) for number in range(rows // FRAME_ROWS)]
    rows = len(values) * FRAME_ROWS
    with tempfile.TemporaryDirectory() as name, InfluxDB(Path(name) / "influxdb") as server:
        folder = Path(name)
        log = CommitLog(folder / "log", "readings", writer=True)
        log.create_topic(TOPIC, 1)
        for value in values:
            log.append([Entry(TOPIC, 0, value)])
        bucket = server.create_bucket("ours")
        influx = Influx(Settings(url=server.url, token=TOKEN, org=ORG, bucket=bucket))
        positions = Positions(open_engine(sqlite_url(folder / "state.sqlite")))
        forwarder = Forwarder(log, positions, influx, SystemClock(), [SCHEMA])

        def ours() -> None:
            while forwarder.step():
                pass
            forwarder.send()

        columns = measured("by columns", rows, ours)
        bucket = server.create_bucket("points")
        with InfluxDBClient(server.url, TOKEN, org=ORG) as client:
            points = measured("a Point each", rows, lambda: by_points(client, bucket, values))
        print(f"ratio of CPU: {points / columns:.1f}")
        influx.close()
        log.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
