"""The role as a whole, in one process: log in, events out, started and stopped at any point (T-11)."""

import asyncio
import json

import pytest
from sqlalchemy import select, update

from alerts import metrics, service
from alerts.store.store import Store
from alerts.store.tables import INCIDENTS, OUTBOX
from zhiwei.errors import LogMismatch, Retryable, StorageFull, ZhiweiError
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT
from zhiwei.settings import Alerts, File, MqttTopic, Settings, Webhook

DEADLINE_S = 20


class Receiver:
    """The sink ``copy``: keeps what it is given, over restarts of the service."""

    name = "copy"

    def __init__(self):
        self.events = []
        self._more = asyncio.Event()

    async def open(self):
        pass

    async def deliver(self, delivery):
        self.events.append(json.loads(delivery.body))
        self._more.set()

    async def close(self):
        pass

    async def reach(self, count):
        while len(self.events) < count:
            await self._more.wait()
            self._more.clear()

    def ids(self):
        return {event["id"] for event in self.events}


@pytest.fixture
def receiver(monkeypatch):
    made, real = Receiver(), service.make_sink
    monkeypatch.setattr(
        service, "make_sink", lambda one, clock: made if one.name == made.name else real(one, clock)
    )
    return made


def settings_of(tmp_path, *sinks, **alerts):
    copy = File(name="copy", path="unused")
    return Settings(data_dir=str(tmp_path), sinks=(*sinks, copy), alerts=Alerts(**alerts))


AWAY = Webhook(name="away", url="http://127.0.0.1:9/", timeout_s=1.0)


async def before_it_ends(task, awaitable):
    """Wait for this while the service runs; fails when the service ends or the deadline passes."""
    waiting = asyncio.ensure_future(awaitable)
    await asyncio.wait([task, waiting], timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    assert waiting.done(), "it did not happen in time"
    await waiting


async def run_until(settings, log, clock, awaitable, committed=None):
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(settings, log, clock, stop, committed))
    try:
        await before_it_ends(task, awaitable)
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)


def outbox_of(settings, *names):
    store = Store.open_existing(settings.data)
    query = select(*(OUTBOX.c[name] for name in names))
    found = store.transact_here(lambda c: [tuple(row) for row in c.execute(query)])
    store.close()
    return sorted(found)


def test_a_finding_on_the_log_is_an_event_at_the_receiver_without_waiting(
    tmp_path, new_log, finding, clock, receiver
):
    log = new_log()
    told = []

    async def run():
        stop = asyncio.Event()
        settings = settings_of(tmp_path)
        task = asyncio.create_task(service.run(settings, log, clock, stop, lambda *place: told.append(place)))
        for n in range(1, 4):
            log.append(finding(f"f{n}", at=n, entity=f"station-{n}"))
            await before_it_ends(task, receiver.reach(n))
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)

    asyncio.run(run())
    assert [event["type"] for event in receiver.events] == ["zhiwei.incident.opened"] * 3
    assert [place for place in told if place[0] == FINDINGS] == [(FINDINGS, 0, n) for n in range(4)]
    assert [place for place in told if place[0] != FINDINGS] == [(FINDINGS_URGENT, 0, 0)]


def test_an_urgent_finding_is_folded_before_ordinary_ones_that_were_there_first(
    tmp_path, new_log, finding, clock, receiver
):
    """Every partition has more than one transaction of ordinary ones; urgent ones come at two moments."""
    log = new_log(partitions=3)
    for partition in range(3):
        log.append(*[finding(f"o{partition}-{n}", entity=f"o{n}") for n in range(200)], partition=partition)
    log.append(finding("u1", entity="lift-1"), partition=2, topic=FINDINGS_URGENT)
    told = []

    def call_when_the_first_ordinary_batch_is_folded(*place):
        if place == (FINDINGS, 0, 100) and place not in told:
            log.append(finding("u2", entity="lift-2"), partition=1, topic=FINDINGS_URGENT)
        told.append(place)
        if [moved for moved in told if moved[2] == 200] == [(FINDINGS, n, 200) for n in range(3)]:
            done.set()

    done = asyncio.Event()
    settings = Settings(data_dir=str(tmp_path))
    asyncio.run(run_until(settings, log, clock, done.wait(), call_when_the_first_ordinary_batch_is_folded))
    assert [place for place in told if place[2]] == [
        (FINDINGS_URGENT, 2, 1),
        (FINDINGS, 0, 100),
        (FINDINGS_URGENT, 1, 1),
        (FINDINGS, 1, 100),
        (FINDINGS, 2, 100),
        *[(FINDINGS, n, 200) for n in range(3)],
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_held_is_told_by_our_clock_also_where_the_log_stands_still_and_after_a_restart(
    tmp_path, new_log, late, clock, receiver, monkeypatch, restarted
):
    monkeypatch.setattr(service, "_HOLDS_S", 0.001)
    log, settings = new_log(), settings_of(tmp_path, late_hold_s=30)
    log.append(late(), topic=FINDINGS_URGENT)

    async def run():
        folded, stop = asyncio.Event(), asyncio.Event()
        committed = lambda *place: place == (FINDINGS_URGENT, 0, 1) and folded.set()  # noqa: E731
        task = asyncio.create_task(service.run(settings, log, clock, stop, committed))
        await before_it_ends(task, folded.wait())
        if not restarted:
            clock.advance(30)
            await before_it_ends(task, receiver.reach(1))
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)
        if restarted:
            assert receiver.events == []
            clock.advance(30)
            await run_until(settings, log, clock, receiver.reach(1))

    asyncio.run(run())
    (event,) = receiver.events
    assert (event["type"], event["data"]["finding"]["late"]) == ("zhiwei.incident.opened", True)


def test_ordinary_findings_do_not_wait_for_a_topic_of_urgent_ones_to_be_made(
    tmp_path, new_log, finding, clock, receiver
):
    log = new_log()
    log.append(finding())
    both = log.partitions
    log.partitions = lambda topic: both(topic) if topic == FINDINGS else 0
    asyncio.run(run_until(settings_of(tmp_path), log, clock, receiver.reach(1)))


@pytest.mark.parametrize("topic", [FINDINGS, FINDINGS_URGENT])
def test_either_topic_of_another_log_stops_the_start(tmp_path, new_log, finding, clock, receiver, topic):
    log = new_log()
    log.append(finding(), topic=topic)
    settings = settings_of(tmp_path)
    asyncio.run(run_until(settings, log, clock, receiver.reach(1)))
    with pytest.raises(LogMismatch, match=f"topic {topic}, partition 0, up to offset 1; the log ends at 0"):
        asyncio.run(service.run(settings, new_log(), clock, asyncio.Event()))


def test_a_restart_goes_on_where_it_was_with_the_same_deadlines(
    tmp_path, new_log, finding, tick, clock, receiver
):
    """1,000 incidents open or waiting for their end; stopped, started with other settings."""
    log = new_log()
    count = 1000
    for n in range(count):
        log.append(finding(f"f{n}", entity=f"station-{n}"))
        if n % 2:
            log.append(finding(f"f{n}", rev=2, phase="cleared", at=60, entity=f"station-{n}"))
    before, after = settings_of(tmp_path), settings_of(tmp_path, close_after_s=7)

    async def run():
        await run_until(before, log, clock, receiver.reach(count * 3 // 2))
        started = asyncio.Event()
        await run_until(after, log, clock, started.wait(), lambda *_: started.set())
        assert len(receiver.events) == count * 3 // 2, "no notification more, none less"
        log.append(tick(1859), tick(1861))
        await run_until(after, log, clock, receiver.reach(count * 2))

    asyncio.run(run())
    closed = [event for event in receiver.events if event["type"].endswith(".closed")]
    assert {event["time"] for event in closed} == {"2025-06-01T00:31:00Z"}
    assert len({event["subject"] for event in closed}) == count // 2
    assert len(receiver.ids()) == len(receiver.events) == count * 2


def test_a_kill_between_transaction_and_delivery_loses_nothing(tmp_path, new_log, finding, clock, receiver):
    log = new_log()
    log.append(finding("f1"), finding("f2", entity="station-2"))
    settings = settings_of(tmp_path)

    class Killed(BaseException):
        pass

    def kill(topic, partition, offset):
        if offset:
            raise Killed

    async def run():
        with pytest.raises(Killed):
            await service.run(settings, log, clock, asyncio.Event(), kill)
        planned = {event for (event,) in outbox_of(settings, "event_id")}
        assert len(planned) == 2
        await run_until(settings, log, clock, receiver.reach(2))
        assert receiver.ids() == planned

    asyncio.run(run())
    assert outbox_of(settings, "state") == [("delivered",)] * 2


def requeue(settings):
    """As if what was delivered were still to be sent."""
    store = Store.open_existing(settings.data)
    store.transact_here(lambda c: c.execute(update(OUTBOX).values(state="pending")))
    store.close()


def test_another_log_stops_the_start_and_leaves_the_store_alone(tmp_path, new_log, finding, clock, receiver):
    log = new_log()
    log.append(finding())

    async def run():
        settings = settings_of(tmp_path)
        await run_until(settings, log, clock, receiver.reach(1))
        await asyncio.to_thread(requeue, settings)
        with pytest.raises(LogMismatch):
            await service.run(settings, new_log(log_id="log-b"), clock, asyncio.Event())

    asyncio.run(run())
    assert len(receiver.events) == 1, "nothing was sent"


def test_it_waits_for_a_topic_that_does_not_exist_yet(tmp_path, new_log, finding, clock, receiver):
    log = new_log(partitions=0)
    made = log.partitions
    asked = asyncio.Event()

    def partitions(topic):
        loop.call_soon_threadsafe(asked.set)
        return made(topic)

    log.partitions = partitions

    async def run():
        nonlocal loop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.create_task(service.run(settings_of(tmp_path), log, clock, stop))
        await before_it_ends(task, asked.wait())
        log.make(2)
        log.append(finding(), partition=1)
        await before_it_ends(task, receiver.reach(1))
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)

    loop = None
    asyncio.run(run())


def test_a_receiver_that_is_away_at_the_start_keeps_nobody_waiting(
    tmp_path, new_log, finding, clock, receiver
):
    log = new_log()
    log.append(finding())
    settings = settings_of(tmp_path, AWAY)
    asyncio.run(run_until(settings, log, clock, receiver.reach(1)))
    assert outbox_of(settings, "sink", "state") == [("away", "pending"), ("copy", "delivered")]


def test_garbage_on_the_log_is_counted_by_name_and_what_follows_is_folded(
    tmp_path, new_log, finding, clock, receiver
):
    log = new_log()
    log.append(b"garbage", b"", finding())
    log.append(b"", b"garbage", topic=FINDINGS_URGENT)
    before = metrics.RECORDS.labels("undecodable")._value.get()
    asyncio.run(run_until(settings_of(tmp_path), log, clock, receiver.reach(1)))
    assert metrics.RECORDS.labels("undecodable")._value.get() == before + 4
    assert metrics.REFUSALS.labels("not_a_finding")._value.get() >= 2


@pytest.mark.parametrize("error", [Retryable("busy"), StorageFull("full")])
def test_a_log_that_cannot_be_read_for_a_while_is_tried_again(
    tmp_path, new_log, finding, clock, receiver, monkeypatch, error
):
    monkeypatch.setattr(service, "_WAIT_S", 0.001)
    log = new_log()
    log.append(finding())
    read, errors = log.read, [error] * 3

    def fail_first(*args, **kwargs):
        if errors:
            raise errors.pop()
        return read(*args, **kwargs)

    log.read = fail_first
    asyncio.run(run_until(settings_of(tmp_path), log, clock, receiver.reach(1)))
    assert errors == []


def test_an_error_of_the_log_ends_the_service_with_that_error(tmp_path, new_log, clock, receiver):
    log = new_log()

    def damaged(*args, **kwargs):
        raise ZhiweiError("findings.log: is damaged")

    log.read = damaged
    stop = asyncio.Event()
    with pytest.raises(ZhiweiError, match="is damaged"):
        asyncio.run(service.run(settings_of(tmp_path, AWAY), log, clock, stop))
    assert not stop.is_set(), "it is the caller's"


def test_the_gauges_show_incidents_backlog_and_its_age(tmp_path, new_log, finding, clock):
    log = new_log()
    log.append(finding("f1"), finding("f2", entity="station-2"))
    log.append(finding("f2", rev=2, phase="cleared", entity="station-2", at=5))
    settings = Settings(data_dir=str(tmp_path), sinks=(AWAY,))

    async def run():
        folded = asyncio.Event()
        await run_until(settings, log, clock, folded.wait(), lambda *place: place[2] == 3 and folded.set())
        clock.advance(40)
        store = Store.open(tmp_path)
        await service._set_gauges(store, clock, ["away", "idle"])
        store.close()

    asyncio.run(run())
    value = {name: metrics.INCIDENTS.labels(name)._value.get() for name in ("open", "cleared")}
    assert value == {"open": 1, "cleared": 1}
    assert metrics.PENDING.labels("away", "ordinary")._value.get() == 3
    assert metrics.OLDEST.labels("away", "ordinary")._value.get() == pytest.approx(40, abs=0.01)
    for idle in (("away", "urgent"), ("idle", "urgent"), ("idle", "ordinary")):
        assert metrics.PENDING.labels(*idle)._value.get() == metrics.OLDEST.labels(*idle)._value.get() == 0


def test_sinks_are_found_by_the_kind_of_their_settings(clock):
    every = [Webhook(name="w", url="http://x/"), MqttTopic(name="m", topic="t"), File(name="f", path="p")]
    made = [service.make_sink(one, clock) for one in every]
    assert [(type(sink).__name__, sink.name) for sink in made] == [
        ("WebhookSink", "w"),
        ("MqttSink", "m"),
        ("FileSink", "f"),
    ]


def test_events_for_a_sink_that_is_gone_are_kept_and_named(
    tmp_path, new_log, finding, clock, receiver, caplog
):
    log = new_log()
    log.append(finding())

    async def run():
        await run_until(settings_of(tmp_path, AWAY), log, clock, receiver.reach(1))
        started = asyncio.Event()
        await run_until(settings_of(tmp_path), log, clock, started.wait(), lambda *_: started.set())

    asyncio.run(run())
    assert outbox_of(settings_of(tmp_path), "sink", "state")[0] == ("away", "pending")
    (line,) = [one for one in caplog.records if "no longer configured" in one.getMessage()]
    assert line.fields == {"sink": "away", "events": 1}


def test_without_sinks_incidents_are_kept_all_the_same(tmp_path, new_log, finding, clock):
    log = new_log()
    log.append(finding())
    settings = Settings(data_dir=str(tmp_path))

    async def run():
        folded = asyncio.Event()
        await run_until(settings, log, clock, folded.wait(), lambda *place: place[2] and folded.set())

    asyncio.run(run())
    assert outbox_of(settings, "state") == []
    store = Store.open(settings.data)
    assert store.transact_here(lambda c: c.execute(select(INCIDENTS.c.state)).all()) == [("open",)]
    store.close()
