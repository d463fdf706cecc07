import pytest

from ingest import quarantine
from ingest.quarantine import Quarantined, Replayed
from zhiwei.clock import to_datetime
from zhiwei.contracts import Refusal
from zhiwei.errors import Permanent, ZhiweiError
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.types import Reason, Rejection

NOW = 1_714_528_800_000_000


def rejection(number: int, **more: object) -> Rejection:
    fields = {
        "reason": Reason.NOT_JSON,
        "scope": "payload",
        "topic": "zw/v1/water/a/p",
        "detail": "no JSON",
        "payload": b"\xff%d" % number,
        "arrived": to_datetime(NOW + number),
    }
    return Rejection(**{**fields, **more})  # type: ignore[arg-type]


def filled(*rejections: Rejection) -> MemoryLog:
    log = MemoryLog()
    for one in rejections:
        log.append([quarantine.entry(one)])
    return log


def test_a_rejection_survives_the_log_with_its_bytes() -> None:
    one = rejection(1, payload=bytes(range(256)))
    assert quarantine.show(filled(one), 0) == Quarantined(0, one)


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    ones = [rejection(number) for number in range(250)]
    assert quarantine.newest(filled(*ones), 120) == [Quarantined(n, ones[n]) for n in range(249, 129, -1)]


def test_those_of_one_reason_are_found_among_others() -> None:
    ones = [rejection(n, reason=Reason.EMPTY if n % 100 == 0 else Reason.NOT_JSON) for n in range(250)]
    found = quarantine.newest(filled(*ones), reason=Reason.EMPTY)
    assert [one.offset for one in found] == [200, 100, 0]


def test_an_empty_quarantine_lists_nothing() -> None:
    assert quarantine.newest(MemoryLog()) == []


@pytest.mark.parametrize("offset", [-1, 3, 1000])
def test_an_entry_that_is_not_there_is_an_error_that_names_those_that_are(offset: int) -> None:
    with pytest.raises(ZhiweiError, match=f"no entry {offset}; entries kept: 0 to 2"):
        quarantine.show(filled(*map(rejection, range(3))), offset)


def test_replay_publishes_each_packet_once_oldest_first() -> None:
    log = filled(rejection(0), rejection(0, reason=Reason.EMPTY), rejection(1, topic="zw/v1/water/b/p"))
    out: list[tuple[str, bytes]] = []
    answer = quarantine.replay(log, [2, 1, 0, 0], lambda topic, payload: out.append((topic, payload)))
    assert out == [("zw/v1/water/a/p", b"\xff0"), ("zw/v1/water/b/p", b"\xff1")]
    assert answer == [
        Replayed(0, "zw/v1/water/a/p"),
        Replayed(1, "zw/v1/water/a/p", "the same packet as an earlier entry"),
        Replayed(2, "zw/v1/water/b/p"),
    ]


def test_replay_says_what_it_cannot_do_and_goes_on() -> None:
    def publish(topic: str, payload: bytes) -> None:
        if "+" in topic:
            raise Permanent("no such topic")

    log = filled(rejection(0, reason=Reason.TOO_LARGE), rejection(1, topic="zw/v1/+/b/p"), rejection(2))
    answer = quarantine.replay(log, [0, 1, 2], publish)
    assert [one.problem for one in answer] == [
        "only the first part of the payload was kept",
        "no such topic",
        "",
    ]


def test_refusals_of_a_packet_are_joined_by_reason_and_scope_with_a_few_details() -> None:
    refusals = [Refusal(Reason.WRONG_TYPE, "row", f"detail {n % 5}", 1) for n in range(10)]
    refusals += [Refusal(Reason.WRONG_TYPE, "cell", "cell"), Refusal(Reason.EMPTY, "row", "empty", 3)]
    found = quarantine.rejections("t", b"x", NOW, refusals)
    assert [(one.reason, one.scope, one.rows, one.detail) for one in found] == [
        (Reason.WRONG_TYPE, "row", 10, "detail 0; detail 1; detail 2 (and 7 more)"),
        (Reason.WRONG_TYPE, "cell", 0, "cell"),
        (Reason.EMPTY, "row", 3, "empty"),
    ]
