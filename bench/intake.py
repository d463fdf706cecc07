"""Ingest alone, from socket to a log that keeps nothing, over MQTT 5: our reading against paho's own.

Each runs as a process of its own (``python -m bench.intake``), so that its CPU is nobody else's; the broker
is a real Mosquitto, the load the same prepared packets.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.embedded import load_on
from ingest.service import Service
from zhiwei import metrics, registry
from zhiwei.clock import SystemClock
from zhiwei.contracts import Entry
from zhiwei.settings import WINDOW_5, Ingest, Mqtt, Settings, Streams
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.process import HOST

SCENARIO = "water"
STATIONS = 2000
_WARM_UP = 5000
"""Messages that come first: routes are learned, and the load has begun."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one ingest process did."""

    messages: int
    rate: float
    """Messages a second."""
    cpu_us: float
    """Of each message."""


def compare() -> None:
    """Three runs of each, in turn."""
    for _ in range(3):
        ours = intake(100_000, STATIONS, in_blocks=True)
        theirs = intake(20_000, STATIONS, in_blocks=False)
        for name, run in (("read in blocks", ours), ("read by paho", theirs)):
            print(
                f"{name}: {run.messages} messages, {run.rate:,.0f} msg/s, CPU µs per message {run.cpu_us:.1f}"
            )
        print(f"paho's own reading costs ingest {theirs.cpu_us / ours.cpu_us:.1f} times as much")


class NoLog:
    """Takes everything at once, and keeps nothing."""

    def append(self, entries: Sequence[Entry]) -> list[int]:
        return [0] * len(entries)


def intake(messages: int, stations: int, *, in_blocks: bool) -> Taken:
    """A broker, an ingest process and the load, on this machine."""
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        command = [
            sys.executable,
            "-m",
            "bench.intake",
            "--port",
            str(broker.port),
            "--messages",
            str(messages),
        ]
        if not in_blocks:
            command.append("--stock")
        load = ("--messages", str(messages), "--stations", str(stations))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with load_on(broker.port, *load) as go:
                go()
                count, seconds, cpu_s = map(float, process.stdout.readline().split())
    return Taken(int(count), count / seconds, cpu_s * 1e6 / count)


def _serve(port: int, messages: int, *, in_blocks: bool) -> None:
    settings = Settings(
        mqtt=Mqtt(embedded=False, version=5, host=HOST, port=port, client_id="bench-ingest"),
        ingest=Ingest(unknown_devices="provisional", window=WINDOW_5),
        streams=Streams(scenarios=(SCENARIO,)),
    )
    schemas = {SCENARIO: registry.scenario(SCENARIO).schema}
    service = Service(settings, schemas, NoLog(), SystemClock(), in_blocks=in_blocks)
    while not service.live:
        service.turn()
    print("live", flush=True)
    while _rows() < _WARM_UP:
        service.turn()
    first, began_s, cpu_s = _rows(), time.monotonic(), time.process_time()
    while _rows() < messages:
        service.turn()
    cpu_s, seconds = time.process_time() - cpu_s, time.monotonic() - began_s
    print(messages - first, seconds, cpu_s, flush=True)
    service.close()


def _rows() -> int:
    return int(metrics.REGISTRY.get_sample_value("zhiwei_ingest_rows_total", {"scenario": SCENARIO}) or 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--stock", action="store_true", help="paho's own reading")
    said = parser.parse_args()
    _serve(said.port, said.messages, in_blocks=not said.stock)


if __name__ == "__main__":
    main()
