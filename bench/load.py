"""A publisher that costs little: QoS 1 packets built ahead, written in blocks; PUBACKs are only counted.

Runs as a process of its own (``python -m bench.load``), so that its CPU is not ours.
"""

import argparse
import socket
import struct
import sys
import time

_KEEPALIVE_S = 60
_BLOCK = 64 * 1024
_LOOKS = 20
"""Acknowledgements are looked for when a part of the bound is unacknowledged: a look costs like a packet."""
LATENCY_EVERY = 25
"""At a paced rate every so many stations one goes through a turbidity event, a row at a time."""


class Connection:
    """One MQTT 3.1.1 connection that publishes at QoS 1 with a bound on what is unacknowledged."""

    def __init__(self, port: int, client_id: str, in_flight: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02" + struct.pack("!HH", _KEEPALIVE_S, len(name)) + name
        self._socket.sendall(bytes((0x10, len(body))) + body)
        if self._socket.recv(4)[3:4] != b"\x00":
            raise SystemExit("the broker refused the publisher")
        self._in_flight, self._sent, self._acked, self._left = in_flight, 0, 0, 0
        self._number = 0

    def packet(self, topic: bytes, payload: bytes) -> bytes:
        """A PUBLISH at QoS 1 with the next packet id."""
        self._number = self._number % 65_535 + 1
        size = 2 + len(topic) + 2 + len(payload)
        length = bytes((size,)) if size < 128 else bytes((size % 128 | 128, size // 128))
        number = struct.pack("!H", self._number)
        return b"\x32" + length + struct.pack("!H", len(topic)) + topic + number + payload

    def send(self, packets: list[bytes]) -> None:
        """Write these; waits while too many are unacknowledged."""
        self.send_block(b"".join(packets), len(packets))

    def send_block(self, data: bytes, packets: int) -> None:
        """The same with packets that stand behind each other already."""
        self._socket.sendall(data)
        self._sent += packets
        while self._sent - self._acked > self._in_flight:
            self._take_acks(block=True)
        if self._sent - self._acked > self._in_flight // _LOOKS:
            self._take_acks(block=False)

    def finish(self) -> None:
        """Wait until everything is acknowledged."""
        while self._acked < self._sent:
            self._take_acks(block=True)

    def _take_acks(self, *, block: bool) -> None:
        try:
            data = self._socket.recv(_BLOCK, 0 if block else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            raise SystemExit("the broker closed the publisher's connection")
        self._left += len(data)  # a PUBACK is four bytes, and nothing else comes
        self._acked, self._left = self._acked + self._left // 4, self._left % 4


def reading(ts_ms: int, number: int, *, high: bool) -> bytes:
    """About 80 bytes of native JSON of one water station."""
    wiggle = (number * 7919) % 100
    turbidity = 2.5 if high else 0.25 + wiggle / 1000
    return b'{"ts":%d,"free_chlorine":%.3f,"ph":%.2f,"turbidity":%.3f}' % (
        ts_ms,
        0.42 + wiggle / 5000,
        7.2 + wiggle / 1000,
        turbidity,
    )


def topic_of(station: int) -> bytes:
    return b"zw/v1/water/station-%05d/probe" % station


def saturate(connection: Connection, messages: int, stations: int) -> None:
    """As fast as it goes."""
    ts = int(time.time() * 1000)
    block: list[bytes] = []
    packets: list[list[bytes]] = []
    for number in range(messages):
        ts_ms = ts - (messages - number) // stations * 1000
        block.append(connection.packet(topic_of(number % stations), reading(ts_ms, number, high=False)))
        if len(block) == 200:
            packets.append(block)
            block = []
    packets.append(block)
    say("built")
    sys.stdin.readline()
    for block in packets:
        connection.send(block)
    connection.finish()


def pace(connection: Connection, rate: int, seconds: float, stations: int) -> None:
    """So many messages a second, evenly; now and then a station's turbidity is too high for three rows."""
    say("built")
    sys.stdin.readline()
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        ahead = due - time.monotonic()
        if ahead > 0.0005:
            time.sleep(ahead)
        station, turn = number % stations, number // stations
        high = station % LATENCY_EVERY == turn // 4 % LATENCY_EVERY and turn % 4 < 3
        connection.send(
            [connection.packet(topic_of(station), reading(int(time.time() * 1000), number, high=high))]
        )
    connection.finish()


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stations", type=int, default=2000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=0, help="0 = as fast as it goes")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--in-flight", type=int, default=2000)
    said = parser.parse_args()
    connection = Connection(said.port, "bench-load", said.in_flight)
    if said.rate:
        pace(connection, said.rate, said.seconds, said.stations)
    else:
        saturate(connection, said.messages, said.stations)
    say("done")


if __name__ == "__main__":
    main()
