from ingest.liveness import EVERY_S, PROVEN_FOR_S, Canary


def sent(canary: Canary, link: int, now_s: float) -> bytes:
    message = canary.message(link, now_s)
    assert message is not None
    return message


def test_a_message_is_due_at_once_and_then_every_second() -> None:
    canary = Canary("i")
    assert canary.message(1, 100.0) == b"i 1"
    assert canary.message(1, 100.0 + EVERY_S / 2) is None
    assert canary.message(1, 100.0 + EVERY_S) == b"i 2"


def test_intake_is_proven_once_a_message_is_back_for_a_while_after_it_was_sent() -> None:
    canary = Canary("i")
    message = sent(canary, 1, 0.0)
    assert not canary.proven(1, 0.0)
    assert canary.returned(message)
    assert canary.proven(1, PROVEN_FOR_S)
    assert not canary.proven(1, PROVEN_FOR_S + 0.001)


def test_a_message_that_was_long_under_way_proves_nothing_about_now() -> None:
    canary = Canary("i")
    message = sent(canary, 1, 0.0)
    assert canary.returned(message)
    assert not canary.proven(1, PROVEN_FOR_S + 1)


def test_a_new_connection_proves_itself_anew_and_at_once() -> None:
    canary = Canary("i")
    first, second = sent(canary, 1, 0.0), sent(canary, 1, 1.0)
    canary.returned(first)
    assert canary.message(2, 1.1) == b"i 3"
    assert not canary.proven(2, 1.1)
    assert not canary.returned(second)
    assert not canary.proven(2, 1.2)
    assert canary.returned(b"i 3")
    assert canary.proven(2, 1.2)
    assert not canary.proven(1, 1.2)


def test_what_another_process_left_in_the_session_proves_nothing() -> None:
    canary = Canary("i")
    sent(canary, 1, 0.0)
    assert not canary.returned(b"h 1")
    assert not canary.returned(b"")
    assert not canary.proven(1, 0.0)


def test_messages_that_never_come_back_are_forgotten() -> None:
    canary = Canary("i")
    for second in range(1000):
        sent(canary, 1, float(second))
    assert len(canary._under_way) <= 64
