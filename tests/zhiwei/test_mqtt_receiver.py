"""Receiving under a session: what a broker may do, by script, and what the embedded one does."""

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from ingest.broker import Broker
from zhiwei.clock import SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.mqtt_receiver import TAKEOVERS_MOST, Block, ClientIdTaken, Receiver, Refused
from zhiwei.settings import Mqtt
from zhiwei.testing.scripted_broker import CONNECT, PUBACK, PUBLISH, SUBSCRIBE, ScriptedBroker, publish

DEADLINE_S = 20.0
CLOCK = SystemClock()


def receiver(
    port: int,
    client_id: str = "rx",
    *,
    version: Literal[3, 5] = 3,
    filters: tuple[str, ...] = ("zw/v1/#",),
    **more: Any,
) -> Receiver:
    settings = Mqtt(port=port, client_id=client_id, version=version)
    return Receiver(settings, filters, CLOCK, backoff_s=(0.01, 0.05), **more)


def until(rx: Receiver, done: Callable[[], object]) -> list[Block]:
    """Receive until it is so; the blocks that had messages."""
    blocks = []
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not done():
        assert CLOCK.monotonic_s() < deadline_s
        block = rx.receive(0.02)
        if block.messages:
            blocks.append(block)
    return blocks


def gather(rx: Receiver, count: int) -> list[Block]:
    """Receive until so many messages have come."""
    blocks: list[Block] = []
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while sum(len(block.messages) for block in blocks) < count:
        assert CLOCK.monotonic_s() < deadline_s
        block = rx.receive(0.02)
        if block.messages:
            blocks.append(block)
    return blocks


def payloads(blocks: list[Block]) -> list[bytes]:
    return [payload for block in blocks for _, payload, _, _ in block.messages]


# ------------------------------------------------------------------ by script


def test_all_that_one_read_gave_is_one_block_with_one_time() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port)
        until(rx, lambda: rx.ready)
        before_us = CLOCK.now_us()
        broker.send(b"".join(publish(b"t", b"%d" % number, number) for number in range(1, 101)))
        (block,) = gather(rx, 100)
        assert payloads([block]) == [b"%d" % number for number in range(1, 101)]
        assert before_us <= block.arrived <= CLOCK.now_us()
        rx.close()


def test_packet_ids_are_acknowledged_in_the_order_given() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port)
        until(rx, lambda: rx.ready)
        broker.send(b"".join(publish(b"t", b"", number) for number in (7, 65_535, 1)))
        (block,) = gather(rx, 3)
        assert rx.acknowledge(block.link, [number for _, _, number, _ in block.messages])
        assert broker.wait(lambda: len(broker.trace) >= 5)
        assert [packet.packet_id for packet in broker.packets(PUBACK)] == [7, 65_535, 1]
        rx.close()


def test_without_block_reading_messages_and_acknowledgements_are_the_same() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port, in_blocks=False)
        until(rx, lambda: rx.ready)
        broker.send(publish(b"t", b"one", 7) + publish(b"t", b"x" * 300_000, 8))
        blocks = gather(rx, 2)
        assert payloads(blocks) == [b"one", b"x" * 4096]
        assert [list(block.oversize.values()) for block in blocks if block.oversize] == [[300_000]]
        for block in blocks:
            rx.acknowledge(block.link, [number for _, _, number, _ in block.messages])
        assert broker.wait(lambda: len(broker.trace) >= 4)
        assert [packet.packet_id for packet in broker.packets(PUBACK)] == [7, 8]
        rx.close()


def test_an_acknowledgement_for_a_connection_that_is_gone_is_not_sent() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port)
        until(rx, lambda: rx.ready)
        broker.send(publish(b"t", b"one", 7))
        (block,) = gather(rx, 1)
        broker.close_connections()
        until(rx, lambda: rx.connections == 2 and rx.ready)
        assert not rx.acknowledge(block.link, [7])
        broker.send(publish(b"t", b"two", 8))
        (block,) = gather(rx, 1)
        assert rx.acknowledge(block.link, [8])
        assert broker.wait(lambda: len(broker.trace) >= 5)
        assert [packet.packet_id for packet in broker.packets(PUBACK)] == [8]
        rx.close()


def test_every_connection_subscribes_again_and_keeps_its_session() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port)
        until(rx, lambda: rx.ready)
        broker.close_connections()
        until(rx, lambda: rx.connections == 2 and rx.ready)
        assert [packet.connection for packet in broker.packets(SUBSCRIBE)] == [1, 2]
        clean = [packet.body[7] & 0x02 for packet in broker.packets(CONNECT)]
        assert clean == [0, 0]
        assert rx.sessions_lost == 0
        rx.close()


def test_a_session_that_the_broker_has_forgotten_is_counted_but_not_at_the_first_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedBroker(session_present=False) as broker, caplog.at_level(logging.WARNING):
        rx = receiver(broker.port)
        until(rx, lambda: rx.ready)
        assert rx.sessions_lost == 0
        broker.close_connections()
        until(rx, lambda: rx.connections == 2)
        assert rx.sessions_lost == 1
        assert "lost our session" in caplog.text
        rx.close()


def test_a_refused_subscription_is_a_reason_to_stop() -> None:
    with ScriptedBroker(suback=0x80) as broker, pytest.raises(Refused, match=r"'zw/v1/#' \(code 128\)"):
        until(receiver(broker.port), lambda: False)


def test_refused_credentials_are_a_reason_to_stop() -> None:
    with ScriptedBroker(connack=5) as broker, pytest.raises(Refused, match="Not authorized; check"):
        until(receiver(broker.port), lambda: False)


def test_a_broker_that_is_not_ready_yet_is_tried_again() -> None:
    with ScriptedBroker(connack=3) as broker:
        rx = receiver(broker.port)
        until(rx, lambda: len(broker.packets(CONNECT)) >= 3)
        broker.connack = 0
        until(rx, lambda: rx.ready)
        rx.close()


def test_a_broker_that_is_away_at_the_start_is_tried_until_it_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    rx = receiver(port)
    for _ in range(5):
        assert rx.receive(0.01).messages == []
    assert not rx.ready
    with ScriptedBroker() as broker:
        rx._settings = Mqtt(port=broker.port, client_id="rx")
        until(rx, lambda: rx.ready)
        rx.close()


def test_being_thrown_out_again_and_again_is_a_second_process_with_our_client_id() -> None:
    with ScriptedBroker(close_after=2) as broker:
        with pytest.raises(ClientIdTaken, match=r"'rx'.*another process uses this client id"):
            until(receiver(broker.port), lambda: False)
        assert len(broker.packets(CONNECT)) == TAKEOVERS_MOST


def test_a_broker_that_is_away_in_between_is_no_takeover() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = Mqtt(port=free.getsockname()[1])
    with ScriptedBroker(close_after=2) as broker:
        rx = receiver(broker.port)
        until(rx, lambda: len(rx._closed) == TAKEOVERS_MOST - 1)
        there, rx._settings = rx._settings, nobody
        until(rx, lambda: not rx._closed)
        rx._settings = there
        until(rx, lambda: len(rx._closed) == TAKEOVERS_MOST - 1)


def test_connections_that_we_drop_ourselves_are_no_takeover() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port)
        for _ in range(TAKEOVERS_MOST + 1):
            until(rx, lambda: rx.ready)
            rx.drop("test")
        assert len(broker.packets(CONNECT)) == TAKEOVERS_MOST + 1


# ------------------------------------------------------------------ MQTT 5, by script

TAKEN_OVER = b"\xe0\x02\x8e\x00"
SHUTTING_DOWN = b"\xe0\x02\x8b\x00"


def test_mqtt_5_asks_for_a_session_a_window_and_packets_of_a_size_that_we_can_take() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port, version=5, window=250)
        until(rx, lambda: rx.ready)
        assert broker.wait(lambda: len(broker.trace) == 2)
        (connect,) = broker.packets(CONNECT)
        (subscribe,) = broker.packets(SUBSCRIBE)
        rx.close()
    most = 5 + (2 + 65_535 + 2) + 65_536 + 4 * 262_144
    asked = b"\x11" + (86_400).to_bytes(4, "big") + b"\x21\x00\xfa" + b"\x27" + most.to_bytes(4, "big")
    assert (connect.version, connect.body[7] & 0x02) == (5, 0)  # no clean start
    size = connect.body[10]
    assert sorted(connect.body[11 : 11 + size]) == sorted(asked)
    assert subscribe.body[-1] == 0x11  # QoS 1; what was retained only where the subscription is new


def test_mqtt_5_messages_are_received_and_acknowledged() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port, version=5)
        until(rx, lambda: rx.ready)
        broker.send(b"".join(publish(b"t", b"%d" % n, n, properties=b"\x01\x01") for n in (7, 65_535, 1)))
        (block,) = gather(rx, 3)
        assert payloads([block]) == [b"7", b"65535", b"1"]
        assert rx.acknowledge(block.link, [number for _, _, number, _ in block.messages])
        assert broker.wait(lambda: len(broker.acknowledged()) == 3)
        assert broker.acknowledged() == [7, 65_535, 1]
        rx.close()


@pytest.mark.parametrize("goodbye", [TAKEN_OVER, b""])
def test_mqtt_5_sessions_taken_over_with_a_word_or_without_are_a_second_process_with_our_client_id(
    goodbye: bytes,
) -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port, version=5)
        for _ in range(TAKEOVERS_MOST - 1):
            until(rx, lambda: rx.ready)
            broker.send(goodbye)
            broker.close_connections()
            until(rx, lambda: not rx.ready)
        until(rx, lambda: rx.ready)
        broker.send(goodbye)
        broker.close_connections()
        with pytest.raises(ClientIdTaken, match=r"'rx'.*another process uses this client id"):
            until(rx, lambda: False)


def test_connections_that_mqtt_5_says_to_end_for_another_reason_are_no_takeover() -> None:
    with ScriptedBroker() as broker:
        rx = receiver(broker.port, version=5)
        for _ in range(TAKEOVERS_MOST + 1):
            until(rx, lambda: rx.ready)
            broker.send(SHUTTING_DOWN)
            until(rx, lambda: not rx.ready)
        until(rx, lambda: rx.ready)
        rx.close()


@pytest.mark.parametrize(
    ("limits", "filters", "why"),
    [
        (b"\x24\x00", ("t",), "has QoS 0 only, expected QoS 1"),
        (b"\x2a\x00", ("$share/g/t", "own"), "has no shared subscriptions, as in '\\$share/g/t'"),
        (b"\x28\x00", ("t", "zw/#"), "has no wildcards in subscriptions, as in 'zw/#'"),
    ],
)
def test_a_broker_that_cannot_do_what_we_need_is_a_reason_to_stop(
    limits: bytes, filters: tuple[str, ...], why: str
) -> None:
    with ScriptedBroker(limits=limits) as broker, pytest.raises(Refused, match=why):
        until(receiver(broker.port, version=5, filters=filters), lambda: False)


def test_a_broker_without_mqtt_5_is_refused_with_the_setting_that_helps() -> None:
    with ScriptedBroker(connack=1) as broker, pytest.raises(Refused, match=r"set \[mqtt\] version = 3"):
        until(receiver(broker.port, version=5), lambda: False)


@pytest.mark.parametrize("code", [0x88, 0x89, 0x9F])
def test_an_mqtt_5_broker_that_is_too_busy_is_tried_again(code: int) -> None:
    with ScriptedBroker(connack=code) as broker:
        rx = receiver(broker.port, version=5)
        until(rx, lambda: len(broker.packets(CONNECT)) >= 3)
        broker.connack = 0
        until(rx, lambda: rx.ready)
        rx.close()


def test_a_session_that_the_broker_keeps_for_less_time_is_said(caplog: pytest.LogCaptureFixture) -> None:
    limits = b"\x11\x00\x00\x00\x3c"
    with ScriptedBroker(limits=limits) as broker, caplog.at_level(logging.WARNING):
        rx = receiver(broker.port, version=5)
        until(rx, lambda: rx.ready)
        assert "less than [mqtt] session_expiry_s" in caplog.text
        rx.close()


def test_we_publish_no_more_than_the_broker_takes_unacknowledged() -> None:
    with ScriptedBroker(limits=b"\x21\x00\x02", acknowledge=False) as broker:
        rx = receiver(broker.port, version=5)
        until(rx, lambda: rx.ready)
        assert [rx.publish("t", b"") for _ in range(3)] == [True, True, False]
        until(rx, lambda: len(broker.packets(PUBLISH)) == 2)
        broker.send(b"\x40\x02\x00\x02")
        until(rx, lambda: rx.publish("t", b""))
        rx.close()


@pytest.mark.parametrize("version", [3, 5])
def test_a_subscription_granted_at_qos_0_is_a_reason_to_stop(version: Literal[3, 5]) -> None:
    with ScriptedBroker(suback=0) as broker, pytest.raises(Refused, match="grants QoS 0 to 'zw/v1/#'"):
        until(receiver(broker.port, version=version), lambda: False)


# ------------------------------------------------------------------ the embedded broker


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    with Broker(Mqtt(port=number)):
        yield number


def test_what_was_not_acknowledged_comes_again_after_a_reconnect(port: int) -> None:
    rx = receiver(port, "again")
    until(rx, lambda: rx.ready)
    with Publisher(host="127.0.0.1", port=port, client_id="again-tx") as out:
        for payload in (b"1", b"2", b"3"):
            out.publish("zw/v1/s/e/d", payload)
        out.flush()
    assert payloads(gather(rx, 3)) == [b"1", b"2", b"3"]
    rx.drop("test")
    assert payloads(gather(rx, 3)) == [b"1", b"2", b"3"]
    assert rx.sessions_lost == 0
    rx.close()


def test_more_than_a_window_waiting_does_not_keep_a_reconnect_from_getting_ready(port: int) -> None:
    rx = receiver(port, "many")
    until(rx, lambda: rx.ready)
    rx.close()
    with Publisher(host="127.0.0.1", port=port, client_id="many-tx") as out:
        for number in range(350):
            out.publish("zw/v1/s/e/d", b"%d" % number)
        out.flush()
    seen: list[bytes] = []
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not (rx.ready and len(seen) >= 350):
        assert CLOCK.monotonic_s() < deadline_s
        block = rx.receive(0.02)
        seen += payloads([block])
        rx.acknowledge(block.link, [number for _, _, number, _ in block.messages])
    assert seen == [b"%d" % number for number in range(350)]
    rx.close()


def test_of_two_receivers_with_one_client_id_one_stops(port: int) -> None:
    both = [receiver(port, "twin"), receiver(port, "twin")]
    with pytest.raises(ClientIdTaken):
        until(both[0], lambda: payloads([both[1].receive(0.01)]))
    for rx in both:
        rx.close()
