"""A broker of MQTT 3.1.1 and 5 that does what a test tells it, and keeps a trace of every packet.

It accepts, subscribes and acknowledges like a broker, but delivers nothing by itself, except a canary back
to its sender if told so. The test sends packets and closes connections when it wants to.
"""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that a client sent: number of its connection, type, flags and body."""

    connection: int
    kind: int
    flags: int
    body: bytes
    version: int = 4
    """Protocol level of its connection: 4 is MQTT 3.1.1."""

    @property
    def packet_id(self) -> int:
        """Of a PUBACK."""
        return int.from_bytes(self.body[:2], "big")

    @property
    def published(self) -> tuple[str, bytes]:
        """Topic and payload of a PUBLISH at QoS 1."""
        size = int.from_bytes(self.body[:2], "big")
        behind = 4 + size + (self.version == 5)  # our clients send no properties: a length of 0
        return self.body[2 : 2 + size].decode(), self.body[behind:]


def publish(
    topic: bytes, payload: bytes, packet_id: int = 0, *, flags: int = 0, properties: bytes | None = None
) -> bytes:
    """A PUBLISH packet: QoS 1 with a packet id, QoS 0 without; of MQTT 5 with properties, if only b\"\"."""
    number = struct.pack(">H", packet_id) if packet_id else b""
    more = b"" if properties is None else length(len(properties)) + properties
    body = struct.pack(">H", len(topic)) + topic + number + more + payload
    return bytes([0x30 | (2 if packet_id else 0) | flags]) + length(len(body)) + body


def length(size: int) -> bytes:
    """The remaining length of a packet, one to four bytes."""
    out = b""
    while True:
        size, digit = divmod(size, 128)
        out += bytes([digit | (0x80 if size else 0)])
        if not size:
            return out


class ScriptedBroker:
    """Listens on a free port of 127.0.0.1 until the ``with`` block ends.

    session_present, connack, suback: what to answer. limits: properties of an MQTT 5 CONNACK. echo: send a
    PUBLISH back to its sender if its topic begins so. acknowledge: whether a PUBLISH gets a PUBACK.
    close_after: packets of a connection, CONNECT included, after which it is closed.
    """

    def __init__(
        self,
        *,
        session_present: bool = True,
        connack: int = 0,
        suback: int = 1,
        limits: bytes = b"",
        echo: str | None = None,
        acknowledge: bool = True,
        close_after: int | None = None,
    ) -> None:
        self.session_present, self.connack, self.suback = session_present, connack, suback
        self.limits = limits
        self.echo, self.acknowledge, self.close_after = echo, acknowledge, close_after
        self.trace: list[Packet] = []
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._echoed = 60_000
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "ScriptedBroker":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_connections()
        for thread in self._threads:
            thread.join(5)

    def send(self, data: bytes) -> None:
        """Bytes to the newest connection."""
        self._connections[-1].sendall(data)

    def close_connections(self) -> None:
        """Hang up on everybody."""
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def packets(self, kind: int) -> list[Packet]:
        """What came of this kind so far."""
        with self._changed:
            return [packet for packet in self.trace if packet.kind == kind]

    def acknowledged(self) -> list[int]:
        """Packet ids of the PUBACKs so far."""
        return [packet.packet_id for packet in self.packets(PUBACK)]

    def wait(self, done: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Whether it came true before the deadline; looked at after each packet."""
        with self._changed:
            return self._changed.wait_for(done, timeout_s)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(
                target=self._serve, args=(connection, len(self._connections)), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            count, version = 0, 4
            try:
                while packet := _read(stream, number, version):
                    if packet.kind == CONNECT:
                        version = packet.body[6]
                        packet = replace(packet, version=version)
                    count += 1
                    with self._changed:  # whoever has seen the answer finds the packet in the trace
                        for answer in self._answers(packet):
                            connection.sendall(answer)
                        self.trace.append(packet)
                        self._changed.notify_all()
                    if self.close_after is not None and count >= self.close_after:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
            except OSError:
                return

    def _answers(self, packet: Packet) -> list[bytes]:
        five = packet.version == 5
        if packet.kind == CONNECT:
            present = self.session_present and not self.connack
            body = bytes([int(present), self.connack])
            if five:
                body += length(len(self.limits)) + self.limits
            return [b"\x20" + length(len(body)) + body]
        if packet.kind == SUBSCRIBE:
            filters, rest = 0, packet.body[2 + five :]
            while rest:
                filters, rest = filters + 1, rest[3 + int.from_bytes(rest[:2], "big") :]
            body = packet.body[:2] + bytes(five) + bytes([self.suback]) * filters
            return [b"\x90" + length(len(body)) + body]
        if packet.kind == PINGREQ:
            return [b"\xd0\x00"]
        if packet.kind == PUBLISH:
            return self._answers_publish(packet)
        return []

    def _answers_publish(self, packet: Packet) -> list[bytes]:
        topic, payload = packet.published
        size = len(topic.encode())
        answers = []
        if self.acknowledge:
            answers.append(b"\x40\x02" + packet.body[2 + size : 4 + size])
        if self.echo is not None and topic.startswith(self.echo):
            self._echoed += 1
            answers.append(
                publish(
                    topic.encode(), payload, self._echoed, properties=b"" if packet.version == 5 else None
                )
            )
        return answers


def _read(stream: BinaryIO, number: int, version: int) -> Packet | None:
    read = stream.read
    first = read(1)
    if not first:
        return None
    size = shift = 0
    while True:
        digit = read(1)
        if not digit:
            return None
        size |= (digit[0] & 0x7F) << shift
        shift += 7
        if digit[0] < 0x80:
            break
    body = read(size)
    return Packet(number, first[0] >> 4, first[0] & 0x0F, body, version) if len(body) == size else None
