"""The bed of a city on real servers, and what each of its processes uses."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.embedded import cpu_of_tree, load_on
from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import Server
from zhiwei.wiring.trial import Trial

WORKER = "streams"
"""The first worker; further ones have its name and a number."""
OURS = ("ingest", "stream")
"""From socket to finding; telemetry and dispatch apart."""
WARM_UP_TURNS = 3
WARM_UP_S, WARM_UP_RATE = 60.0, 8030
"""Of a calm city: Kafka costs twice as much in its first minute, while the JVM compiles it, as in the second
(72 and 40 µs a message, measured)."""
LOOK_S = 0.5
"""Between two looks at the figures, which are written once a second: fifty looks took a third of a core."""
_MOST_QUEUED = 10_000_000
_CONFIG = """
site = "city"
[ingest]
unknown_devices = "provisional"
entities_most = 1000000
[streams]
scenarios = ["elevator"]
[log]
partitions = {partitions}
[kafka]
servers = "{kafka}"
session_s = {session_s}
[database]
url = "{database}"
[influx]
url = "{influx}"
org = "{org}"
token = "{token}"
bucket = "{bucket}"
"""


def pacing(lifts: int, rate: int, seconds: float, presses: float) -> tuple[str, ...]:
    """Options of ``bench.lifts`` for so many readings, and so many alarm buttons, a second."""
    said = {"--lifts": lifts, "--rate": rate, "--seconds": seconds, "--presses": presses}
    return tuple(str(word) for option in said.items() for word in option)


def socket_to_finding(cpu_us: Mapping[str, float]) -> float:
    """Of what each role and server uses, ours; telemetry and dispatch apart."""
    return sum(cpu_us[role] for role in OURS)


@dataclass(slots=True)
class City:
    """Servers that run, and the bed on them."""

    kafka: Kafka
    mosquitto: Mosquitto
    postgres: PostgreSQL
    influx: InfluxDB
    trial: Trial
    workers: tuple[str, ...]
    """Names of all workers of streams, as their figures have them."""

    @property
    def port(self) -> int:
        """Of the MQTT broker."""
        return self.mosquitto.port

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds that each role and server has used; workers of streams together."""
        spent: dict[str, float] = {}
        for child in self.trial.supervisor.children:
            role = "stream" if child.name in self.workers else child.name
            if child.process is not None:
                spent[role] = spent.get(role, 0.0) + cpu_of_tree(child.process.pid)
        servers: Sequence[Server] = (self.kafka, self.mosquitto, self.postgres, self.influx)
        return spent | {server.name: cpu_of_tree(server.pid) for server in servers}

    def applied(self) -> float:
        """Rows that have reached the rules, in any lane; a second old."""
        bins = ("applied", "late", "duplicate")
        return sum(self.trial.figure(w, "zhiwei_rows", bin=b) for w in self.workers for b in bins)

    def wait_applied(self, rows: float, most_s: float) -> None:
        """Raises AssertionError if so many rows have not reached the rules in time."""
        self.trial.until(
            lambda: self.applied() >= rows, f"{rows:.0f} rows are stepped", most_s, look_s=LOOK_S
        )

    def warm_up(self, lifts: int) -> None:
        """Each lift a few times, as fast as it goes: afterwards all know them, and all code is loaded. Then
        a calm minute at a city's pace."""
        turns, rate = WARM_UP_TURNS * lifts, min(lifts, WARM_UP_RATE)
        self._taken_in(turns, "--lifts", str(lifts), "--gathered", str(turns))
        self._taken_in(int(rate * WARM_UP_S), *pacing(lifts, rate, WARM_UP_S, 0))

    def _taken_in(self, messages: int, *options: str) -> None:
        """Publish these and wait until the rules have seen them."""
        before = self.applied()
        with load_on(self.port, *options, module="bench.lifts") as go:
            go()
            self.wait_applied(before + messages, 300)

    def meter(self) -> "Meter":
        """A meter that starts now."""
        return Meter(self, self.cpu_s(), time.monotonic())


@dataclass(slots=True)
class Meter:
    """What is used between its making and ``read``."""

    city: City
    before: dict[str, float]
    began_s: float

    def read(self, messages: int) -> tuple[float, dict[str, float]]:
        """Seconds since it was made, and CPU µs a message of each role and server."""
        seconds, after = time.monotonic() - self.began_s, self.city.cpu_s()
        return seconds, {one: (after[one] - self.before.get(one, 0.0)) / messages * 1e6 for one in after}


def broker(folder: Path) -> Mosquitto:
    """An MQTT broker that may keep a city's outage; not started yet."""
    return Mosquitto(folder, queued=_MOST_QUEUED, saved_s=3600)


@contextmanager
def city(*, partitions: int = 4, workers: int = 1, session_s: float = 10.0) -> Iterator[City]:
    """Servers and bed in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="zw-city-") as place, ExitStack() as opened:
        folder, enter = Path(place), opened.enter_context
        kafka, mosquitto = (
            enter(Kafka(folder / "kafka")),
            enter(broker(folder / "mosquitto")),
        )
        postgres, influx = enter(PostgreSQL(folder / "postgres")), enter(InfluxDB(folder / "influx"))
        config = _CONFIG.format(
            partitions=partitions,
            kafka=kafka.bootstrap,
            session_s=session_s,
            database=postgres.create_database("city"),
            influx=influx.url,
            org=ORG,
            token=TOKEN,
            bucket=influx.create_bucket("city"),
        )
        further = tuple(f"{WORKER}-{number}" for number in range(2, workers + 1))
        (folder / "bed").mkdir()
        trial = enter(Trial(folder / "bed", config, mqtt_port=mosquitto.port, workers=further))
        yield City(kafka, mosquitto, postgres, influx, trial, (WORKER, *further))
