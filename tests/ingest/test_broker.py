"""The embedded broker: starting and stopping, and what it does that others would not."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ingest import broker as module
from ingest.broker import Broker, require_free
from zhiwei.clock import SystemClock
from zhiwei.errors import ZhiweiError
from zhiwei.mqtt_receiver import Receiver
from zhiwei.settings import Mqtt
from zhiwei.testing.scripted_broker import publish

CLOCK = SystemClock()


def received(port: int, client_id: str, send: Callable[[], Any]) -> list[tuple[bytes, int]]:
    """Topic and payload size of what a subscriber to zw/# gets until the marker ``zw/end``."""
    rx = Receiver(Mqtt(port=port, client_id=client_id, max_payload_bytes=2_000_000), ["zw/#"], CLOCK)
    deadline_s = CLOCK.monotonic_s() + 20
    while not rx.ready:
        assert CLOCK.monotonic_s() < deadline_s
        rx.receive(0.05)
    send()
    found: list[tuple[bytes, int]] = []
    while not found or found[-1][0] != b"zw/end":
        assert CLOCK.monotonic_s() < deadline_s
        found += [(topic, len(payload)) for topic, payload, _, _ in rx.receive(0.05).messages]
    rx.close()
    return found[:-1]


def test_it_listens_when_started_and_its_port_is_free_when_stopped(free_port: Callable[[], int]) -> None:
    port = free_port()
    with Broker(Mqtt(port=port)) as broker:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert broker.running
    assert not broker.running
    require_free("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_listens_on_loopback_only_unless_told_otherwise(free_port: Callable[[], int]) -> None:
    port = free_port()
    with Broker(Mqtt(port=port)) as broker:
        assert broker._process is not None
        assert broker._process.listeners == [f"127.0.0.1:{port}"]


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = f"port {port} on 127.0.0.1 is taken; set \\[mqtt\\] port or stop the other program"
        with pytest.raises(ZhiweiError, match=text):
            Broker(Mqtt(port=port)).start()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_an_error_that_names_the_setting(host: str) -> None:
    with pytest.raises(ZhiweiError, match=r"\[mqtt\] host"):
        Broker(Mqtt(host=host)).start()


def test_waiting_ends_when_told_to(free_port: Callable[[], int]) -> None:
    stop = threading.Event()
    stop.set()
    with Broker(Mqtt(port=free_port())) as broker:
        broker.wait(stop)


def test_waiting_ends_with_an_error_when_the_broker_has_ended(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    with Broker(Mqtt(port=free_port())) as broker:
        assert broker._process is not None
        broker._process._process.kill()
        broker._process._process.wait(10)
        with pytest.raises(ZhiweiError, match="broker has ended"):
            broker.wait(threading.Event())


# ------------------------------------------------------------------ what reaches us through it


def test_topics_with_wildcards_are_delivered_so_the_grammar_must_refuse_them(
    broker_port: int, raw: Any
) -> None:
    odd = [b"zw/v1/water/+/p", b"zw/v1/#", b"zw/v1/a b/c/d", b"zw/v1/a\0b/c/d", b"zw/" + b"x" * 60_000]

    def send() -> None:
        raw.send(b"".join(publish(topic, b"1", 1 + place) for place, topic in enumerate(odd)))
        raw.send(publish(b"zw/end", b"", 99))

    assert received(broker_port, "odd", send) == [(topic, 1) for topic in odd]


def test_a_topic_that_is_no_utf_8_costs_its_publisher_the_connection(broker_port: int, raw: Any) -> None:
    raw.send(publish(b"zw/v1/\xff/b/c", b"1", 1))
    assert raw.read(4) == b""


def test_a_payload_of_a_mebibyte_is_passed_on_so_that_ingest_can_refuse_it_by_name(
    broker_port: int, raw: Any
) -> None:
    def send() -> None:
        raw.send(publish(b"zw/v1/water/a/p", b"x" * (1 << 20), 1))
        assert raw.read(4) == b"\x40\x02\x00\x01"
        raw.send(publish(b"zw/end", b"", 2))

    assert received(broker_port, "large", send) == [(b"zw/v1/water/a/p", 1 << 20)]
