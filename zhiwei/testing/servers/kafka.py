"""Apache Kafka in KRaft mode: one process that is broker and controller."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from zhiwei.testing.servers.process import HOST, TOOLS, Missing, Server, free_port, program

_JARS = TOOLS / "kafka" / "lib"
_HEAP = "-Xmx512m"
_LOG = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # Else every start lists its 300 settings, several times.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)
_FORMAT = ("kafka.tools.StorageTool", "format", "--cluster-id", "emhpd2VpLXRlc3RzLTAwMQ", "--config")
_STARTED = "Kafka Server started"
"""Said when the broker may be used: its listener is open and the controller has let it in."""


class Kafka(Server):
    """A cluster of one. Topics are made by who needs them; a group does not wait for more members."""

    name: ClassVar[str] = "kafka"

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """settings: lines for server.properties beside or instead of ours, such as ``message.max.bytes``."""
        super().__init__(folder)
        self.port = free_port()
        self._properties = folder / "server.properties"
        lines = {**_properties(self.port, free_port(), folder / "data"), **(settings or {})}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    @classmethod
    def find(cls) -> None:
        program("java")
        if not any(_JARS.glob("kafka_*.jar")):
            raise Missing("no jars of Kafka")

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    def start(self) -> None:
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()
        super().start()

    def command(self) -> Sequence[str]:
        return (program("java"), _HEAP, *_LOG, "-cp", f"{_JARS}/*", "kafka.Kafka", str(self._properties))

    def answers(self) -> bool:
        return _STARTED in self.said()

    def _format(self) -> None:
        """Give the empty folder its cluster's id, without which a broker does not start."""
        with self.log_file.open("ab") as log:
            subprocess.run(
                (
                    program("java"),
                    "-XX:TieredStopAtLevel=1",
                    *_LOG,
                    "-cp",
                    f"{_JARS}/*",
                    *_FORMAT,
                    str(self._properties),
                ),
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _properties(port: int, controller: int, data: Path) -> dict[str, str]:
    one_copy = {
        f"{topic}.{key}": "1"
        for topic in ("transaction.state.log", "share.coordinator.state.topic")
        for key in ("replication.factor", "min.isr")
    }
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        **one_copy,
        # 50 partitions by default, each with its files: a start of a test would wait for them.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        # After kill -9 the new process is let in when the old one's session is over.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # The default of 128 MiB is a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": "16777216",
    }
