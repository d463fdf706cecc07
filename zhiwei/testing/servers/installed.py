"""Which servers there are to test with."""

import os
from functools import cache

from zhiwei.testing.servers.influxdb import InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import Missing, Server

SERVERS: tuple[type[Server], ...] = (Kafka, Mosquitto, InfluxDB, PostgreSQL)


@cache
def missing() -> tuple[str, ...]:
    """What is not installed; empty where CI is set, as there it is a failure and no excuse."""
    found = []
    for server in SERVERS if not os.environ.get("CI") else ():
        try:
            server.find()
        except Missing as lacking:
            found.append(str(lacking))
    return tuple(found)
