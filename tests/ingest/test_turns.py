"""What is new goes first, and the session is drained with what that leaves."""

from ingest.turns import KNOWN_WAITS_S, SLOW_S, Turns

NOW_S = 100.0


def rests_s(took_s: float, *, session: int = 1000, new: int = 0, known: bool = False) -> float:
    """How long after such a batch the session is not read, to a hundredth of a second."""
    turns = Turns()
    turns.closed(NOW_S, took_s, session=session, new=new, known=known)
    return next(n / 100 for n in range(10_000) if turns.of_session(NOW_S + n / 100 + 1e-6))


def test_the_session_is_in_every_batch_where_batches_are_fast() -> None:
    assert rests_s(SLOW_S / 2, new=500) == 0


def test_after_a_slow_batch_the_session_rests_as_long() -> None:
    assert rests_s(0.2, new=500) == 0.2


def test_it_rests_longer_where_more_new_ones_come_and_never_for_good() -> None:
    assert rests_s(0.2, session=1000, new=5000) == 1.0
    assert rests_s(1.0, session=1, new=60) == 60.0


def test_where_nothing_new_comes_the_session_is_read_as_fast_as_it_goes() -> None:
    assert rests_s(0.3, new=0) == 0


def test_a_batch_without_the_session_does_not_move_its_turn() -> None:
    turns = Turns()
    turns.closed(NOW_S, 0.2, session=1000, new=500, known=False)
    turns.closed(NOW_S + 0.1, 0.9, session=0, new=9000, known=False)
    assert turns.of_session(NOW_S + 0.2)


def test_a_session_that_brings_what_is_there_already_waits_a_while_before_it_is_read_again() -> None:
    assert rests_s(SLOW_S / 2, known=True) == rests_s(0.3, new=5000, known=True) == KNOWN_WAITS_S
