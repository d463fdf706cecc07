"""The publisher against a scripted broker."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from zhiwei.errors import Permanent, Retryable
from zhiwei.mqtt import Publisher
from zhiwei.testing.scripted_broker import CONNECT, PUBLISH, ScriptedBroker


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
