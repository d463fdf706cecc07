"""Block reading against paho as it comes, on the same bytes, in both versions of MQTT."""

import logging
import select
from typing import Any

import paho.mqtt.client
import pytest
from paho.mqtt.client import MQTTMessage

from zhiwei.mqtt import Limits, Link, client, reads_in_blocks
from zhiwei.mqtt.client import PacketClient, Version
from zhiwei.settings import Mqtt
from zhiwei.testing.scripted_broker import publish

PINGRESP = b"\xd0\x00"
PUBACK = b"\x40\x02\x00\x09"
AUTH = b"\xf0\x00"
TAKEN_OVER = b"\xe0\x02\x8e\x00"


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


def connected(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], version: Version = 3, **more: Any
) -> Link:
    """A link to nobody that will read these pieces."""
    monkeypatch.setattr(PacketClient, "_create_socket", lambda _: Pieces(pieces))
    asked = {"clean_session": False, "keepalive_s": 15, "in_blocks": True, "opened_s": 0.0, **more}
    return Link(Mqtt(client_id="c", version=version), **asked)


Outcome = tuple[list[Any], bool, bool, list[int] | None, list[int], Limits, bool, str, bool]


def outcome(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], version: Version, *, in_blocks: bool
) -> Outcome:
    """What a link makes of a byte stream: messages, state, and whether it ended before the stream did."""
    link = connected(monkeypatch, pieces, version, in_blocks=in_blocks)
    link._client._out_messages[9] = ours = MQTTMessage(9, b"ours")  # waits for PUBACK 9
    ours.qos = 1
    sock = link._client.socket()
    while link._client.socket() is not None and (sock.pieces or sock.between):  # type: ignore[union-attr]
        link._client.loop_read()
    return (
        link.taken()[0],
        link.accepted,
        link.session_present,
        link.granted,
        link.published,
        link.limits,
        link.ended_otherwise,
        link.ended,
        link._client.socket() is None,
    )


GOOD: dict[Version, list[bytes]] = {
    3: [
        b"\x20\x02\x01\x00",
        b"\x90\x04\x00\x01\x01\x80",
        publish(b"zw/v1/water/a/d", b"one", 7),
        publish(b"t", b"", 0),
        PINGRESP,
        publish(b"t\xff", b"y" * 200, 8, flags=9),
        PUBACK,
        publish(b"t", b"last", 65_535),
    ],
    5: [
        # receive maximum 20, maximum QoS 1, no shared subscriptions, session expiry 60 s
        b"\x20\x0f\x01\x00\x0c" + b"\x21\x00\x14" + b"\x24\x01" + b"\x2a\x00" + b"\x11\x00\x00\x00\x3c",
        b"\x90\x05\x00\x01\x00\x01\x9e",
        publish(b"zw/v1/water/a/d", b"one", 7, properties=b""),
        publish(b"t", b"", 0, properties=b"\x01\x01"),  # the payload is text
        PINGRESP,
        publish(b"t\xff", b"y" * 200, 8, flags=9, properties=b"\x26\x00\x01k\x00\x82" + b"v" * 130),
        PUBACK,
        b"\x40\x03\x00\x0a\x10",  # of none of ours: nobody had subscribed
        publish(b"t", b"last", 65_535, properties=b"\x02\x00\x00\x00\x3c"),  # expires after a minute
    ],
}
ALIAS = b"\x23\x00\x01"
STREAMS: dict[tuple[Version, str], bytes] = {
    (version, name): b"".join(GOOD[version][: len(GOOD[version]) if name == "good" else 3]) + wrong
    for version in (3, 5)
    for name, wrong in {
        "good": b"",
        "a packet that nobody sends": AUTH + PINGRESP,
        "QoS 3": b"\x36\x06\x00\x01t\x00\x01\x00" + PINGRESP,
        "no topic": b"\x30\x03\x00\x00\x00" + PINGRESP,
        "a topic longer than its packet": b"\x32\x04\x00\x09ab" + PINGRESP,
        "five bytes of length": b"\x30\xff\xff\xff\xff\x01" + PINGRESP,
        "a goodbye, and a message after it": TAKEN_OVER + GOOD[version][2],
    }.items()
}
HEAD_5 = GOOD[5][0]
NEXT_5 = GOOD[5][2]
STREAMS |= {
    (3, "a CONNACK of the wrong size"): b"\x20\x03\x00\x00\x00" + GOOD[3][2],
    (3, "refused"): b"\x20\x02\x00\x05" + GOOD[3][2],
    (5, "refused"): b"\x20\x03\x00\x87\x00" + NEXT_5,
    (5, "refused by a broker of 3.1.1"): b"\x20\x02\x00\x01" + NEXT_5,
    (5, "an alias for the topic"): HEAD_5 + publish(b"", b"x", 7, properties=ALIAS) + NEXT_5,
    (5, "an alias beside the topic"): HEAD_5 + publish(b"t", b"x", 7, properties=ALIAS) + NEXT_5,
    (5, "no room for properties"): HEAD_5 + b"\x32\x05\x00\x01t\x00\x07" + NEXT_5,
    (5, "properties longer than their packet"): HEAD_5 + b"\x32\x07\x00\x01t\x00\x07\x02x" + NEXT_5,
    (5, "five bytes of properties"): HEAD_5 + b"\x30\x08\x00\x01t\xff\xff\xff\xff\x01" + NEXT_5,
}


@pytest.mark.parametrize(("version", "name"), STREAMS)
def test_block_reading_makes_of_a_stream_what_stock_paho_makes_cut_at_any_position(
    monkeypatch: pytest.MonkeyPatch, version: Version, name: str
) -> None:
    stream = STREAMS[version, name]
    expected = outcome(monkeypatch, [stream], version, in_blocks=False)
    for cut in range(len(stream)):
        pieces = [stream[:cut], stream[cut:]]
        assert outcome(monkeypatch, pieces, version, in_blocks=True) == expected, cut


@pytest.mark.parametrize(
    ("version", "limits"),
    [(3, Limits()), (5, Limits(receive_maximum=20, maximum_qos=1, shared=False, session_expiry_s=60))],
)
def test_block_reading_byte_by_byte_is_stock_paho_byte_by_byte(
    monkeypatch: pytest.MonkeyPatch, version: Version, limits: Limits
) -> None:
    pieces = [bytes([byte]) for byte in STREAMS[version, "good"]]
    expected = outcome(monkeypatch, pieces, version, in_blocks=False)
    assert expected[0] == [
        (b"zw/v1/water/a/d", b"one", 7, 2),
        (b"t", b"", 0, 0),
        (b"t\xff", b"y" * 200, 8, 11),
        (b"t", b"last", 65_535, 2),
    ]
    assert expected[1:] == (True, True, [1, 128 if version == 3 else 158], [9], limits, False, "", False)
    assert outcome(monkeypatch, pieces, version, in_blocks=True) == expected


def test_mqtt_5_says_why_a_connection_ends_and_nothing_behind_that_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = STREAMS[5, "a goodbye, and a message after it"]
    messages, *_, otherwise, why, early = outcome(monkeypatch, [stream], 5, in_blocks=True)
    assert (len(messages), otherwise, why, early) == (1, False, "Session taken over", True)
    shutting_down = stream.replace(TAKEN_OVER, b"\xe0\x02\x8b\x00")
    messages, *_, otherwise, why, early = outcome(monkeypatch, [shutting_down], 5, in_blocks=True)
    assert (len(messages), otherwise, why, early) == (1, True, "Server shutting down", True)


def test_a_busy_connection_is_not_taken_for_a_silent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    link = connected(monkeypatch, [GOOD[3][0]])
    link._client._last_bytes_received = 0.0  # what paho's keep-alive goes by
    link._client.loop_read()
    assert link._client._last_bytes_received > 0.0


def test_another_paho_is_read_packet_by_packet_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert reads_in_blocks()
    monkeypatch.setattr(client.paho, "__version__", "2.3.0")
    with caplog.at_level(logging.WARNING):
        assert not reads_in_blocks()
    assert len(caplog.records) == 1
    monkeypatch.undo()
    monkeypatch.setattr(client, "_LEANS_ON", ("_sock", "_gone"))
    assert not reads_in_blocks()


def test_bytes_that_tls_holds_are_read_though_select_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decrypted(Pieces):
        def pending(self) -> int:
            return sum(map(len, self.pieces))

    monkeypatch.setattr(PacketClient, "_create_socket", lambda _: Decrypted([GOOD[3][0]]))
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
    one = PacketClient(1000, "c", clean_session=False)
    one.host = host
    assert (one._get_proxy() is not None) == through


class Open(Pieces):
    """A socket that stays open when all has been read."""

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            raise BlockingIOError
        return super().recv(size)


def test_a_broker_that_sends_is_alive_though_its_pingresp_waits_behind_what_it_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As behind an outage: more waits at the broker than it hands out within two keep-alives."""
    now_s = [1000.0]
    for module in (client, paho.mqtt.client):
        monkeypatch.setattr(module, "time_func", lambda: now_s[0])
    sock = Open([HEAD_5])
    monkeypatch.setattr(PacketClient, "_create_socket", lambda _: sock)
    settings = Mqtt(client_id="c", version=5)
    link = Link(settings, clean_session=False, keepalive_s=15, in_blocks=True, opened_s=0.0)
    link._client.loop_read()

    def second(*, message: bool, acknowledged: bool) -> bool:
        """Whether the connection is there after one more second."""
        now_s[0] += 1.0
        if message:
            sock.pieces.append(bytearray(NEXT_5))
        sock.between = False
        link._client.loop_read()
        if acknowledged:
            link.acknowledge([7])
        link._client.loop_misc()
        return link._client.socket() is not None

    for _ in range(16):  # nothing is written for so long: a PINGREQ is
        assert second(message=True, acknowledged=False)
    assert link._client._ping_t
    for _ in range(60):
        assert second(message=True, acknowledged=True)
    lasted = sum(second(message=False, acknowledged=True) for _ in range(60))
    assert lasted == 14, "a broker that says nothing for a keep-alive is not there"
