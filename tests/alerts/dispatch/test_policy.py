"""Decisions on what is sent again, and the breaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.dispatch.policy import Breaker, BreakerState, Limits, backoff_s, decide
from alerts.store.outbox import Dispatched, Settled, Waiting
from zhiwei.errors import Permanent, Retryable

LIMITS = Limits()
NOW = 10**15
S = 1_000_000


def row(attempts=0, written_us=NOW):
    return Waiting(7, "e" * 32, "i" * 32, attempts, written_us, b"{}")


@pytest.mark.parametrize(
    ("waiting", "error", "state", "reason", "last_error"),
    [
        (row(), None, "delivered", "delivered", ""),
        (row(), Permanent("status 400"), "dead", "refused", "status 400"),
        (row(), Retryable("status 503"), "pending", "backoff", "status 503"),
        (row(), ValueError("bug"), "pending", "sink_error", "bug"),
        (row(), KeyError(), "pending", "sink_error", "KeyError"),
        (row(attempts=199), Retryable("status 503"), "dead", "too_many_attempts", "status 503"),
        (row(written_us=NOW - 86_400 * S), Retryable("status 503"), "dead", "too_old", "status 503"),
        (row(attempts=199), None, "delivered", "delivered", ""),
    ],
)
def test_each_outcome_has_a_named_reason(waiting, error, state, reason, last_error):
    outcome = decide(waiting, error, NOW, LIMITS)
    assert outcome == Settled(7, Dispatched(state), reason, waiting.attempts + 1, outcome.due_us, last_error)


@pytest.mark.parametrize(
    ("after_s", "wait_s", "reason"),
    [(120.0, 120.0, "retry_after"), (1e9, 3600.0, "retry_after"), (0.0, None, "backoff")],
)
def test_a_receiver_that_asks_for_time_gets_it_up_to_a_limit(after_s, wait_s, reason):
    outcome = decide(row(), Retryable("status 429", after_s=after_s), NOW, LIMITS)
    expected = backoff_s("e" * 32, 1, LIMITS) if wait_s is None else wait_s
    assert (outcome.due_us, outcome.reason) == (NOW + int(expected * S), reason)


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(1, 10_000))
def test_backoff_doubles_up_to_its_limit_and_depends_on_event_and_attempt_only(event, attempts):
    full = min(0.5 * 2 ** min(attempts - 1, 64), 60.0)
    wait_s = backoff_s(event, attempts, LIMITS)
    assert full / 2 <= wait_s <= full
    assert wait_s == backoff_s(event, attempts, LIMITS)


def test_events_that_failed_together_do_not_come_back_together():
    assert len({backoff_s(f"{n:032x}", 8, LIMITS) for n in range(100)}) > 90


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_through_later():
    breaker = Breaker(LIMITS)
    assert [breaker.failed(0.0) for _ in range(5)] == [False, False, False, False, True]
    assert (breaker.state(4.9), breaker.room(4.9), breaker.wait_s(1.0)) == (BreakerState.OPEN, 0, 4.0)
    assert (breaker.state(5.0), breaker.room(5.0)) == (BreakerState.HALF_OPEN, 1)
    assert breaker.succeeded()
    assert (breaker.state(5.0), breaker.room(5.0)) == (BreakerState.CLOSED, LIMITS.in_flight)


def test_a_success_between_failures_keeps_the_breaker_closed():
    breaker = Breaker(LIMITS)
    for _ in range(50):
        assert not any(breaker.failed(0.0) for _ in range(4))
        assert not breaker.succeeded()


def test_the_pause_grows_up_to_its_limit_while_the_receiver_stays_away():
    breaker, now_s, pauses = Breaker(LIMITS), 0.0, []
    for _ in range(5):
        breaker.failed(now_s)
    for _ in range(5):
        pauses.append(breaker.wait_s(now_s))
        now_s += pauses[-1]
        assert not breaker.failed(now_s), "it says only once that it opens"
    assert pauses == [5.0, 10.0, 20.0, 30.0, 30.0]
    assert breaker.succeeded()
    for _ in range(5):
        breaker.failed(now_s)
    assert breaker.wait_s(now_s) == 5.0


def test_attempts_that_were_under_way_when_it_opened_do_not_lengthen_the_pause():
    breaker = Breaker(LIMITS)
    for _ in range(13):
        breaker.failed(0.0)
    assert breaker.wait_s(0.0) == 5.0


def test_retry_after_holds_the_whole_receiver():
    breaker = Breaker(LIMITS)
    breaker.failed(0.0, after_s=120.0)
    assert (breaker.room(119.0), breaker.wait_s(20.0), breaker.room(120.0)) == (0, 100.0, LIMITS.in_flight)
    breaker.failed(0.0, after_s=1e9)
    assert breaker.wait_s(0.0) == 3600.0
