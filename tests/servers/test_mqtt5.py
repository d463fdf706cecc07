"""Ingest on a real MQTT 5 broker: shared subscriptions, sessions, windows, and deaths in between."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.service import Service
from zhiwei import frames
from zhiwei.clock import MICROS, Clock, SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.mqtt_receiver import ClientIdTaken, Receiver
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Ingest, Mqtt, Settings, Source, Streams, of_instance
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.testing.scripted_broker import publish
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.process import HOST
from zhiwei.types import Reason, Rejection

DEADLINE_S = 60.0
CLOCK = SystemClock()
SCHEMA = Schema(
    scenario="water",
    version=1,
    channels=(Channel(name="n"), Channel(name="sos", dtype="bool", trigger=True)),
)
READINGS, URGENT = "readings.water", "urgent.water"
PREFIX = "zw/v1/water"

MEMBER_THAT_DIES = """
import os, signal, sys, threading
from test_mqtt5 import member, numbers
from zhiwei.testing.memory_log import MemoryLog

class Dying(MemoryLog):
    def append(self, entries):
        offsets = super().append(entries)
        if kept := numbers(self):
            print(*kept, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return offsets

one = member(int(sys.argv[1]), sys.argv[2], sys.argv[3], Dying())
while not one.live:
    one.turn()
print("ready", flush=True)
while True:
    one.turn()
"""
"""Killed with its first readings in the log and none of them acknowledged."""


class Stopped:
    """A clock that stands still."""

    def now_us(self) -> int:
        return 1_714_528_800 * MICROS

    def monotonic_s(self) -> float:
        return 1000.0


def member(port: int, group: str, name: str, log: MemoryLog, clock: Clock = CLOCK, **ingest: Any) -> Service:
    """One of several ingest processes that take from ``<group>``'s part of the native topics."""
    settings = Settings(
        mqtt=Mqtt(port=port, client_id=group, version=5, share=group),
        ingest=Ingest(**{"unknown_devices": "provisional", "window": 2000, **ingest}),
        streams=Streams(scenarios=("water",)),
    )
    return Service(of_instance(settings, name), {"water": SCHEMA}, log, clock, backoff_s=(0.01, 0.05))


def alone(port: int, client_id: str, log: MemoryLog, clock: Clock = CLOCK, **ingest: Any) -> Service:
    """An ingest process whose subscription is not shared."""
    settings = Settings(
        mqtt=Mqtt(port=port, client_id=client_id, version=5),
        ingest=Ingest(**{"unknown_devices": "provisional", "window": 2000, **ingest}),
        streams=Streams(scenarios=("water",)),
    )
    return Service(settings, {"water": SCHEMA}, log, clock, backoff_s=(0.01, 0.05))


def until(done: Callable[[], object], *turning: Service) -> None:
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not done():
        assert CLOCK.monotonic_s() < deadline_s
        for one in turning:
            one.turn()


def numbers(log: MemoryLog, topic: str = READINGS) -> list[int]:
    """Values of channel n in the log, in order."""
    found: list[int] = []
    for value in log.values(topic):
        if not value.startswith(b"{"):
            found += frames.decode(SCHEMA, value).channels["n"][0].astype(int).tolist()
    return found


def quarantined(log: MemoryLog) -> list[Reason]:
    return [msgspec.json.decode(value, type=Rejection).reason for value in log.values("quarantine")]


def send(port: int, entity: str, values: Sequence[int], *, level: str = "", more: str = "") -> None:
    """Readings of an entity, acknowledged by the broker on return."""
    with Publisher(host=HOST, port=port, client_id=f"{entity}-gateway") as out:
        for n in values:
            out.publish(f"{PREFIX}/{entity}/d{level}", b'{"ts":1714528800000,"n":%d%s}' % (n, more.encode()))
        out.flush()


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    """An MQTT 3.1.1 connection that may send anything."""
    with closing(socket.create_connection((HOST, port), timeout=DEADLINE_S)) as connection:
        connection.sendall(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03raw")
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        yield connection


def exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes, in however many pieces they come."""
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data


def cut(one: Service) -> None:
    """The connection goes without a word, as with kill -9."""
    link = one._receiver._link
    assert link is not None
    link._client._sock_close()


@pytest.fixture
def logs() -> tuple[MemoryLog, MemoryLog]:
    return MemoryLog(), MemoryLog()


Logs = tuple[MemoryLog, MemoryLog]


# ------------------------------------------------------------------ shared subscriptions


def test_two_members_of_a_group_share_the_messages_evenly_and_lose_none(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    both = [member(mosquitto.port, fresh, name, log) for name, log in zip("ab", logs, strict=True)]
    until(lambda: all(one.live for one in both), *both)
    send(mosquitto.port, "even", range(1000))
    until(lambda: sum(len(numbers(log)) for log in logs) >= 1000, *both)
    assert sorted(numbers(logs[0]) + numbers(logs[1])) == list(range(1000))
    assert [len(numbers(log)) for log in logs] == [500, 500]
    for one in both:
        one.close()


def test_what_a_member_had_in_the_log_when_it_was_killed_comes_again_and_nothing_is_lost(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MEMBER_THAT_DIES, str(mosquitto.port), fresh, "b"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    ) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == "ready\n"
        a = member(mosquitto.port, fresh, "a", logs[0])
        until(lambda: a.live, a)
        send(mosquitto.port, "killed", range(200))
        kept = [int(text) for text in dying.stdout.readline().split()]
        assert dying.wait(DEADLINE_S) == -signal.SIGKILL
    send(mosquitto.port, "killed", range(200, 300))
    b = member(mosquitto.port, fresh, "b", logs[1])
    until(lambda: {*numbers(logs[0]), *numbers(logs[1])} == set(range(300)), a, b)
    assert kept
    assert set(kept) <= set(numbers(logs[1]))  # in the log twice, and again to the same member
    assert sorted(numbers(logs[0]) + numbers(logs[1])) == list(range(300))  # beside those, nothing is
    a.close()
    b.close()


def test_the_part_of_a_member_that_is_away_waits_for_it_and_the_other_s_part_goes_on(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    a, b = (member(mosquitto.port, fresh, name, log) for name, log in zip("ab", logs, strict=True))
    until(lambda: a.live and b.live, a, b)
    cut(b)
    send(mosquitto.port, "away", range(100))
    until(lambda: len(numbers(logs[0])) >= 50, a)
    again = member(mosquitto.port, fresh, "b", logs[1])
    until(lambda: len(numbers(logs[0])) + len(numbers(logs[1])) >= 100, a, again)
    assert sorted(numbers(logs[0]) + numbers(logs[1])) == list(range(100))
    a.close()
    again.close()


def test_a_call_for_help_reaches_every_member_so_that_none_that_is_away_holds_it(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    a, b = (member(mosquitto.port, fresh, name, log) for name, log in zip("ab", logs, strict=True))
    until(lambda: a.live and b.live, a, b)
    cut(b)
    send(mosquitto.port, "home", range(20), level="/urgent", more=',"sos":true')
    until(lambda: set(numbers(logs[0], URGENT)) == set(range(20)), a)
    a.close()


def test_members_do_not_take_each_other_s_proof_of_life_for_readings(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    settings = Settings(
        mqtt=Mqtt(port=mosquitto.port, client_id=fresh, version=5, share=fresh),
        ingest=Ingest(window=100),
        streams=Streams(scenarios=("water",)),
        sources=(Source(name="all", topics="zw/#"),),
    )
    both = [
        Service(of_instance(settings, name), {"water": SCHEMA}, log, CLOCK)
        for name, log in zip("ab", logs, strict=True)
    ]
    until(lambda: all(one._canary._number >= 3 and one.live for one in both), *both)
    assert [quarantined(log) for log in logs] == [[], []]
    for one in both:
        one.close()


# ------------------------------------------------------------------ sessions


def receiver(port: int, client_id: str, *, in_blocks: bool = True, window: int = 2000) -> Receiver:
    settings = Mqtt(port=port, client_id=client_id, version=5)
    return Receiver(
        settings, [f"{client_id}/#"], CLOCK, window=window, in_blocks=in_blocks, backoff_s=(0.01, 0.05)
    )


def gather(rx: Receiver, count: int, *, acknowledge: bool) -> list[bytes]:
    found: list[bytes] = []
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while len(found) < count or not rx.ready:
        assert CLOCK.monotonic_s() < deadline_s
        block = rx.receive(0.02)
        found += [payload for _, payload, _, _ in block.messages]
        if acknowledge:
            rx.acknowledge(block.link, [number for _, _, number, _ in block.messages])
    return found


def publish_to(port: int, topic: str, payloads: Sequence[bytes]) -> None:
    with Publisher(host=HOST, port=port, client_id=f"{topic}-gateway") as out:
        for payload in payloads:
            out.publish(f"{topic}/x", payload)
        out.flush()


@pytest.mark.parametrize("in_blocks", [True, False])
def test_after_a_reconnect_the_subscription_exists_and_what_was_not_acknowledged_comes_again(
    mosquitto: Mosquitto, fresh: str, in_blocks: bool
) -> None:
    first, second = [b"%d" % n for n in range(30)], [b"%d" % n for n in range(30, 60)]
    rx = receiver(mosquitto.port, fresh, in_blocks=in_blocks)
    gather(rx, 0, acknowledge=False)
    publish_to(mosquitto.port, fresh, first)
    assert gather(rx, 30, acknowledge=False) == first
    rx.drop("test")
    publish_to(mosquitto.port, fresh, second)
    assert gather(rx, 60, acknowledge=True) == first + second
    rx.drop("test")
    publish_to(mosquitto.port, fresh, [b"after"])
    assert gather(rx, 1, acknowledge=True) == [b"after"]
    assert (rx.connections, rx.sessions_lost) == (3, 0)
    rx.close()


def test_a_broker_that_is_killed_and_comes_back_has_our_session_and_what_it_had_written(
    mosquitto: Mosquitto, fresh: str
) -> None:
    rx = receiver(mosquitto.port, fresh)
    gather(rx, 0, acknowledge=False)
    sent = [b"%s-%d" % (fresh.encode(), n) for n in range(50)]
    publish_to(mosquitto.port, fresh, sent)
    assert gather(rx, 50, acknowledge=False) == sent
    kept = mosquitto.folder / "mosquitto.db"
    until(lambda: kept.exists() and sent[-1] in kept.read_bytes())
    mosquitto.restart()
    assert gather(rx, 50, acknowledge=True) == sent
    assert (rx.connections, rx.sessions_lost) == (2, 0)
    publish_to(mosquitto.port, fresh, [b"after"])
    assert gather(rx, 1, acknowledge=True) == [b"after"]
    rx.close()


def test_of_two_receivers_with_one_client_id_one_stops(mosquitto: Mosquitto, fresh: str) -> None:
    both = [receiver(mosquitto.port, fresh) for _ in range(2)]
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S

    def fight() -> None:
        while CLOCK.monotonic_s() < deadline_s:
            for rx in both:
                rx.receive(0.01)

    with pytest.raises(ClientIdTaken):
        fight()
    for rx in both:
        rx.close()


# ------------------------------------------------------------------ windows and messages


def test_a_window_of_20_is_kept_by_the_broker_and_is_not_20_messages_for_each_linger(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    # No linger ever passes: only a window that is nearly full closes a batch.
    one = alone(mosquitto.port, fresh, logs[0], Stopped(), window=20, linger_ms=1000.0)
    until(lambda: one.live, one)
    send(mosquitto.port, "window", range(1000))
    until(lambda: len(numbers(logs[0])) > 980, one)
    assert numbers(logs[0]) == list(range(len(numbers(logs[0]))))
    one.close()


def test_more_than_the_window_is_never_under_way(mosquitto: Mosquitto, fresh: str) -> None:
    rx = receiver(mosquitto.port, fresh, window=20)
    gather(rx, 0, acknowledge=False)
    publish_to(mosquitto.port, fresh, [b"%d" % n for n in range(100)])
    held = gather(rx, 20, acknowledge=False)
    rx.publish(f"{fresh}/own", b"behind them")  # the broker has gone on to what came later
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while rx._link is not None and rx._link.under_way:
        assert CLOCK.monotonic_s() < deadline_s
        held += [payload for _, payload, _, _ in rx.receive(0.02).messages]
    assert held == [b"%d" % n for n in range(20)]
    rx.close()


def test_a_retained_value_is_not_taken_for_a_live_one_and_a_live_one_not_for_a_retained(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    topic = f"{PREFIX}/{fresh}/d".encode()
    with raw(mosquitto.port) as device:
        device.sendall(publish(topic, b'{"n":1}', 1, flags=1))
        assert device.recv(4) == b"\x40\x02\x00\x01"
        one = alone(mosquitto.port, fresh, logs[0])
        until(lambda: quarantined(logs[0]) == [Reason.NO_TIMESTAMP], one)
        cut(one)
        until(lambda: one._receiver.connections == 2 and one.live, one)
        device.sendall(publish(topic, b'{"n":2}', 2, flags=1))
        until(lambda: numbers(logs[0]), one)
        assert (numbers(logs[0]), quarantined(logs[0])) == ([2], [Reason.NO_TIMESTAMP])
        device.sendall(publish(topic, b"", 3, flags=1))  # nothing is retained any more
        assert exactly(device, 8) == b"\x40\x02\x00\x02\x40\x02\x00\x03"
    one.close()


def test_a_payload_that_is_too_large_is_in_quarantine_and_one_that_the_broker_keeps_back_stops_nothing(
    mosquitto: Mosquitto, fresh: str, logs: Logs
) -> None:
    one = alone(mosquitto.port, fresh, logs[0])
    until(lambda: one.live, one)
    topic = f"{PREFIX}/large/d"
    with Publisher(host=HOST, port=mosquitto.port, client_id=f"{fresh}-gateway") as out:
        out.publish(topic, b"x" * 300_000)
        out.publish(topic, b"x" * 2_000_000)
        out.flush()
    send(mosquitto.port, "large", [1])
    until(lambda: numbers(logs[0]) == [1], one)
    assert quarantined(logs[0]) == [Reason.TOO_LARGE]
    assert one._receiver.connections == 1
    one.close()


def test_a_topic_of_invalid_utf_8_ends_at_the_broker(mosquitto: Mosquitto, fresh: str, logs: Logs) -> None:
    one = alone(mosquitto.port, fresh, logs[0])
    until(lambda: one.live, one)
    with raw(mosquitto.port) as device:
        device.sendall(publish(f"{PREFIX}/".encode() + b"\xff/d", b'{"n":7}', 1))
        assert device.recv(4) == b""
    send(mosquitto.port, "valid", [1])
    until(lambda: numbers(logs[0]) == [1], one)
    assert (quarantined(logs[0]), one._receiver.connections) == ([], 1)
    one.close()
