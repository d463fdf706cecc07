"""Which events may be sent, in which order."""

import pytest

from alerts.store import folding, outbox
from alerts.store.folding import LogState, Run
from alerts.store.outbox import Backlog, Dispatched, Lane, Settled

NOW = 1_000_000_000
HOUR_US = 3_600_000_000


@pytest.fixture
def filled(store, new_log, finding):
    """Sink ``hook``: two events of station-1 (major), one each of station-2 (critical) and -3 (major)."""
    log = new_log()
    log.append(
        finding("a1"),
        finding("a1", rev=2, phase="updated", at=1),
        finding("b1", entity="station-2", severity="critical"),
        finding("c1", entity="station-3"),
    )
    records = log.read("findings", 0, 0)

    def call(connection):
        folding.start(connection, LogState(log.id, "findings", ((0, 4),)), NOW)
        folding.apply(
            connection,
            "findings",
            {0: Run(0, records)},
            sinks=["hook"],
            close_after_us=1,
            late_hold_us=0,
            now_us=NOW,
        )[0]

    store.transact_here(call)
    return store


def ready(store, now_us=NOW, *, lane=Lane.ORDINARY, busy=(), most=10, **other):
    found = store.transact_here(
        lambda c: outbox.ready(c, "hook", lane, now_us, busy=busy, most=most, horizon_us=HOUR_US, **other)
    )
    return [row.number for row in found.rows], found.next_due_us


def settle(store, *outcomes):
    store.transact_here(lambda c: outbox.settle(c, outcomes, NOW))


def test_the_most_severe_first_then_the_oldest_and_one_of_an_incident(filled):
    assert ready(filled) == ([3, 1, 4], None)


def test_the_next_of_an_incident_waits_until_the_first_is_delivered_or_dead(filled):
    settle(filled, Settled(1, Dispatched.PENDING, "backoff", 1, NOW + 5, "refused"))
    assert ready(filled) == ([3, 4], NOW + 5)
    assert ready(filled, NOW + 5) == ([3, 1, 4], None)
    settle(filled, Settled(1, Dispatched.DEAD, "refused", 2, NOW, "refused"))
    assert ready(filled) == ([3, 2, 4], None)


def test_an_incident_with_an_event_under_way_is_left_alone(filled):
    (first,) = filled.transact_here(
        lambda c: outbox.ready(c, "hook", Lane.ORDINARY, NOW, busy=(), most=1, horizon_us=HOUR_US).rows
    )
    assert ready(filled, busy=[first.incident_id]) == ([1, 4], None)


def test_the_least_tried_is_the_one_to_ask_with(filled):
    settle(filled, Settled(3, Dispatched.PENDING, "backoff", 3, NOW - 1, ""))
    assert ready(filled, most=1) == ([3], None)
    assert ready(filled, most=1, least_tried=True) == ([1], None)


def test_a_clock_that_was_set_back_does_not_keep_events_for_years(filled):
    settle(filled, Settled(3, Dispatched.PENDING, "backoff", 1, NOW + 2 * HOUR_US, ""))
    assert ready(filled, NOW) == ([3, 1, 4], None)
    assert ready(filled, NOW + HOUR_US) == ([1, 4], NOW + 2 * HOUR_US)
    assert ready(filled, 0)[0] == [3, 1, 4]


def test_what_is_settled_is_not_settled_again(filled):
    settle(filled, Settled(1, Dispatched.DELIVERED, "delivered", 1, NOW, ""))
    settle(filled, Settled(1, Dispatched.PENDING, "backoff", 2, NOW, ""))
    assert ready(filled)[0] == [3, 2, 4]


def test_hasten_makes_waiting_events_due(filled):
    settle(filled, Settled(3, Dispatched.PENDING, "backoff", 1, NOW + 5, ""))
    filled.transact_here(lambda c: outbox.hasten(c, "hook"))
    assert ready(filled) == ([3, 1, 4], None)


def test_the_backlog_counts_what_waits_and_since_when(filled):
    settle(filled, Settled(1, Dispatched.DELIVERED, "delivered", 1, NOW, ""))
    assert filled.transact_here(outbox.backlogs) == {("hook", Lane.ORDINARY): Backlog(3, NOW)}
