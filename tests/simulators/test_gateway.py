"""The gateway before the real embedded broker: nothing is lost, triggers go both ways, pace is kept."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.broker import Broker
from simulators.gateway import Gateway, connect
from simulators.world import Report
from zhiwei.clock import SystemClock
from zhiwei.errors import ZhiweiError
from zhiwei.mqtt import Publisher
from zhiwei.mqtt_receiver import Receiver
from zhiwei.settings import Mqtt

CLOCK = SystemClock()
Got = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def reports(first: int, last: int) -> Iterator[Report]:
    for n in range(first, last):
        values = {"value": float(n), "alarm_button": n % 10 == 0}
        yield Report(n, n, f"lift-{n % 7}", "kit", values, n % 10 == 0)  # type: ignore[arg-type]


class Listener:
    """A subscriber that notes everything; read from the test's own thread."""

    def __init__(self, port: int) -> None:
        self._receiver = Receiver(
            Mqtt(port=port, client_id="listener"), ["zw/#"], CLOCK, backoff_s=(0.01, 0.05)
        )
        self.got: Got = []

    def until(self, done: Any) -> None:
        deadline_s = CLOCK.monotonic_s() + 20
        while not done():
            assert CLOCK.monotonic_s() < deadline_s
            block = self._receiver.receive(0.02)
            self.got += [(topic.decode(), json.loads(body)) for topic, body, _, _ in block.messages]
            if block.messages:
                self._receiver.acknowledge(block.link, [message[2] for message in block.messages])

    @property
    def ready(self) -> bool:
        return self._receiver.ready

    def listen(self) -> None:
        self.until(lambda: self.ready)

    def close(self) -> None:
        self._receiver.close()

    def values(self, urgent: bool) -> list[float]:
        return [said["value"] for topic, said in self.got if topic.endswith("/urgent") == urgent]


def test_every_report_arrives_and_triggers_arrive_on_both_levels(port: int) -> None:
    with Broker(Mqtt(port=port)):
        listener = Listener(port)
        listener.listen()
        with connect(f"mqtt://127.0.0.1:{port}", CLOCK) as gateway:
            sent = gateway.run(reports(0, 500), lambda _: "elevator", None, threading.Event())
        assert (sent.reports, sent.messages, sent.refused) == (500, 550, [])
        listener.until(lambda: len(listener.got) >= 550)
        listener.close()
    assert sorted(listener.values(urgent=False)) == [float(n) for n in range(500)]
    assert sorted(listener.values(urgent=True)) == [float(n) for n in range(0, 500, 10)]
    topic, said = next(one for one in listener.got if one[1]["value"] == 10.0)
    assert topic.removesuffix("/urgent") == "zw/v1/elevator/lift-3/kit"
    assert said == {"ts": 10, "value": 10.0, "alarm_button": True}


def test_an_entitys_reports_keep_their_order(port: int) -> None:
    with Broker(Mqtt(port=port)):
        listener = Listener(port)
        listener.listen()
        with connect(f"mqtt://127.0.0.1:{port}", CLOCK) as gateway:
            gateway.run(reports(0, 400), lambda _: "elevator", None, threading.Event())
        listener.until(lambda: len(listener.got) >= 440)
        listener.close()
    for entity in range(7):
        mine = [s["value"] for t, s in listener.got if t == f"zw/v1/elevator/lift-{entity}/kit"]
        assert mine == sorted(mine)


def test_a_restart_of_the_broker_in_between_loses_nothing(port: int) -> None:
    """The world goes on while the broker is away; the listener is back before the gateway, as sessions of the
    embedded broker do not survive it."""
    listener = Listener(port)
    broker = Broker(Mqtt(port=port)).start()
    own: list[Gateway] = []

    def world() -> Iterator[Report]:
        yield from reports(0, 300)
        gateway = own[0]
        while gateway.waiting:  # what the broker has acknowledged it must have handed on before it ends
            gateway._serve()
        listener.until(lambda: len(listener.got) >= 330)
        broker.stop()
        listener.until(lambda: not listener.ready)
        yield from reports(300, 700)
        assert gateway.waiting >= 400  # nobody is there to take them
        broker.start()
        listener.listen()
        yield from reports(700, 900)

    try:
        listener.listen()
        with connect(f"mqtt://127.0.0.1:{port}", CLOCK) as gateway:
            own.append(gateway)
            sent = gateway.run(world(), lambda _: "elevator", None, threading.Event())
            assert gateway.waiting == 0
        listener.until(lambda: len(set(listener.values(urgent=False))) >= 900)
        listener.until(lambda: len(set(listener.values(urgent=True))) >= 90)
    finally:
        listener.close()
        broker.stop()
    assert sent.reports == 900
    assert set(listener.values(urgent=False)) == {float(n) for n in range(900)}
    assert set(listener.values(urgent=True)) == {float(n) for n in range(0, 900, 10)}


class Timeless:
    """A clock that moves on only when it is waited for: the pace is judged, not the machine."""

    def __init__(self) -> None:
        self.s = 100.0

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.s


class Told(threading.Event):
    """A stop event whose waiting is the only thing that takes time."""

    def __init__(self, clock: Timeless) -> None:
        super().__init__()
        self._clock = clock
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self._clock.s += timeout or 0.0
        return self.is_set()


class Note(Publisher):
    """Takes everything at once and notes the time."""

    def __init__(self, clock: Timeless) -> None:
        super().__init__(host="nowhere", port=1, client_id="note")
        self._time = clock
        self.taken: list[float] = []

    def publish(self, topic: str, payload: bytes, *, timeout_s: float = 30.0) -> None:  # noqa: ARG002
        self.taken.append(self._time.s)


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [0.0, 2.0, 6.0]), (4.0, [0.0, 0.5, 1.5])])
def test_reports_leave_at_the_worlds_pace_times_speed(speed: float, expected: list[float]) -> None:
    clock = Timeless()
    note, urgent = Note(clock), Note(clock)
    made = [Report(at, at, "lift-1", "kit", {"alarm_button": True}, True) for at in (5000, 7000, 11_000)]
    gateway = Gateway([note], urgent, clock)
    gateway.run(iter(made), lambda _: "elevator", speed, Told(clock))
    assert [at - 100 for at in urgent.taken] == pytest.approx(expected)
    assert [at - 100 for at in note.taken] == pytest.approx(expected)


def test_it_stops_when_told_although_nobody_takes_anything(port: int) -> None:
    stop = threading.Event()

    def world() -> Iterator[Report]:
        yield from reports(0, 10)
        stop.set()
        yield from reports(10, 20)

    with connect(f"mqtt://127.0.0.1:{port}", CLOCK) as gateway:
        sent = gateway.run(world(), lambda _: "elevator", None, stop)
    assert sent.reports == 10


@pytest.mark.parametrize(
    "url", ["http://x", "mqtt://", "127.0.0.1", "mqtt://h:port", "mqtt://h:99999", "mqtt://[::1"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ZhiweiError, match="expected mqtt://host:port"):
        connect(url, CLOCK)
