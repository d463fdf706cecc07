"""Offline: a station that is silent for three of its own intervals, and no other."""

from typing import Any

MINUTE = 60_000_000
START = 1_772_409_600_000_000


def offline(one: Any) -> list[tuple[str, int]]:
    """(phase, minute)"""
    return [(str(c.phase), (c.at - START) // MINUTE) for c in one.claims if c.kind == "water.offline"]


def test_silence_is_three_usual_intervals(station: Any) -> None:
    for interval in (1, 5, 20):
        one = station(("ph",))
        for row in range(10):
            one.row(START + row * interval * MINUTE, {"ph": 7 + row % 3 / 10})
        last = 9 * interval
        one.pass_time(0, START + (last + 3 * interval) * MINUTE - 1)
        assert offline(one) == []
        one.pass_time(0, START + (last + 3 * interval) * MINUTE)
        assert offline(one) == [("raised", last + 3 * interval)]
        one.row(START + 1000 * MINUTE, {"ph": 7})
        assert offline(one)[1:] == [("cleared", 1000)]


def test_a_gateway_that_sends_an_hour_at_once_is_not_offline_between(station: Any) -> None:
    one = station(("ph",))
    for row in range(600):
        upload = START + (row // 60 + 1) * 60 * MINUTE
        one.row(START + row * MINUTE, {"ph": 7 + row % 3 / 10}, arrived=upload + row % 60)
        if row >= 240:
            assert offline(one)[-1:] != [("raised", row)]
    # The first uploads are too few to know the habit; from the fourth on it is known.
    assert [minute for _, minute in offline(one) if minute > 240] == []


def test_two_devices_in_turn_have_the_interval_of_each(station: Any) -> None:
    one = station(("ph", "turbidity"))
    for row in range(40):
        minute, which = divmod(row, 2)
        name = ("ph", "turbidity")[which]
        one.row(START + minute * MINUTE + which * 1_000_000, {name: 1 + minute % 3 / 10})
    assert offline(one) == []


def test_fast_data_are_given_time_to_reconnect(station: Any) -> None:
    one = station(("ph",))
    for row in range(10):
        one.row(START + row * 1_000_000, {"ph": 7 + row % 3 / 10})
    one.pass_time(0, START + 9_000_000 + 2 * MINUTE - 1)
    assert offline(one) == []
    one.pass_time(0, START + 9_000_000 + 2 * MINUTE)
    assert [phase for phase, _ in offline(one)] == ["raised"]


def test_one_row_is_no_habit(station: Any) -> None:
    one = station(("ph",))
    one.row(START, {"ph": 7})
    one.pass_time(0, START + 100_000 * MINUTE)
    assert offline(one) == []


def test_a_row_without_any_value_is_no_sign_of_life(station: Any) -> None:
    one = station(("ph", "turbidity"))
    for row in range(30):
        values = {"ph": 7 + row % 3 / 10, "turbidity": 0.3 + row % 4 / 100} if row < 10 or row == 29 else {}
        one.row(START + row * MINUTE, values)
    assert offline(one) == [("raised", 12), ("cleared", 29)]
    assert {claim.kind for claim in one.claims} == {"water.offline"}
