"""Eclipse Mosquitto from the system's packages: MQTT 3.1.1 and 5, shared subscriptions, sessions on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from zhiwei.testing.servers.process import HOST, Server, accepts, free_port, program

_MOST_IN_FLIGHT = 10_000
_MOST_QUEUED = 1_000_000
_MOST_PACKET_BYTES = 16 * 1024 * 1024


class Mosquitto(Server):
    """A broker that asks nobody who he is.

    Sessions, queues and retained messages are written once a second, or every ``saved_s``: what it
    acknowledged since then may be gone after ``kill``. Each time it writes them whole.
    """

    name: ClassVar[str] = "mosquitto"
    environment: ClassVar[Mapping[str, str]] = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=0"}
    """glibc keeps small freed pieces aside and joins them all at once: after millions of queued messages it
    stood still for 0.9 s, every half a minute of the drain (perf: malloc_consolidate)."""

    def __init__(self, folder: Path, *, queued: int = _MOST_QUEUED, saved_s: int = 1) -> None:
        """queued: messages that it keeps for a session; what comes above it is dropped."""
        super().__init__(folder)
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} {HOST}\n"
            "allow_anonymous true\n"
            # Started by root it would become another, who may not write into our folder. No effect else.
            "user root\n"
            "persistence true\n"
            f"persistence_location {folder}/\n"
            f"autosave_interval {saved_s}\n"
            f"max_inflight_messages {_MOST_IN_FLIGHT}\n"
            f"max_queued_messages {queued}\n"
            f"max_packet_size {_MOST_PACKET_BYTES}\n"
            "set_tcp_nodelay true\n"
            "log_dest stdout\n"
            "log_timestamp_format %H:%M:%S\n",
            encoding="utf-8",
        )

    @classmethod
    def find(cls) -> None:
        _broker()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        return (_broker(), "-c", str(self._settings))

    def answers(self) -> bool:
        # It reads its sessions from disk before it listens.
        return accepts(self.port)


def _broker() -> str:
    return program("mosquitto", Path("/usr/sbin"), Path("/usr/local/sbin"))
