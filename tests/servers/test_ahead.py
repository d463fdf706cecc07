"""Behind a long queue at a real broker: what is published now does not wait for what gathered before."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from ingest.service import Service
from zhiwei import frames
from zhiwei.clock import SystemClock
from zhiwei.contracts import Entry
from zhiwei.mqtt import Publisher
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Ingest, Mqtt, Settings, Streams
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.process import HOST

CLOCK = SystemClock()
DEADLINE_S = 90.0
SCHEMA = Schema(
    scenario="water",
    version=1,
    channels=(Channel(name="n"), Channel(name="help", dtype="bool", trigger=True)),
)
GATHERED = 60_000
NEW = 1_000_000
"""Numbers from here on are published after the restart."""

CALL = b'{"ts":1714528800000,"help":true,"n":%d}' % NEW


class SlowLog(MemoryLog):
    """Takes so long for each append that the queue lasts for some time."""

    pause_s = 0.8

    def append(self, entries: Sequence[Entry]) -> list[int]:
        time.sleep(self.pause_s)
        return super().append(entries)

    def calls(self) -> int:
        """Rows on the lane of calls."""
        values = [value for value in self.values("urgent.water") if not value.startswith(b"{")]
        return sum(len(frames.decode(SCHEMA, value)) for value in values)

    def numbers(self) -> list[int]:
        """Values of channel n, in order."""
        found: list[int] = []
        for value in self.values("readings.water"):
            if not value.startswith(b"{"):
                found += frames.decode(SCHEMA, value).channels["n"][0].astype(int).tolist()
        return found


def service(port: int, client_id: str, log: MemoryLog, share: str) -> Service:
    settings = Settings(
        mqtt=Mqtt(port=port, client_id=client_id, version=5, share=share),
        ingest=Ingest(unknown_devices="provisional", window=200),
        streams=Streams(scenarios=("water",)),
    )
    return Service(settings, {"water": SCHEMA}, log, CLOCK, backoff_s=(0.01, 0.05))


@contextmanager
def behind(port: int, client_id: str, log: MemoryLog, share: str) -> Iterator[Service]:
    """A service whose session holds GATHERED readings, and that is on its way through them."""
    before = service(port, client_id, MemoryLog(), share)
    until(lambda: before.live, before)
    before.close()
    send(port, range(GATHERED))
    one = service(port, client_id, log, share)
    try:
        until(lambda: ahead(one), one)
        yield one
    finally:
        one.close()


def ahead(one: Service) -> bool:
    """Whether the second connection receives."""
    receiver = one._ahead.receiver
    return receiver is not None and receiver.ready


def until(done: Callable[[], object], one: Service) -> None:
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not done():
        assert CLOCK.monotonic_s() < deadline_s
        one.turn()


def send(port: int, values: Sequence[int]) -> None:
    with Publisher(host=HOST, port=port, client_id="gateway") as out:
        for n in values:
            out.publish("zw/v1/water/a/d", b'{"ts":1714528800000,"n":%d}' % n)
        out.flush()


def call(port: int) -> None:
    with Publisher(host=HOST, port=port, client_id="gateway") as out:
        out.publish("zw/v1/water/a/d/urgent", CALL)
        out.flush()


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "a member of a group"])
def test_what_is_published_now_does_not_wait_for_what_gathered(
    mosquitto: Mosquitto, fresh: str, shared: bool
) -> None:
    log = SlowLog()
    with behind(mosquitto.port, fresh, log, fresh if shared else "") as one:
        send(mosquitto.port, [NEW])
        until(lambda: NEW in log.numbers(), one)
        assert len([n for n in log.numbers() if n < NEW]) < GATHERED
        log.pause_s = 0.0
        until(lambda: not ahead(one) and one.live, one)
        one.finish()
    # The session brings it again, and what is on the log already is passed over.
    assert log.numbers().count(NEW) == 1
    assert sorted(n for n in log.numbers() if n < NEW) == list(range(GATHERED))


def test_who_keeps_up_has_one_connection(mosquitto: Mosquitto, fresh: str) -> None:
    log = SlowLog()
    log.pause_s = 0.0
    one = service(mosquitto.port, fresh, log, "")
    until(lambda: one.live, one)
    send(mosquitto.port, range(2000))
    until(lambda: len(log.numbers()) == 2000, one)
    assert one._ahead.receiver is None
    one.close()


def test_a_call_for_help_that_came_while_we_were_away_does_not_wait_for_what_gathered(
    mosquitto: Mosquitto, fresh: str
) -> None:
    before = service(mosquitto.port, fresh, MemoryLog(), "")
    until(lambda: before.live, before)
    before.close()
    send(mosquitto.port, range(GATHERED))
    call(mosquitto.port)
    log = SlowLog()
    one = service(mosquitto.port, fresh, log, "")
    until(log.calls, one)
    assert len(log.numbers()) < GATHERED / 2
    log.pause_s = 0.0
    until(lambda: not ahead(one) and one.live, one)
    one.close()
    # The session brings it with all else that becomes of a message; the engine knows the copy.
    assert sorted(log.numbers()) == [*range(GATHERED), NEW]
    assert log.calls() == 2


def test_a_call_for_help_comes_once_where_nothing_waits(mosquitto: Mosquitto, fresh: str) -> None:
    log = SlowLog()
    log.pause_s = 0.0
    one = service(mosquitto.port, fresh, log, "")
    until(lambda: one.live, one)
    call(mosquitto.port)
    until(log.calls, one)
    one.finish()
    one.close()
    assert log.calls() == 1
