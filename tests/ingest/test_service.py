"""The ingest role as a whole: what is acknowledged when, what is lost never, when ticks are written."""

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ingest import controls, meters, service
from ingest.liveness import PROVEN_FOR_S
from ingest.service import SILENT_MOST_S, Service, run
from zhiwei import frames, metrics, registry
from zhiwei.clock import MICROS, Clock, SystemClock
from zhiwei.contracts import Entry
from zhiwei.mqtt import Link, Publisher
from zhiwei.mqtt_receiver import ClientIdTaken
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Ingest, Mqtt, Settings, Streams
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.testing.scripted_broker import CONNECT, PUBACK, PUBLISH, ScriptedBroker, publish
from zhiwei.types import Control, ControlRecord, Reason, Rejection, Tick

DEADLINE_S = 30.0
REAL = SystemClock()
SCHEMA = Schema(scenario="water", version=1, channels=(Channel(name="n"),))
TOPIC = b"zw/v1/water/a/p"
READINGS = "readings.water"


class Stopped:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_us(self) -> int:
        return 1_714_528_800 * MICROS + int(self.s * MICROS)

    def monotonic_s(self) -> float:
        return self.s


def settings(port: int, client_id: str = "rx", **ingest: Any) -> Settings:
    return Settings(
        mqtt=Mqtt(port=port, client_id=client_id),
        ingest=Ingest(**{"unknown_devices": "provisional", **ingest}),
        streams=Streams(scenarios=("water",)),
    )


def serve(port: int, log: MemoryLog, client_id: str = "rx", clock: Clock = REAL, **ingest: Any) -> Service:
    return Service(settings(port, client_id, **ingest), {"water": SCHEMA}, log, clock, backoff_s=(0.01, 0.05))


def until(one: Service, done: Callable[[], object]) -> None:
    deadline_s = REAL.monotonic_s() + DEADLINE_S
    while not done():
        assert REAL.monotonic_s() < deadline_s
        one.turn()


def numbers(log: MemoryLog) -> list[int]:
    """Values of channel n in the log, in order."""
    found: list[int] = []
    for value in log.values(READINGS):
        if not value.startswith(b"{"):
            found += frames.decode(SCHEMA, value).channels["n"][0].astype(int).tolist()
    return found


def ticks(log: MemoryLog) -> int:
    records = [msgspec.json.decode(v, type=ControlRecord) for v in log.values(READINGS) if v.startswith(b"{")]
    return sum(isinstance(record, Tick) for record in records)


def quarantined(log: MemoryLog) -> list[Rejection]:
    return [msgspec.json.decode(value, type=Rejection) for value in log.values("quarantine")]


def reading(number: int) -> bytes:
    return b'{"ts":1714529800000,"n":%d}' % number


def send(port: int, client_id: str, count: int, first: int = 0) -> None:
    with Publisher(host="127.0.0.1", port=port, client_id=client_id) as out:
        for number in range(first, first + count):
            out.publish(TOPIC.decode(), reading(number))
        out.flush()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, log: MemoryLog) -> list[str]:
    """What happened in which order: the start and the end of an append, and each PUBACK."""
    seen: list[str] = []
    acknowledge, append = Link.acknowledge, log.append

    def traced(link: Link, packet_ids: Sequence[int]) -> None:
        seen.append(f"puback {list(packet_ids)}")
        acknowledge(link, packet_ids)

    def appending(entries: Sequence[Entry]) -> list[int]:
        seen.append("append")
        offsets = append(entries)
        seen.append("appended")
        return offsets

    monkeypatch.setattr(Link, "acknowledge", traced)
    monkeypatch.setattr(log, "append", appending)
    return seen


# ------------------------------------------------------------------ acknowledging, by script


def test_no_puback_before_the_append_of_its_message_has_returned(log: MemoryLog, events: list[str]) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(publish(TOPIC, reading(1), 7) + publish(TOPIC, b"nonsense", 8))
        until(one, lambda: broker.acknowledged() == [7, 8])
        assert events == ["append", "appended", "puback [7, 8]"]
        assert (numbers(log), [r.reason for r in quarantined(log)]) == ([1], [Reason.NOT_JSON])
        assert len(log.appends) == 1
        one.close()


def test_of_payloads_that_are_all_broken_each_is_acknowledged_and_in_quarantine(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(b"".join(publish(TOPIC, b"\xff%d" % n, n) for n in range(1, 301)))
        until(one, lambda: len(broker.acknowledged()) == 300)
        assert broker.acknowledged() == list(range(1, 301))
        assert [r.payload for r in quarantined(log)] == [b"\xff%d" % n for n in range(1, 301)]
        one.close()


def test_an_oversize_message_is_acknowledged_so_that_it_does_not_come_for_ever(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(publish(TOPIC, b"x" * (1 << 20), 7) + publish(TOPIC, reading(1), 8))
        until(one, lambda: broker.acknowledged() == [7, 8])
        (rejection,) = quarantined(log)
        assert (rejection.reason, rejection.topic) == (Reason.TOO_LARGE, TOPIC.decode())
        assert (numbers(log), rejection.payload) == ([1], b"x" * 4096)
        one.close()


def test_qos_0_is_taken_in_and_not_acknowledged(log: MemoryLog, events: list[str]) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(publish(TOPIC, reading(1)))
        until(one, lambda: numbers(log) == [1])
        assert events == ["append", "appended"]
        one.close()


def test_a_session_that_the_broker_forgot_is_counted(log: MemoryLog) -> None:
    with ScriptedBroker(session_present=False, echo="zw/canary/") as broker:
        one = serve(broker.port, log)
        until(one, lambda: one.live)
        broker.close_connections()
        until(one, lambda: len(broker.packets(CONNECT)) == 2 and one.live)
        assert one.sessions_lost == 1
        assert meters.SESSIONS_LOST._value.get() == 1
        one.close()


# ------------------------------------------------------------------ time


def test_ticks_stop_with_the_canary_and_come_back_with_it(log: MemoryLog) -> None:
    clock = Stopped()
    with ScriptedBroker(echo="zw/canary/") as broker:
        one = serve(broker.port, log, clock=clock)
        until(one, lambda: ticks(log) == 1)
        one.turn()
        assert ticks(log) == 1  # one a second, and no time has passed
        clock.s += 1
        until(one, lambda: ticks(log) == 2)
        broker.echo = None
        clock.s += PROVEN_FOR_S + 1
        for _ in range(3):
            one.turn()
            clock.s += 1
        assert (ticks(log), one.live, meters.LIVE._value.get()) == (2, False, 0)
        broker.echo = "zw/canary/"

        def ticks_after_a_while() -> bool:
            clock.s += 0.05  # behind, a session may rest before it is read
            return ticks(log) == 3

        until(one, ticks_after_a_while)
        assert meters.LIVE._value.get() == 1
        one.close()


def test_no_tick_is_written_before_the_first_canary_is_back(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: broker.packets(PUBLISH))  # ours has left
        one.turn()
        assert log.appends == []
        one.close()


def test_a_lost_connection_is_not_live(log: MemoryLog) -> None:
    with ScriptedBroker(echo="zw/canary/") as broker:
        one = serve(broker.port, log)
        until(one, lambda: one.live)
        broker.echo = None
        broker.close_connections()
        until(one, lambda: not one.live)
        until(one, lambda: one._receiver.ready)
        assert not one.live
        one.close()


def test_a_tick_stands_behind_the_rows_that_came_before_it_in_every_partition(log: MemoryLog) -> None:
    clock = Stopped()
    with ScriptedBroker(echo="zw/canary/") as broker:
        one = serve(broker.port, log, clock=clock, linger_ms=1000.0)
        until(one, lambda: ticks(log) == 1)
        one._closed_s = clock.s  # a batch was closed just now: the next waits
        broker.send(publish(TOPIC, reading(1), 7))
        until(one, lambda: one._intake.packets)
        assert numbers(log) == []
        clock.s += 1
        until(one, lambda: numbers(log) == [1])
        kinds = [(entry.topic, entry.value.startswith(b"{")) for entry in log.appends[-1]]
        assert kinds == [(READINGS, False), (READINGS, True), ("backlog.water", True)]
        one.close()


def test_a_connection_on_which_nothing_comes_back_is_given_up(log: MemoryLog) -> None:
    clock = Stopped()
    with ScriptedBroker() as broker:
        one = serve(broker.port, log, clock=clock)
        until(one, lambda: one._receiver.ready)
        one.turn()
        clock.s += SILENT_MOST_S + 1
        one.turn()
        assert not one._receiver.ready
        clock.s += 1
        until(one, lambda: len(broker.packets(CONNECT)) == 2)
        one.close()


# ------------------------------------------------------------------ batches


def test_a_window_of_100_is_not_one_window_for_each_linger(broker_port: int, log: MemoryLog) -> None:
    clock = Stopped()  # no linger ever passes: only a window nearly full closes a batch
    one = serve(broker_port, log, "window", clock, window=100, linger_ms=1000.0)
    until(one, lambda: one.live)
    send(broker_port, "window-tx", 1000)
    until(one, lambda: len(numbers(log)) > 900)
    assert numbers(log) == list(range(len(numbers(log))))
    one.close()


def waiting(broker: ScriptedBroker, log: MemoryLog, **ingest: Any) -> Service:
    """A service that is connected and has just closed a batch: the linger of the next never passes."""
    clock = Stopped()
    one = serve(broker.port, log, clock=clock, window=100, linger_ms=1000.0, **ingest)
    until(one, lambda: one._receiver.ready)
    one._closed_s = clock.s
    return one


def test_a_window_that_is_nearly_full_closes_the_batch_in_the_same_turn(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = waiting(broker, log)
        broker.send(b"".join(publish(TOPIC, reading(n), n + 1) for n in range(80)))
        while not numbers(log):
            one.turn()
            assert len(one._unacked) < 80
        one.close()


def test_a_batch_of_a_frame_s_rows_is_closed_though_nothing_waits_for_an_acknowledgement(
    log: MemoryLog,
) -> None:
    with ScriptedBroker() as broker:
        one = waiting(broker, log, frame_rows=10)
        broker.send(b"".join(publish(TOPIC, reading(n)) for n in range(10)))
        until(one, lambda: numbers(log) == list(range(10)))
        one.close()


def test_a_pause_after_many_messages_closes_the_batch_and_a_pause_after_few_does_not(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = waiting(broker, log)
        broker.send(b"".join(publish(TOPIC, reading(n), n + 1) for n in range(25)))
        until(one, lambda: len(broker.acknowledged()) == 25)
        broker.send(publish(TOPIC, reading(25), 26))
        until(one, lambda: len(broker.acknowledged()) == 26)
        broker.send(publish(TOPIC, reading(26), 27))
        until(one, lambda: one._unacked)
        for _ in range(3):
            one.turn()
        assert (len(one._unacked), numbers(log)) == (1, list(range(26)))
        one.close()


def test_messages_that_come_together_share_a_frame_and_an_append(log: MemoryLog) -> None:
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(b"".join(publish(TOPIC, reading(n), n + 1) for n in range(50)))
        until(one, lambda: len(broker.acknowledged()) == 50)
        assert len(log.appends) <= 3
        one.close()


class SlowLog(MemoryLog):
    """One in which an append takes a while."""

    def __init__(self, clock: Stopped, takes_s: float) -> None:
        super().__init__()
        self._clock, self._takes_s = clock, takes_s

    def append(self, entries: Sequence[Entry]) -> list[int]:
        self._clock.s += self._takes_s
        return super().append(entries)


def test_after_a_slow_append_a_batch_gathers_longer_than_its_linger() -> None:
    clock = Stopped()
    log = SlowLog(clock, takes_s=0.015)
    with ScriptedBroker(echo="zw/canary/") as broker:
        one = serve(broker.port, log, clock=clock, linger_ms=20.0)
        until(one, lambda: ticks(log) == 1)
        one._closed_s = clock.s
        broker.send(publish(TOPIC, reading(1), 7))
        until(one, lambda: one._intake.packets)
        clock.s += 0.03
        one.turn()
        assert numbers(log) == []
        clock.s += 0.05
        until(one, lambda: numbers(log) == [1])
        one.close()


def test_the_role_puts_controls_first_and_makes_durable_what_it_has_read_when_told_to_stop(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "scenario", lambda _: SimpleNamespace(schema=SCHEMA))
    made: list[Service] = []

    def make(*args: Any, **more: Any) -> Service:
        made.append(Service(*args, **more))
        return made[0]

    monkeypatch.setattr(service, "Service", make)
    policy = Control(kind="policy", version="1", body="x = 1")
    with ScriptedBroker(echo="zw/canary/") as broker:

        class OnceRead(threading.Event):
            """Set when three messages are read and wait for their linger, which never passes."""

            sent = False

            def is_set(self) -> bool:
                if made[0].live and not self.sent:
                    self.sent = True
                    broker.send(b"".join(publish(TOPIC, reading(n), n + 1) for n in range(3)))
                return made[0]._intake.packets >= 3

        chosen = settings(broker.port, linger_ms=1000.0)
        run(chosen, log, log, Stopped(), {"water": [policy]}, {"water": lambda _: 0}, OnceRead())
        assert broker.wait(lambda: [p.packet_id for p in broker.trace if p.kind == PUBACK][-3:] == [1, 2, 3])
    assert numbers(log) == [0, 1, 2]
    assert log.values(READINGS)[0] == log.values("backlog.water")[0] == controls.encode(policy)


# ------------------------------------------------------------------ dying and a full disk, embedded broker


class KilledError(Exception):
    """What a process that is killed does not survive."""


def die(one: Service) -> None:
    """The connection goes without a word, as with kill -9."""
    link = one._receiver._link
    assert link is not None
    link._client._sock_close()


@pytest.mark.parametrize("after", [False, True])
def test_nothing_is_lost_when_the_process_dies_before_or_after_the_append(
    broker_port: int, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    log = MemoryLog()
    name = f"dying-{after}"
    one = serve(broker_port, log, name)
    until(one, lambda: one._receiver.ready)
    append = log.append

    def dying(entries: Sequence[Entry]) -> list[int]:
        if any(entry.topic == READINGS and not entry.value.startswith(b"{") for entry in entries):
            if after:
                append(entries)
            raise KilledError
        return append(entries)

    monkeypatch.setattr(log, "append", dying)
    send(broker_port, name + "-tx", 250)
    with pytest.raises(KilledError):
        until(one, lambda: False)
    die(one)
    kept = numbers(log)
    assert bool(kept) == after
    monkeypatch.undo()
    two = serve(broker_port, log, name)
    until(two, lambda: set(numbers(log)) == set(range(250)))
    assert numbers(log)[: len(kept) + 1] == [*kept, 0]  # what was not acknowledged came again
    two.close()


def test_a_full_disk_stops_the_acknowledgements_and_drops_the_connection(log: MemoryLog) -> None:
    messages = b"".join(publish(TOPIC, reading(n), n) for n in (1, 2, 3))
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        log.full = True
        broker.send(messages)
        until(one, lambda: len(broker.packets(CONNECT)) == 2 and one._receiver.ready)
        assert (meters.WITHHELD._value.get(), log.appends, broker.acknowledged()) == (1, [], [])
        log.full = False
        broker.send(messages)
        until(one, lambda: broker.acknowledged() == [1, 2, 3])
        assert (meters.WITHHELD._value.get(), numbers(log)) == (0, [1, 2, 3])
        one.close()


def test_what_a_full_disk_kept_out_comes_again_from_the_embedded_broker(
    broker_port: int, log: MemoryLog
) -> None:
    one = serve(broker_port, log, "full")
    until(one, lambda: one._receiver.ready)
    log.full = True
    send(broker_port, "full-tx", 150)
    before = one._receiver.connections
    until(one, lambda: one._receiver.connections > before)
    assert log.appends == []
    log.full = False
    until(one, lambda: set(numbers(log)) == set(range(150)))
    one.close()


def test_one_of_two_processes_with_one_client_id_stops_and_says_why(broker_port: int) -> None:
    logs = [MemoryLog(), MemoryLog()]
    both = [serve(broker_port, log, "twin") for log in logs]
    with pytest.raises(ClientIdTaken, match="another process uses this client id"):
        until(both[0], both[1].turn)
    for one in both:
        one.close()


def test_wildcards_in_ids_pass_the_broker_and_end_in_quarantine(
    broker_port: int, raw: Any, log: MemoryLog
) -> None:
    one = serve(broker_port, log, "wild")
    until(one, lambda: one._receiver.ready)
    raw.send(publish(b"zw/v1/water/+/p", reading(1), 1) + publish(b"zw/v1/water/a/#", reading(2), 2))
    raw.send(publish(TOPIC, reading(3), 3))
    until(one, lambda: numbers(log) == [3])
    assert [(r.reason, r.topic) for r in quarantined(log)] == [
        (Reason.BAD_TOPIC, "zw/v1/water/+/p"),
        (Reason.BAD_TOPIC, "zw/v1/water/a/#"),
    ]
    one.close()


def test_a_mebibyte_through_the_broker_ends_in_quarantine_and_the_next_message_arrives(
    broker_port: int, raw: Any, log: MemoryLog
) -> None:
    one = serve(broker_port, log, "mebibyte")
    until(one, lambda: one._receiver.ready)
    raw.send(publish(TOPIC, b"x" * (1 << 20), 1) + publish(TOPIC, reading(1), 2))
    until(one, lambda: numbers(log) == [1])
    assert [rejection.reason for rejection in quarantined(log)] == [Reason.TOO_LARGE]
    one.close()


def test_what_is_counted_is_what_was_appended(log: MemoryLog) -> None:
    before = {name: _total(name) for name in ("messages", "rows", "frames", "rejected", "bytes")}
    with ScriptedBroker() as broker:
        one = serve(broker.port, log)
        until(one, lambda: one._receiver.ready)
        broker.send(publish(TOPIC, b'[{"n":1},{"n":2},{"n":"x"}]', 1) + publish(TOPIC, b"bad", 2))
        until(one, lambda: broker.acknowledged() == [1, 2])
        one.close()
    gained = {name: _total(name) - count for name, count in before.items()}
    assert gained == {"messages": 2, "rows": 2, "frames": 1, "rejected": 2, "bytes": 30}


def _total(name: str) -> float:
    return sum(
        sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name == f"zhiwei_ingest_{name}_total"
    )
