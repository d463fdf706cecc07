"""Two lanes to each receiver: neither holds the other back, and an incident's order holds across them."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from sqlalchemy import select

from alerts import metrics
from alerts.dispatch.policy import Limits
from alerts.dispatch.worker import Receiver, Worker
from alerts.store.outbox import Lane
from alerts.store.store import Store
from alerts.store.tables import OUTBOX
from zhiwei.errors import Retryable
from zhiwei.lanes import FINDINGS_URGENT

DEADLINE_S = 30
HOUR_S = 3600.0


@pytest.fixture
def sent(store, new_log, finding, trapped, clock, fill_outbox):
    """Write events: so many ordinary incidents, so many urgent ones."""
    log, made = new_log(), [0]

    def send(ordinary=0, urgent=0):
        for _ in range(ordinary):
            made[0] += 1
            log.append(finding(f"o{made[0]}", entity=f"station-{made[0]}", severity="critical"))
        for _ in range(urgent):
            made[0] += 1
            log.append(trapped(f"u{made[0]}", entity=f"lift-{made[0]}"), topic=FINDINGS_URGENT)
        fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())

    return send


def workers_of(sink, store, clock, limits=None):
    receiver = Receiver(sink, clock, limits)
    return {lane: Worker(receiver, lane, store, clock) for lane in Lane}


@asynccontextmanager
async def running(workers):
    """Both lanes beside each other, each until it is cut off."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(worker.run(stop)) for worker in workers.values()]
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def reach(sink, count):
    while len(sink.got) < count:  # noqa: ASYNC110 - the workers run meanwhile
        await asyncio.sleep(0.001)


def entity_of(delivery):
    return json.loads(delivery.body)["data"]["incident"]["entity"]


def is_urgent(delivery):
    return entity_of(delivery).startswith("lift")


def outbox_rows(store, *names):
    query = select(*(OUTBOX.c[name] for name in names)).order_by(OUTBOX.c.number)
    return [tuple(row) for row in store.transact_here(lambda c: c.execute(query).all())]


@pytest.fixture
def hanging(new_sink):
    """A receiver that answers no ordinary event."""

    class Hanging(new_sink):
        async def deliver(self, delivery):
            self.asked += 1
            if not is_urgent(delivery):
                await asyncio.Event().wait()
            self.got.append(delivery)

    return Hanging


def test_a_receiver_that_hangs_on_every_ordinary_event_gets_urgent_ones_also_after_a_restart(
    store, tmp_path, clock, sent, hanging
):
    sent(ordinary=20)

    async def run(store, count):
        sink = hanging()
        workers = workers_of(sink, store, clock)
        async with running(workers):
            while sink.asked < Limits().in_flight:  # noqa: ASYNC110 - the workers run meanwhile
                await asyncio.sleep(0.001)
            sent(urgent=count)
            workers[Lane.URGENT].wake.set()
            await reach(sink, count)
            urgent = workers[Lane.URGENT]
            while urgent._flights or urgent._outcomes:  # noqa: ASYNC110 - until it is written down
                await asyncio.sleep(0.001)
            for worker in workers.values():
                for flight in worker._flights:
                    flight.cancel()
        return sink

    sink = asyncio.run(run(store, 3))
    assert all(map(is_urgent, sink.got))
    again = Store.open(tmp_path)
    sink = asyncio.run(run(again, 2))
    again.close()
    assert [is_urgent(delivery) for delivery in sink.got] == [True] * 2
    assert (
        sorted(outbox_rows(store, "lane", "state"))
        == [("ordinary", "pending")] * 20 + [("urgent", "delivered")] * 5
    )


def test_a_breaker_that_ordinary_events_opened_holds_no_urgent_one_back(
    store, clock, sent, until_quiet, new_sink
):
    class Overloaded(new_sink):
        async def deliver(self, delivery):
            if not is_urgent(delivery):
                raise Retryable("status 429", after_s=HOUR_S)
            self.got.append(delivery)

    sent(ordinary=10)
    sink = Overloaded()
    workers = workers_of(sink, store, clock)

    async def run():
        await until_quiet(workers[Lane.ORDINARY], clock, most_s=0)
        shown = metrics.BREAKER.labels("list")._value.get()
        sent(urgent=1)
        return shown, await until_quiet(workers[Lane.URGENT], clock)

    assert asyncio.run(run()) == (2, 0)
    assert len(sink.got) == 1


def test_urgent_events_that_fail_hold_no_ordinary_one_back(store, clock, sent, until_quiet, new_sink):
    class Deaf(new_sink):
        async def deliver(self, delivery):
            if is_urgent(delivery):
                raise Retryable("status 500", after_s=HOUR_S)
            self.got.append(delivery)

    sent(urgent=20)
    sink = Deaf()
    workers = workers_of(sink, store, clock)

    async def run():
        await until_quiet(workers[Lane.URGENT], clock, most_s=600)
        sent(ordinary=20)
        return await until_quiet(workers[Lane.ORDINARY], clock)

    assert asyncio.run(run()) == 0
    assert len(sink.got) == 20


def test_an_urgent_event_is_tried_within_a_minute_whatever_the_receiver_asks_for_until_it_is_too_old(
    store, clock, sent, until_quiet, new_sink
):
    sent(urgent=1)
    times, limits = [], Limits(attempts_most=5, age_most_s=900)

    class Away(new_sink):
        async def deliver(self, delivery):  # noqa: ARG002
            times.append(clock.now_us())
            raise Retryable("status 503", after_s=HOUR_S)

    sink = Away()
    asyncio.run(until_quiet(workers_of(sink, store, clock, limits)[Lane.URGENT], clock))
    pauses = [after - before for before, after in pairwise(times)]
    assert max(pauses) <= 61_000_000
    assert times[-1] - times[0] >= limits.age_most_s * 1_000_000
    assert outbox_rows(store, "state", "reason") == [("dead", "too_old")]


def test_a_fresh_urgent_event_goes_before_those_that_failed(store, clock, sent, until_quiet, new_sink):
    class Picky(new_sink):
        async def deliver(self, delivery):
            if entity_of(delivery) in poison:
                raise Retryable("status 500")
            self.got.append(delivery)

    sent(urgent=3)
    poison = {f"lift-{n}" for n in range(1, 4)}
    sink = Picky()
    worker = workers_of(sink, store, clock, Limits(in_flight=1, backoff_most_s=0.5))[Lane.URGENT]

    async def run():
        await until_quiet(worker, clock, most_s=2)
        sent(urgent=1)
        clock.advance(1)  # all of them are due
        await worker.step()

    asyncio.run(run())
    assert [entity_of(delivery) for delivery in sink.got] == ["lift-4"]


def test_an_urgent_event_that_arrives_after_failures_brings_the_others_forward(
    store, clock, sent, until_quiet, new_sink
):
    sent(ordinary=8, urgent=3)
    sink = new_sink()
    sink.script = [Retryable("refused")] * 10_000
    workers = workers_of(sink, store, clock)

    async def run():
        for lane in (Lane.ORDINARY, Lane.URGENT):
            await until_quiet(workers[lane], clock, most_s=900)
        sink.script.clear()
        waited_s = 0.0
        for lane in (Lane.URGENT, Lane.ORDINARY):
            waited_s += await until_quiet(workers[lane], clock)
        return waited_s

    assert asyncio.run(run()) <= Limits().backoff_most_s
    assert len(sink.got) == 11


def test_an_incident_keeps_its_lane_when_it_becomes_more_severe(store, new_log, finding, clock, fill_outbox):
    log = new_log()
    log.append(finding(severity="info"), finding(rev=2, phase="updated", severity="critical"))
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    assert outbox_rows(store, "lane", "priority") == [("ordinary", 4), ("ordinary", 1)]


def test_the_order_within_an_incident_holds_where_its_kind_has_become_a_matter_of_life(
    store, new_log, trapped, clock, fill_outbox, until_quiet, new_sink
):
    """Of a new version: what was told on the ordinary lane goes on on the urgent one."""
    log, sink = new_log(), new_sink()
    log.append(trapped())
    log.append(trapped(rev=2, phase="updated", at=1), topic=FINDINGS_URGENT)
    fill_outbox(store, log, sinks=("list",), now_us=clock.now_us())
    assert outbox_rows(store, "lane", "sequence") == [("ordinary", 1), ("urgent", 2)]
    workers = workers_of(sink, store, clock)

    async def run():
        await until_quiet(workers[Lane.URGENT], clock)
        assert sink.got == [], "its predecessor was not delivered yet"
        await until_quiet(workers[Lane.ORDINARY], clock)
        await until_quiet(workers[Lane.URGENT], clock)

    asyncio.run(run())
    assert [json.loads(one.body)["data"]["incident"]["sequence"] for one in sink.got] == [1, 2]


def test_the_last_lane_that_ends_closes_the_sink_that_the_first_opened(
    store, clock, sent, until_quiet, new_sink
):
    sent(ordinary=1, urgent=1)
    sink = new_sink()
    opened, real = [], sink.open

    async def count_opening():
        opened.append(1)
        await real()

    sink.open = count_opening
    urgent, ordinary = workers_of(sink, store, clock).values()

    async def run():
        for worker in (urgent, ordinary):
            await until_quiet(worker, clock)
        await urgent.close()
        assert sink.is_open
        await ordinary.close()

    asyncio.run(run())
    assert (len(opened), sink.is_open, len(sink.got)) == (1, False, 2)
