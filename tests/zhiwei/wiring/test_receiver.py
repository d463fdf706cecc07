"""The receiver on trial: it fails as a city's own would, and keeps what it took."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException

import pytest

from zhiwei.wiring.receiver import Fault, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(port=0, secret="anything", now_us=lambda: 0) as made:
        yield made


def post(line: HTTPConnection, key: str) -> int:
    line.request("POST", "/", body=b"{}", headers={"webhook-id": key})
    answer = line.getresponse()
    answer.read()
    return answer.status


def posted(receiver: Receiver, key: str) -> int:
    """Over a connection of its own."""
    with closing(HTTPConnection("127.0.0.1", receiver.port, timeout=5)) as line:
        return post(line, key)


def test_who_is_away_refuses_connections_and_is_back_at_the_same_port(receiver: Receiver) -> None:
    port = receiver.port
    receiver.fail(Fault.AWAY)
    with pytest.raises(ConnectionRefusedError):
        posted(receiver, "one")
    assert not receiver.events
    receiver.fail(Fault.NONE)
    assert posted(receiver, "one") == 204
    assert receiver.port == port
    assert set(receiver.events) == {"one"}


def test_a_connection_that_was_open_ends_without_an_answer_and_what_it_brings_is_not_kept(
    receiver: Receiver,
) -> None:
    with closing(HTTPConnection("127.0.0.1", receiver.port, timeout=5)) as line:
        assert post(line, "one") == 204
        receiver.fail(Fault.AWAY)
        with pytest.raises((HTTPException, OSError)):
            post(line, "two")
    assert set(receiver.events) == {"one"}


def test_one_that_answers_503_keeps_nothing_and_one_that_is_silent_keeps_the_event(
    receiver: Receiver,
) -> None:
    receiver.fail(Fault.UNAVAILABLE)
    assert posted(receiver, "one") == 503
    receiver.fail(Fault.SILENT)
    with pytest.raises((HTTPException, OSError)):
        posted(receiver, "two")
    assert set(receiver.events) == {"two"}


def test_it_can_be_left_while_it_is_away() -> None:
    with Receiver(port=0, secret="anything", now_us=lambda: 0) as made:
        made.fail(Fault.AWAY)
