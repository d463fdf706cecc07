"""The embedded MQTT broker: rumqttd, compiled into iotcore, in a child process that ends with us.

The only importer of iotcore. Its sessions and queues are in memory (a restart forgets them), it asks nobody
who he is, and it delivers messages to topics with wildcards in them: loopback only, unless told otherwise.
"""

import contextlib
import errno
import logging
import socket
import threading
from types import TracebackType

from iotcore import Broker as Rumqttd

from zhiwei.errors import ZhiweiError
from zhiwei.logs import logger, say
from zhiwei.mqtt_packets import PASSED_ON, topic_room
from zhiwei.settings import Mqtt

_log = logger.getChild("broker")

CONNECTIONS_MOST = 10_000

LOOK_EVERY_S = 0.5
"""How often ``wait`` looks whether the process lives."""


class Broker:
    """The broker on the host and port of the settings. The process listens when ``start`` returns."""

    def __init__(self, settings: Mqtt) -> None:
        self._host, self._port = settings.host, settings.port
        self._most_bytes = topic_room(PASSED_ON * settings.max_payload_bytes)
        self._process: Rumqttd | None = None

    @property
    def running(self) -> bool:
        """Whether the child process lives."""
        return self._process is not None and bool(self._process.is_running)

    def start(self) -> "Broker":
        """Raises ZhiweiError, with what to do about it, where it cannot listen."""
        address = require_free(self._host, self._port)
        process = Rumqttd(
            port=self._port,
            listen=address,
            max_payload_size=self._most_bytes,
            max_connections=CONNECTIONS_MOST,
        )
        try:
            process.start()
        except (OSError, RuntimeError) as error:
            raise ZhiweiError(
                f"the embedded MQTT broker does not start on {self._host}:{self._port}: {error}"
            ) from None
        self._process = process
        say(_log, logging.INFO, "listening", host=self._host, port=self._port)
        return self

    def stop(self) -> None:
        """End the process and free its port; twice is once."""
        if self._process is not None:
            self._process.stop()
            self._process = None
            say(_log, logging.INFO, "stopped", host=self._host, port=self._port)

    def wait(self, stop: threading.Event) -> None:
        """Return when ``stop`` is set. Raises ZhiweiError if the process ends by itself."""
        while not stop.wait(LOOK_EVERY_S):
            if not self.running:
                raise ZhiweiError("the embedded MQTT broker has ended; its sessions and queues are gone")

    def __enter__(self) -> "Broker":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def require_free(host: str, port: int) -> str:
    """The host as an IPv4 address on which the port is free. Raises ZhiweiError saying what to do."""
    where = f"{host}:{port}"
    try:
        address = str(socket.getaddrinfo(host, port, socket.AF_INET)[0][4][0])
    except OSError as error:
        raise ZhiweiError(f"[mqtt] host = {host!r}: {error}; set an address of this machine") from None
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does: not TIME_WAIT
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                todo = "set [mqtt] port or stop the other program"
                raise ZhiweiError(f"port {port} on {host} is taken; {todo}") from None
            raise ZhiweiError(
                f"cannot listen on {where}: {error.strerror}; check [mqtt] host and port"
            ) from None
    return address
