"""Outlet pressure: given and learned set points."""

from typing import Any

import numpy as np
import pytest

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_772_400_000_000_000
LOW, HIGH = "pressure.low.outlet_pressure", "pressure.high.outlet_pressure"


def played(one: Any, since: int, until: int, pressure: float, *, every: int = 30 * MINUTE) -> int:
    """Rows of a pressure that moves a little; gives the time after them."""
    rng = np.random.default_rng(since % 1000)
    for at in range(since, until, every):
        one.row(at, {"outlet_pressure": pressure + 0.003 * rng.standard_normal()})
    return until


@pytest.fixture
def learned(station: Any) -> Any:
    """A station without a set point that has run at 0.42 MPa for 12 h."""
    one = station(("outlet_pressure",))
    played(one, START, START + 12 * HOUR, 0.42)
    assert not one.claims
    return one


def test_a_learned_set_point_does_not_follow_a_failure(learned: Any) -> None:
    at = played(learned, START + 12 * HOUR, START + 32 * HOUR, 0.2)
    assert learned.kinds() == [(LOW, "raised")]
    assert learned.claims[0].score == 0.5
    played(learned, at, at + HOUR, 0.42)
    assert learned.kinds() == [(LOW, "raised"), (LOW, "cleared")]


def test_what_lasts_longer_than_a_day_was_set_and_is_learned_anew(learned: Any) -> None:
    at = played(learned, START + 12 * HOUR, START + 46 * HOUR, 0.3)
    assert learned.kinds() == [(LOW, "raised"), (LOW, "cleared")]
    assert learned.claims[1].evidence.note == "withdrawn"
    played(learned, at, at + HOUR, 0.42)
    assert learned.kinds()[2:] == [(HIGH, "raised")]


def test_a_given_set_point_is_never_learned_anew(station: Any) -> None:
    one = station(("outlet_pressure",), attributes={"set_point": "0.42"})
    played(one, START, START + 40 * HOUR, 0.3)
    assert one.kinds() == [(LOW, "raised")]
    assert one.claims[0].score == 1.0


def test_no_verdict_before_six_hours_without_a_set_point(station: Any) -> None:
    one = station(("outlet_pressure",))
    at = played(one, START, START + 3 * HOUR, 0.42)
    played(one, at, at + HOUR, 0.1, every=MINUTE)
    assert not one.claims


@pytest.mark.parametrize("said", ["high", "-0.42", "0", "nan", "inf", ""])
def test_an_attribute_that_is_no_pressure_is_not_known(station: Any, said: str) -> None:
    one = station(("outlet_pressure",), attributes={"set_point": said})
    played(one, START, START + HOUR, 0.1, every=MINUTE)
    assert not one.claims


def test_each_outlet_has_its_own_set_point(station: Any) -> None:
    attributes = {"set_point": "0.42", "set_point_2": "0.8"}
    one = station(("outlet_pressure", "outlet_pressure_2"), attributes=attributes)
    for minute in range(10):
        wave = 0.001 * (minute % 3)
        one.row(START + minute * MINUTE, {"outlet_pressure": 0.42 + wave, "outlet_pressure_2": 0.5 + wave})
    assert one.kinds() == [("pressure.low.outlet_pressure_2", "raised")]


def test_values_of_every_ten_seconds_are_told_after_sixty(station: Any) -> None:
    one = station(("outlet_pressure",), attributes={"set_point": "0.42"})
    played(one, START, START + 2 * MINUTE, 0.42, every=10 * SECOND)
    played(one, START + 2 * MINUTE, START + 4 * MINUTE, 0.2, every=10 * SECOND)
    (claim,) = one.claims
    assert (claim.onset, claim.at) == (START + 2 * MINUTE, START + 3 * MINUTE)


def test_a_room_that_falls_silent_at_low_pressure_is_told_by_its_deadline(station: Any) -> None:
    one = station(("outlet_pressure",), attributes={"set_point": "0.42"})
    played(one, START, START + 10 * MINUTE, 0.42, every=MINUTE)
    one.row(START + 10 * MINUTE, {"outlet_pressure": 0.1})
    one.pass_time(START + 11 * MINUTE, START)
    assert not one.claims  # the next value may say that it was a spike
    one.pass_time(START + 12 * MINUTE, START)
    (claim,) = one.claims
    assert (claim.rule, claim.onset, claim.at - claim.onset) == (LOW, START + 10 * MINUTE, 90 * SECOND)


def test_a_value_of_a_probe_in_calibration_is_no_sample(station: Any) -> None:
    one = station(("outlet_pressure",), attributes={"set_point": "0.42"})
    for minute in range(10):
        one.row(START + minute * MINUTE, {"outlet_pressure": 0.1}, flags="C")
    assert not one.claims
