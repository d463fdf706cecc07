"""Hatch and door, work orders, and the water soon after."""

from typing import Any

import pytest

MINUTE = 60_000_000
HOUR = 60 * MINUTE
START = 1_772_408_000_000_000  # 07:33 local: no night, which would hold a pre-alarm
CHANNELS = ("turbidity", "free_chlorine", "hatch_open", "door_open", "work_order")
INTRUSION = "intrusion"


def water(one: Any, minute: int, turbidity: float = 0.3, chlorine: float = 0.4, **more: Any) -> None:
    """A row of the probes, that moves a little."""
    wave = 0.01 * (minute % 3)
    values = {"turbidity": turbidity + wave, "free_chlorine": chlorine + wave, **more}
    one.row(START + minute * MINUTE, values)


def turbid(one: Any, minute: int) -> None:
    """Three rows beyond the limit: the finding comes with the third."""
    for more in range(3):
        water(one, minute + more, turbidity=1.8)


@pytest.fixture
def one(station: Any) -> Any:
    found = station(CHANNELS)
    for minute in range(10):
        water(found, minute)
    return found


def rules(one: Any) -> list[str]:
    return [claim.rule for claim in one.claims if str(claim.phase) == "raised"]


@pytest.mark.parametrize("way", ["hatch_open", "door_open"])
def test_hatch_or_door_and_then_the_water_is_one_critical_finding(one: Any, way: str) -> None:
    water(one, 10, **{way: True})
    water(one, 15, **{way: False})
    turbid(one, 20)
    assert rules(one).count(INTRUSION) == 1
    (claim,) = (claim for claim in one.claims if claim.rule == INTRUSION)
    assert (claim.severity, claim.onset, claim.at) == (
        "critical",
        START + 10 * MINUTE,
        START + 22 * MINUTE,
    )
    assert [seen.name for seen in claim.evidence.observations] == [
        way,
        "work_order",
        "since_access",
        "turbidity",
    ]


def test_a_door_alone_is_nothing(one: Any) -> None:
    water(one, 10, door_open=True)
    assert not one.claims


@pytest.mark.parametrize(("later", "found"), [(119, 1), (121, 0)])
def test_what_comes_more_than_two_hours_later_is_no_intrusion(one: Any, later: int, found: int) -> None:
    water(one, 10, hatch_open=True)
    water(one, 11, hatch_open=False)
    for minute in range(12, 10 + later):
        water(one, minute)
    turbid(one, 10 + later)
    assert rules(one).count(INTRUSION) == found


def test_a_hatch_that_was_left_open_is_open_until_a_row_says_otherwise(one: Any) -> None:
    water(one, 10, hatch_open=True)
    for minute in range(11, 200):
        water(one, minute)
    turbid(one, 200)
    assert rules(one).count(INTRUSION) == 1


def test_who_comes_when_the_alarm_is_on_comes_because_of_it(one: Any) -> None:
    turbid(one, 10)
    water(one, 13, turbidity=1.8, hatch_open=True)
    water(one, 14, turbidity=1.8, hatch_open=False)
    assert rules(one) == ["limit.high.turbidity", "hatch_open"]


def test_a_switch_whose_row_comes_after_the_finding_but_tells_of_before_counts(one: Any) -> None:
    turbid(one, 10)
    one.row(START + 5 * MINUTE, {"hatch_open": True}, arrived=START + 13 * MINUTE)
    assert rules(one) == ["limit.high.turbidity", "hatch_open", INTRUSION]


def test_with_an_order_neither_hatch_nor_intrusion(one: Any) -> None:
    water(one, 9, work_order=True)
    water(one, 10, hatch_open=True)
    turbid(one, 11)
    assert rules(one) == ["limit.high.turbidity"]


def test_a_pre_alarm_is_no_change_of_the_water_and_the_limit_is(one: Any) -> None:
    water(one, 10, hatch_open=True, door_open=True)
    for minute in range(11, 15):
        water(one, minute, chlorine=0.06)
    assert set(rules(one)) == {"hatch_open", "limit.prealarm.free_chlorine"}
    for minute in range(15, 20):
        water(one, minute, chlorine=0.01)
    assert rules(one)[-2:] == ["limit.low.free_chlorine", INTRUSION]


def test_it_ends_when_the_water_is_right_and_the_tank_is_closed(one: Any) -> None:
    water(one, 10, hatch_open=True)
    turbid(one, 11)
    for minute in range(14, 20):
        water(one, minute)
    ended = [claim.rule for claim in one.claims if str(claim.phase) == "cleared"]
    assert ended == ["limit.high.turbidity"]
    water(one, 20, hatch_open=False)
    ended = [claim.rule for claim in one.claims if str(claim.phase) == "cleared"]
    assert ended == ["limit.high.turbidity", "hatch_open", INTRUSION]
