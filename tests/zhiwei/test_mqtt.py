"""The paho edge: block reading against paho as it comes, and the publisher against a scripted broker."""

import logging
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from zhiwei import mqtt
from zhiwei.errors import Permanent, Retryable
from zhiwei.mqtt import Link, Publisher, reads_in_blocks
from zhiwei.settings import Mqtt
from zhiwei.testing.scripted_broker import CONNECT, PUBLISH, ScriptedBroker, publish

CONNACK = b"\x20\x02\x01\x00"
SUBACK = b"\x90\x04\x00\x01\x01\x80"
PINGRESP = b"\xd0\x00"
PUBACK = b"\x40\x02\x00\x09"


class Pieces:
    """A socket that gives what it was given, a piece at a time, and then hangs up."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [bytearray(piece) for piece in pieces if piece]
        self.between = False

    def recv(self, size: int) -> bytes:
        if self.between:  # the end of a piece is the end of what has arrived
            self.between = False
            raise BlockingIOError
        if not self.pieces:
            return b""
        data = bytes(self.pieces[0][:size])
        del self.pieces[0][:size]
        if not self.pieces[0]:
            del self.pieces[0]
            self.between = True
        return data

    def send(self, data: bytes) -> int:
        return len(data)

    def setblocking(self, flag: bool) -> None: ...

    def close(self) -> None: ...

    def fileno(self) -> int:
        return -1


def outcome(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], *, in_blocks: bool) -> tuple[Any, ...]:
    """What a link makes of a byte stream: messages, state, and whether it ended before the stream did."""
    monkeypatch.setattr(mqtt._Client, "_create_socket", lambda _: Pieces(pieces))
    link = Link(Mqtt(client_id="c"), clean_session=False, keepalive_s=15, in_blocks=in_blocks, opened_s=0.0)
    client = link._client
    client._out_messages[9] = ours = mqtt.MQTTMessage(9, b"ours")  # waits for PUBACK 9
    ours.qos = 1
    sock = client.socket()
    while client.socket() is not None and (sock.pieces or sock.between):  # type: ignore[union-attr]
        client.loop_read()
    early = client.socket() is None
    return link.taken()[0], link.accepted, link.session_present, link.granted, link.published, early


GOOD = [
    CONNACK,
    SUBACK,
    publish(b"zw/v1/water/a/d", b"one", 7),
    publish(b"t", b"", 0),
    PINGRESP,
    publish(b"t\xff", b"y" * 200, 8, flags=9),
    PUBACK,
    publish(b"t", b"last", 65_535),
]
STREAMS = {
    "good": b"".join(GOOD),
    "a packet that nobody sends": b"".join(GOOD[:3]) + b"\xf0\x00" + GOOD[3],
    "QoS 3": b"".join(GOOD[:3]) + b"\x36\x05\x00\x01t\x00\x01" + GOOD[3],
    "no topic": b"".join(GOOD[:3]) + b"\x30\x02\x00\x00" + GOOD[3],
    "a topic longer than its packet": b"".join(GOOD[:3]) + b"\x32\x04\x00\x09ab" + GOOD[3],
    "five bytes of length": b"".join(GOOD[:3]) + b"\x30\xff\xff\xff\xff\x01" + GOOD[3],
    "a CONNACK of the wrong size": b"\x20\x03\x00\x00\x00" + GOOD[2],
    "refused": b"\x20\x02\x00\x05" + GOOD[2],
}


@pytest.mark.parametrize("name", STREAMS)
def test_block_reading_makes_of_a_stream_what_stock_paho_makes_cut_at_any_position(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stream = STREAMS[name]
    expected = outcome(monkeypatch, [stream], in_blocks=False)
    for cut in range(len(stream)):
        pieces = [stream[:cut], stream[cut:]]
        assert outcome(monkeypatch, pieces, in_blocks=True) == expected, cut


def test_block_reading_byte_by_byte_is_stock_paho_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [bytes([byte]) for byte in STREAMS["good"]]
    expected = outcome(monkeypatch, pieces, in_blocks=False)
    assert len(expected[0]) == 4
    assert expected[1:] == (True, True, [1, 128], [9], False)
    assert outcome(monkeypatch, pieces, in_blocks=True) == expected


def test_a_busy_connection_is_not_taken_for_a_silent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt._Client, "_create_socket", lambda _: Pieces([CONNACK]))
    link = Link(Mqtt(), clean_session=False, keepalive_s=15, in_blocks=True, opened_s=0.0)
    link._client._last_bytes_received = 0.0  # what paho's keep-alive goes by
    link._client.loop_read()
    assert link._client._last_bytes_received > 0.0


def test_another_paho_is_read_packet_by_packet_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert reads_in_blocks()
    monkeypatch.setattr(mqtt.paho, "__version__", "2.3.0")
    with caplog.at_level(logging.WARNING):
        assert not reads_in_blocks()
    assert len(caplog.records) == 1
    monkeypatch.undo()
    monkeypatch.setattr(mqtt, "_LEANS_ON", ("_sock", "_gone"))
    assert not reads_in_blocks()


def test_bytes_that_tls_holds_are_read_though_select_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decrypted(Pieces):
        def pending(self) -> int:
            return sum(map(len, self.pieces))

    monkeypatch.setattr(mqtt._Client, "_create_socket", lambda _: Decrypted([CONNACK]))
    waits: list[float] = []

    def silent(r: object, w: object, x: object, timeout_s: float) -> tuple[list[Any], list[Any], list[Any]]:
        waits.append(timeout_s)
        return [], [], []

    monkeypatch.setattr(select, "select", silent)
    link = Link(Mqtt(), clean_session=False, keepalive_s=15, in_blocks=True, opened_s=0.0)
    link.turn(5.0)
    assert (link.accepted, waits) == (True, [0.0])


@pytest.mark.parametrize(
    ("host", "through"), [("127.0.0.1", False), ("localhost", False), ("10.1.2.3", True)]
)
def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, through: bool
) -> None:
    class Socks:
        HTTP, SOCKS4, SOCKS5 = 3, 1, 2

        @staticmethod
        def get_default_proxy() -> None:
            return None

    monkeypatch.setattr("paho.mqtt.client.socks", Socks, raising=False)
    monkeypatch.setenv("mqtt_proxy", "http://proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    client = mqtt._Client(1000, "c", clean_session=False)
    client.host = host
    assert (client._get_proxy() is not None) == through


# ------------------------------------------------------------------ publishing


def publisher(broker: ScriptedBroker, **more: Any) -> Publisher:
    return Publisher(host="127.0.0.1", port=broker.port, client_id="p", backoff_s=(0.01, 0.05), **more)


def payloads(broker: ScriptedBroker, connection: int | None = None) -> list[bytes]:
    """Of all connections, or of one: packets of two connections may cross in the trace."""
    return [
        packet.published[1]
        for packet in broker.packets(PUBLISH)
        if connection is None or packet.connection == connection
    ]


@pytest.fixture
def scripted() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


def test_messages_are_published_in_order_and_acknowledged(scripted: ScriptedBroker) -> None:
    sent = [b"%d" % number for number in range(500)]
    with publisher(scripted, in_flight=20) as out:
        for payload in sent:
            out.publish("t", payload)
        out.flush(10)
        assert out.unacknowledged == 0
    assert payloads(scripted) == sent


def test_what_was_not_acknowledged_goes_out_again_in_order_on_the_next_connection() -> None:
    with ScriptedBroker(acknowledge=False) as broker, publisher(broker) as out:
        for payload in (b"1", b"2", b"3"):
            out.publish("t", payload)
        while len(payloads(broker)) < 3:
            with pytest.raises(Retryable):
                out.flush(0.05)
        broker.acknowledge = True
        broker.close_connections()
        out.flush(10)
        last = broker.packets(CONNECT)[-1].connection
        assert payloads(broker, last) == [b"1", b"2", b"3"]


def test_publish_waits_at_the_bound_and_does_not_take_the_message() -> None:
    with ScriptedBroker(acknowledge=False) as broker, publisher(broker, in_flight=2) as out:
        out.publish("t", b"1")
        out.publish("t", b"2")
        with pytest.raises(Retryable, match=r"2 messages not acknowledged within 0\.05 s"):
            out.publish("t", b"3", timeout_s=0.05)
        assert out.unacknowledged == 2


def test_a_message_over_which_the_broker_hangs_up_again_and_again_is_refused_for_good() -> None:
    with ScriptedBroker(acknowledge=False, close_after=2) as broker, publisher(broker) as out:
        with pytest.raises(Permanent, match=r"5 times over one message to 't' of 3 bytes"):
            out.send("t", b"big", timeout_s=20)
        assert len(broker.packets(CONNECT)) == 5


def test_send_gives_a_message_up_that_nobody_acknowledges_in_time() -> None:
    with ScriptedBroker(acknowledge=False) as broker, publisher(broker) as out:
        with pytest.raises(Retryable):
            out.send("t", b"1", timeout_s=0.05)
        assert out.unacknowledged == 0
        broker.acknowledge = True
        out.send("t", b"2", timeout_s=10)
        last = broker.packets(CONNECT)[-1].connection
        assert payloads(broker, last) == [b"2"]


def test_a_broker_that_is_away_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    out = Publisher(host="127.0.0.1", port=port, client_id="p", backoff_s=(0.01, 0.05))
    with pytest.raises(Retryable, match="refused"):
        out.send("t", b"1", timeout_s=0.05)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65_536])
def test_a_topic_that_cannot_be_published_to_is_refused_for_good(
    scripted: ScriptedBroker, topic: str
) -> None:
    with publisher(scripted) as out, pytest.raises(Permanent, match="expected 1 to 65535 bytes"):
        out.publish(topic, b"")
