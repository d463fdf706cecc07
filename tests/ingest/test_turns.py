"""What is new goes first, and the session is drained with what that leaves."""

import pytest

from ingest.turns import EVERY, KNOWN_WAITS_S, LEAST, NEW_WAITS_S, Turns

SLOW_S = NEW_WAITS_S + 0.05


def session_in(batches: int, took_s: float, *, new: bool, full: bool) -> int:
    """In how many of these batches, which all take so long, the session has its turn."""
    turns, had = Turns(), 0
    for number in range(batches):
        turns.closed(number * took_s, took_s, known=False)
        had += turns.of_session(number * took_s, new=new, full=full)
    return had


def test_the_session_is_in_every_batch_where_nothing_new_has_come() -> None:
    assert session_in(32, SLOW_S, new=False, full=False) == 32


def test_the_session_is_in_every_batch_where_batches_are_fast() -> None:
    assert session_in(32, NEW_WAITS_S / 2, new=True, full=True) == 32


@pytest.mark.parametrize(("full", "every"), [(False, EVERY), (True, LEAST)])
def test_where_batches_are_slow_the_session_has_fewer_and_never_none(full: bool, every: int) -> None:
    assert session_in(32, SLOW_S, new=True, full=full) == 32 // every


def test_a_session_that_brings_what_is_there_already_waits_a_while_before_it_is_read_again() -> None:
    turns = Turns()
    turns.closed(1.0, 0.02, known=True)
    assert not turns.of_session(1.0 + KNOWN_WAITS_S / 2, new=False, full=False)
    assert turns.of_session(1.0 + KNOWN_WAITS_S, new=False, full=False)


def test_what_is_new_in_the_session_is_not_held_back() -> None:
    turns = Turns()
    turns.closed(1.0, 0.02, known=False)
    assert turns.of_session(1.0, new=True, full=False)
