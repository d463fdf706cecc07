"""What the bed runs on, and the settings that choose it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import Server

SESSION_S = 3.0
"""Of the workers in Kafka's group: short, so that a pause beyond it is short too."""
_CONFIG = """
site = "local"
[streams]
scenarios = ["elderly"]
snapshot_s = {snapshot_s}
[log]
partitions = 4
[ingest]
unknown_devices = "provisional"
[kafka]
servers = "{kafka}"
prefix = "{name}."
session_s = {session_s}
[database]
url = "{database}"
[influx]
url = "{influx}"
org = "{org}"
token = "{token}"
bucket = "{bucket}"
timeout_s = 5
[[sources]]
name = "homes"
topics = "zw/v1/elderly/#"
clock = "simulated"
"""


@dataclass(slots=True)
class Servers:
    """One of each."""

    kafka: Kafka
    mosquitto: Mosquitto
    postgres: PostgreSQL
    influxdb: InfluxDB

    def named(self) -> dict[str, Server]:
        """By the names that faults know them by."""
        return {one.name: one for one in (self.kafka, self.mosquitto, self.postgres, self.influxdb)}

    def settings(self, name: str, snapshot_s: float) -> str:
        """In TOML, for a bed with a database and a bucket of its own, which are made. name: of it all."""
        return _CONFIG.format(
            kafka=self.kafka.bootstrap,
            database=self.postgres.create_database(name),
            influx=self.influxdb.url,
            org=ORG,
            token=TOKEN,
            bucket=self.influxdb.create_bucket(name),
            name=name,
            session_s=SESSION_S,
            snapshot_s=snapshot_s,
        )


@contextmanager
def opened(folder: Path) -> Iterator[Servers]:
    """Real servers of the campaign's own."""
    with ExitStack() as stack:
        enter = stack.enter_context
        yield Servers(
            enter(Kafka(folder / "kafka")),
            enter(Mosquitto(folder / "mosquitto")),
            enter(PostgreSQL(folder / "postgres")),
            enter(InfluxDB(folder / "influxdb")),
        )
