"""Messages that come twice: each copy is passed over once, and memory is bounded."""

from ingest.repeats import Repeats


def test_a_message_is_passed_over_as_often_as_it_is_on_the_log() -> None:
    repeats = Repeats()
    repeats.expect([(b"a", b"1"), (b"a", b"1"), (b"a", b"2")])
    assert [repeats.came(b"a", b"1") for _ in range(3)] == [True, True, False]
    assert [repeats.came(b"a", b"2") for _ in range(2)] == [True, False]
    assert len(repeats) == 0


def test_topic_and_payload_are_told_apart() -> None:
    repeats = Repeats()
    repeats.expect([(b"ab", b"c")])
    assert not repeats.came(b"a", b"bc")
    assert repeats.came(b"ab", b"c")


def test_what_finds_no_room_comes_twice() -> None:
    repeats = Repeats(most=1)
    repeats.expect([(b"a", b"1"), (b"b", b"1"), (b"a", b"1")])
    assert [repeats.came(topic, b"1") for topic in (b"b", b"a", b"a", b"a")] == [False, True, True, False]


def test_what_is_forgotten_comes_twice() -> None:
    repeats = Repeats()
    repeats.expect([(b"a", b"1")])
    repeats.forget()
    assert not repeats.came(b"a", b"1")
