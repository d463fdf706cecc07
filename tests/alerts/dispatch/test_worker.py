"""The worker: order, retries, breaker, restarts."""

import asyncio
import json
from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from alerts import metrics
from alerts.dispatch import worker as dispatch
from alerts.dispatch.policy import Limits
from alerts.dispatch.worker import Worker
from alerts.store.outbox import Lane
from alerts.store.store import Store
from alerts.store.tables import OUTBOX
from zhiwei.errors import Permanent, Retryable, StorageFull, ZhiweiError


def incidents(log, finding, count, changes=3):
    """Each opened, then updated, interleaved."""
    for rev in range(1, changes + 1):
        for n in range(count):
            phase = "raised" if rev == 1 else "updated"
            log.append(finding(f"f{n}", rev=rev, phase=phase, at=rev, entity=f"station-{n}"))


def outbox_rows(store, *names):
    query = select(*(OUTBOX.c[name] for name in names)).order_by(OUTBOX.c.number)
    return [tuple(row) for row in store.transact_here(lambda c: c.execute(query).all())]


def sequences(deliveries):
    """Incident → the sequence numbers as they arrived."""
    found = defaultdict(list)
    for delivery in deliveries:
        found[delivery.subject].append(json.loads(delivery.body)["data"]["incident"]["sequence"])
    return dict(found)


@pytest.fixture
def ready(store, new_log, finding, clock, fill_outbox, new_sink):
    """Nine events of three incidents, and a worker."""
    log, sink = new_log(), new_sink()
    incidents(log, finding, 3)
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    return sink, Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock)


def test_every_event_is_delivered_once_and_in_order(ready, store, clock, until_quiet):
    sink, worker = ready
    assert asyncio.run(until_quiet(worker, clock)) == 0
    assert list(sequences(sink.got).values()) == [[1, 2, 3]] * 3
    assert outbox_rows(store, "state", "reason", "attempts") == [("delivered", "delivered", 1)] * 9
    assert all(delivery.attempt == 1 for delivery in sink.got)


def test_a_failed_event_holds_back_its_own_incident_only(ready, store, clock, until_quiet):
    sink, worker = ready
    sink.script = [Retryable("status 503")]
    asyncio.run(until_quiet(worker, clock))
    assert list(map(sorted, sequences(sink.got).values())) == [[1, 2, 3]] * 3
    assert all(numbers == [1, 2, 3] for numbers in sequences(sink.got).values())
    held = outbox_rows(store, "incident_id")[0][0]
    assert [delivery.subject for delivery in sink.got[-3:]] == [held] * 3


def test_a_dead_event_lets_the_rest_of_its_incident_go(ready, store, clock, until_quiet):
    sink, worker = ready
    sink.script = [Permanent("status 400")]
    asyncio.run(until_quiet(worker, clock))
    assert sorted(sequences(sink.got).values()) == [[1, 2, 3], [1, 2, 3], [2, 3]]
    assert Counter(outbox_rows(store, "state", "reason", "last_error")) == {
        ("dead", "refused", "status 400"): 1,
        ("delivered", "delivered", ""): 8,
    }


def test_a_sink_that_fails_in_an_unknown_way_is_tried_again(ready, store, clock, until_quiet):
    sink, worker = ready
    sink.script = [ZeroDivisionError("bug")]
    asyncio.run(until_quiet(worker, clock))
    assert len(sink.got) == 9


def test_an_event_that_never_succeeds_ends_as_dead_letter_and_does_not_stop_others(
    store, new_log, finding, clock, fill_outbox, until_quiet, new_sink
):
    log = new_log()
    incidents(log, finding, 20, changes=1)
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    poison = outbox_rows(store, "event_id")[0][0]

    class Receiver(new_sink):
        async def deliver(self, delivery):
            self.asked += 1
            if delivery.id == poison:
                raise Retryable("status 500")
            self.got.append(delivery)

    sink = Receiver()
    worker = Worker(dispatch.Receiver(sink, clock, Limits(attempts_most=30)), Lane.ORDINARY, store, clock)
    asyncio.run(until_quiet(worker, clock))
    assert (len(sink.got), sink.asked) == (19, 19 + 30)
    assert Counter(outbox_rows(store, "state", "reason")) == {
        ("delivered", "delivered"): 19,
        ("dead", "too_many_attempts"): 1,
    }


def test_a_fresh_event_overtakes_a_poisonous_one_when_the_breaker_is_open(
    store, new_log, finding, clock, fill_outbox, until_quiet, new_sink
):
    log = new_log()
    log.append(finding("poison", severity="critical"))
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    poison = outbox_rows(store, "event_id")[0][0]

    class Receiver(new_sink):
        async def deliver(self, delivery):
            if delivery.id == poison:
                raise Retryable("status 500")
            self.got.append(delivery)

    sink = Receiver()
    # Its own pause is over whenever the breaker lets one through.
    worker = Worker(dispatch.Receiver(sink, clock, Limits(backoff_most_s=1.0)), Lane.ORDINARY, store, clock)

    async def both():
        await until_quiet(worker, clock, most_s=300)
        log.append(finding("fresh", entity="station-2", severity="info"))
        fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
        return await until_quiet(worker, clock, most_s=Limits().breaker_most_s)

    asyncio.run(both())
    assert len(sink.got) == 1


def test_a_receiver_that_is_away_is_asked_rarely_and_gets_everything_when_it_is_back(
    ready, store, clock, until_quiet
):
    sink, worker = ready
    sink.script = [Retryable("refused")] * 1_000_000

    async def outage():
        await until_quiet(worker, clock, most_s=3600)
        asked = sink.asked
        shown = metrics.BREAKER.labels("list")._value.get()
        sink.script.clear()
        return asked, shown, await until_quiet(worker, clock)

    asked, shown, passed = asyncio.run(outage())
    assert asked < 3600 / Limits().breaker_most_s + 20
    assert shown == 2
    assert passed <= Limits().breaker_most_s
    assert list(sequences(sink.got).values()) == [[1, 2, 3]] * 3
    assert metrics.BREAKER.labels("list")._value.get() == 0


def test_retry_after_is_honoured_for_all_events_of_the_receiver(ready, clock, until_quiet):
    sink, worker = ready
    sink.script = [Retryable("status 429", after_s=120.0)] * 3

    async def wait():
        await until_quiet(worker, clock, most_s=119)
        return sink.asked, await until_quiet(worker, clock)

    asked, _ = asyncio.run(wait())
    assert asked == 3  # one of each incident was under way
    assert len(sink.got) == 9


def test_a_sink_that_cannot_open_is_tried_again(ready, clock, until_quiet):
    sink, worker = ready
    failures = [ZhiweiError("no directory"), OSError("no device")]

    async def open_later():
        if failures:
            raise failures.pop()
        sink.is_open = True

    sink.open = open_later
    asyncio.run(until_quiet(worker, clock))
    assert len(sink.got) == 9


def test_an_outcome_that_cannot_be_written_is_kept_and_nothing_is_sent_twice(
    ready, store, clock, until_quiet, monkeypatch
):
    sink, worker = ready

    async def full(call, **_):
        if sink.asked and failing:
            raise StorageFull("the disk is full")
        return store.transact_here(call)

    monkeypatch.setattr(store, "transact", full)
    failing = True

    async def run():
        nonlocal failing
        await worker.step()  # its outcomes are written with the question of the next one
        for _ in range(5):
            with pytest.raises(StorageFull):
                await worker.step()
        failing = False
        await until_quiet(worker, clock)

    asyncio.run(run())
    assert len(sink.got) == sink.asked == 9


def test_another_sink_does_not_notice(store, new_log, finding, clock, fill_outbox, until_quiet, new_sink):
    log = new_log()
    incidents(log, finding, 5)
    fill_outbox(store, log, sinks=("dead", "list"), now_us=clock.now_us())
    dead, sink = new_sink("dead"), new_sink()
    dead.script = [Retryable("refused")] * 1000

    async def both():
        await until_quiet(
            Worker(dispatch.Receiver(dead, clock), Lane.ORDINARY, store, clock), clock, most_s=60
        )
        return await until_quiet(Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock), clock)

    assert asyncio.run(both()) == 0
    assert (len(dead.got), len(sink.got)) == (0, 15)


def test_run_delivers_what_comes_while_it_waits_and_closes_the_sink(
    store, new_log, finding, clock, fill_outbox, new_sink
):
    log, sink = new_log(), new_sink()
    worker = Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock)

    async def run():
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        for n in range(3):
            log.append(finding(f"f{n}", entity=f"station-{n}"))
            fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
            worker.wake.set()
            async with asyncio.timeout(10):
                while len(sink.got) <= n:  # noqa: ASYNC110 - the worker runs meanwhile
                    await asyncio.sleep(0)
        assert sink.is_open
        stop.set()
        worker.wake.set()
        await running

    asyncio.run(run())
    assert [delivery.attempt for delivery in sink.got] == [1, 1, 1]
    assert not sink.is_open


def test_an_event_under_way_is_not_sent_again_while_others_come_and_go(
    store, new_log, finding, clock, fill_outbox, new_sink
):
    log, gate = new_log(), asyncio.Event()
    incidents(log, finding, 20, changes=2)
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    slow = outbox_rows(store, "incident_id")[0][0]

    class Receiver(new_sink):
        async def deliver(self, delivery):
            self.asked += 1
            if delivery.subject == slow:
                await gate.wait()
            self.got.append(delivery)

    sink = Receiver()
    worker = Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock)

    async def run():
        async with asyncio.timeout(20):
            while len(sink.got) < 38:
                await worker.step()
            assert sink.asked == 39
            gate.set()
            while await worker.step() is not None:
                pass

    asyncio.run(run())
    assert len(sink.got) == sink.asked == 40


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kills_and_failures_lose_nothing_and_keep_the_order(
    tmp_path_factory, new_log, finding, fill_outbox, until_quiet, new_sink, clock, data
):
    """The process is killed at any step, also between a delivery and its being written down."""
    place = tmp_path_factory.mktemp("store")
    log, sink = new_log(), new_sink()
    incidents(log, finding, 4)
    store = Store.open(place)
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    planned = [event for (event,) in outbox_rows(store, "event_id")]
    errors = st.sampled_from([None, None, Retryable("503"), Retryable("429", after_s=9.0), OSError("bug")])
    sink.script = data.draw(st.lists(errors, max_size=20))

    async def some_steps(worker, steps):
        for _ in range(steps):
            if (wait_s := await worker.step()) is None:
                return
            clock.advance(wait_s)
        if data.draw(st.booleans()):  # killed while deliveries are under way
            await worker._start()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        for flight in worker._flights:
            flight.cancel()
        await asyncio.gather(*worker._flights, return_exceptions=True)

    for steps in data.draw(st.lists(st.integers(0, 6), max_size=4)):
        asyncio.run(some_steps(Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock), steps))
        store.close()
        store = Store.open(place)
    asyncio.run(until_quiet(Worker(dispatch.Receiver(sink, clock), Lane.ORDINARY, store, clock), clock))
    assert set(planned) == {delivery.id for delivery in sink.got}
    for numbers in sequences(sink.got).values():
        first = list(dict.fromkeys(numbers))
        assert first == [1, 2, 3]
    assert {state for (state,) in outbox_rows(store, "state")} == {"delivered"}
    store.close()
