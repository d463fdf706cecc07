"""Tank, flood, lamp and pumps, beyond what the golden cases show."""

from typing import Any

MINUTE = 60_000_000
START = 1_772_400_000_000_000


def test_a_level_over_the_range_of_its_probe_is_an_overflow(station: Any) -> None:
    one = station(("tank_level",), attributes={"tank_height": "3"})
    one.row(START, {"tank_level": 2.5})
    for minute in (1, 2, 3):
        one.row(START + minute * MINUTE, {"tank_level": 3.1 + minute / 100}, flags="T")
    (claim,) = one.claims
    assert (claim.kind, claim.evidence.observations[0].observed) == ("water.tank_overflow", "> range")


def test_a_second_tank_has_its_own_height(station: Any) -> None:
    one = station(("tank_level", "tank_level_2"), attributes={"tank_height_2": "10"})
    for minute in range(3):
        one.row(START + minute * MINUTE, {"tank_level": 0.1, "tank_level_2": 0.5 + minute / 100})
    assert one.kinds() == [("tank.low.tank_level_2", "raised")]


def test_a_flood_is_told_whatever_letter_the_row_has(station: Any) -> None:
    one = station(("flood",))
    for seconds in (0, 10):
        one.row(START + seconds * 1_000_000, {"flood": True}, flags="M")
    assert one.kinds() == [("flood.flood", "raised")]


def test_a_lamp_that_is_tried_in_maintenance_says_nothing(station: Any) -> None:
    one = station(("uv_on", "flow"))
    for minute in range(30):
        one.row(START + minute * MINUTE, {"uv_on": False, "flow": 9.0 + minute % 3}, flags="M")
    assert not one.claims


def test_lamp_and_flow_may_come_in_rows_of_their_own(station: Any) -> None:
    one = station(("uv_on", "flow"))
    one.row(START, {"flow": 9.0})
    one.row(START + MINUTE, {"uv_on": False})
    for minute in range(2, 12):
        one.row(START + minute * MINUTE, {"flow": 9.0 + minute % 3})
    (claim,) = one.claims
    assert (claim.onset, claim.at) == (START + MINUTE, START + 11 * MINUTE)


def test_an_old_flow_says_nothing_of_now(station: Any) -> None:
    one = station(("uv_on", "flow"))
    one.row(START, {"flow": 9.0})
    for minute in range(20, 60, 5):
        one.row(START + minute * MINUTE, {"uv_on": False})
    assert not one.claims


def test_a_station_without_these_channels_has_no_state_and_no_timer_for_them(station: Any) -> None:
    one = station(("turbidity", "ph"))
    parts = ("pressure", "tank", "flood", "hatch", "access", "intrusion", "uv", "pump", "switch")
    names = [*one.state.arrays, *one.rules.timers]
    assert [name for name in names if name.startswith(parts)] == []
