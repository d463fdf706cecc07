"""Long stays, nights out, absence from the bed, heat and cold."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("entered", "raised"),
    [("0 09:00", "0 13:00"), ("0 21:59", "1 01:59"), ("0 22:05", "1 00:05"), ("1 05:30", "1 07:30")],
)
def test_the_bathroom_has_four_hours_and_two_when_the_stay_began_at_night(
    home: Any, entered: str, raised: str
) -> None:
    home.say("0 08:00", motion_hall=True)
    home.say(entered, presence_bathroom=True, device="radar")
    home.tick("1 08:00")
    assert home.said("long_stay") == [("long_stay.bathroom", "raised", entered, raised)]


def test_the_bedroom_has_ten_hours_outside_sleep_time(home: Any) -> None:
    home.say("0 20:00", motion_hall=True)
    home.say("0 21:00", bed=True, device="bed")
    home.tick("1 16:00")
    assert home.said("long_stay") == [("long_stay.bedroom", "raised", "0 21:00", "1 15:00")]


@pytest.mark.parametrize(
    "row", [{"motion_hall": True}, {"presence_bathroom": False}, {"door_entrance": True}, {"bed": True}]
)
def test_leaving_the_room_ends_the_stay(home: Any, row: dict[str, Any]) -> None:
    home.say("0 08:00", motion_hall=True)
    home.say("0 09:00", presence_bathroom=True, device="radar")
    home.say("0 12:00", device="other", **row)
    home.tick("0 14:00")
    assert home.said("long_stay") == []


def test_a_stay_that_was_raised_is_cleared_when_it_ends(home: Any) -> None:
    home.say("0 08:00", motion_hall=True)
    home.say("0 09:00", motion_bathroom=True)
    home.say("0 13:30", motion_hall=True)
    assert home.said("long_stay") == [
        ("long_stay.bathroom", "raised", "0 09:00", "0 13:00"),
        ("long_stay.bathroom", "cleared", "0 09:00", "0 13:30"),
    ]


def test_a_home_with_one_room_has_no_long_stay(home: Any) -> None:
    for hour in range(7, 22):
        home.say(f"0 {hour:02d}:00", motion_bedroom=True)
    assert home.said("long_stay") == []


# ------------------------------------------------------------------ night


def test_out_at_night_and_not_back_in_20_min(home: Any) -> None:
    home.say("0 23:00", motion_hall=True)
    home.say("1 02:00:00", door_entrance=True, device="door")
    home.say("1 02:00:20", door_entrance=False, device="door")
    home.tick("1 02:30")
    assert home.said() == [("night_out", "raised", "1 02:00", "1 02:20")]
    home.say("1 02:40", motion_hall=True)
    assert home.said()[-1] == ("night_out", "cleared", "1 02:00", "1 02:40")


def test_in_the_cold_ten_minutes_are_enough(home: Any) -> None:
    home.say("0 23:00", motion_hall=True, temperature_outdoor=-3.0)
    home.say("1 02:00", door_entrance=True, device="door")
    home.tick("1 02:30")
    assert home.said() == [("night_out", "raised", "1 02:00", "1 02:10")]


@pytest.mark.parametrize("ts", ["0 23:50", "1 05:00"])
def test_outside_these_hours_it_is_no_night_out(home: Any, ts: str) -> None:
    home.say("0 23:00", motion_hall=True)
    home.say(ts, door_entrance=True, device="door")
    home.tick("1 06:00")
    assert home.said("night_out") == []


def test_back_in_time_is_nothing(home: Any) -> None:
    home.say("0 23:00", motion_hall=True)
    home.say("1 02:00", door_entrance=True, device="door")
    home.say("1 02:15", motion_hall=True)
    home.tick("1 03:00")
    assert home.said() == []


def test_coming_home_at_night_is_no_night_out(home: Any) -> None:
    home.say("0 18:00", motion_hall=True)
    home.say("0 18:10", door_entrance=True, device="door")
    home.say("0 18:11", door_entrance=False, device="door")
    home.say("1 01:00", door_entrance=True, device="door")
    home.tick("1 02:00")
    assert home.said() == []


def test_out_of_bed_at_night_and_still_for_45_min(home: Any) -> None:
    home.say("0 22:30", bed=True)
    home.say("1 02:00", bed=False)
    home.say("1 02:04", motion_hall=True, device="pir")
    home.tick("1 03:00")
    assert home.said("bed_absent") == [("bed_absent", "raised", "1 02:00", "1 02:49")]
    home.say("1 03:10", bed=True)
    assert home.said("bed_absent")[-1] == ("bed_absent", "cleared", "1 02:00", "1 03:10")
    assert home.findings[-1].evidence.note == "in_bed"


def test_getting_up_in_the_morning_is_no_absence(home: Any) -> None:
    home.say("0 22:30", bed=True)
    home.say("1 05:30", bed=False)
    home.tick("1 07:00")
    assert home.said("bed_absent") == []


def test_one_absence_is_found_once(home: Any) -> None:
    home.say("0 22:30", bed=True)
    home.say("1 00:00", bed=False)
    for time in ("1 01:00", "1 02:00", "1 03:00"):
        home.say(time, motion_hall=True, device="pir")
    assert [phase for _, phase, *_ in home.said("bed_absent")] == ["raised", "cleared"]


# ------------------------------------------------------------------ climate


@pytest.mark.parametrize(
    ("beyond", "inside", "usual", "kind"), [(33.0, 31.5, 30.5, "heat"), (11.0, 12.5, 13.5, "cold")]
)
def test_heat_and_cold_hold_two_hours_and_end_beyond_the_hysteresis(
    home: Any, beyond: float, inside: float, usual: float, kind: str
) -> None:
    rule = f"{kind}.temperature.bedroom"
    home.say("0 10:00", temperature_bedroom=beyond)
    home.tick("0 12:30")
    home.say("0 12:40", temperature_bedroom=inside)
    assert home.said() == [(rule, "raised", "0 10:00", "0 12:00")]
    home.say("0 12:50", temperature_bedroom=usual)
    assert home.said()[-1] == (rule, "cleared", "0 10:00", "0 12:50")


def test_a_value_inside_starts_the_hold_anew(home: Any) -> None:
    home.say("0 10:00", temperature=33.0)
    home.say("0 11:00", temperature=30.0)
    home.say("0 11:10", temperature=33.0)
    home.tick("0 13:00")
    assert home.said() == []


@pytest.mark.parametrize("row", [{"temperature_outdoor": 38.0}, {"temperature_bedroom": -9999.0}])
def test_the_air_outside_and_a_code_for_no_data_are_no_room(home: Any, row: dict[str, float]) -> None:
    home.say("0 10:00", **row)
    home.tick("0 14:00")
    assert home.said() == []
