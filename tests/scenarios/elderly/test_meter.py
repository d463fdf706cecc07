"""Water: no use, leaks, daily uploads, replaced meters."""

from typing import Any

import pytest


def hourly(
    home: Any, readings: dict[int, float], *, arrived: str | None = None, device: str = "meter"
) -> None:
    """Hour since local midnight of day 0 → register."""
    for hour, value in readings.items():
        home.say(f"{hour // 24} {hour % 24:02d}:00", arrived=arrived, device=device, water_m3=value)


def test_less_than_a_pulse_in_12_h_is_raised_with_the_reading_that_shows_it(home: Any) -> None:
    hourly(home, {8: 10.0, 9: 10.02, **dict.fromkeys(range(10, 21), 10.025), 21: 10.029})
    assert home.said() == [("no_water", "raised", "0 09:00", "0 21:00")]
    assert home.findings[0].evidence.note == ""


def test_a_pulse_in_between_starts_the_12_h_anew(home: Any) -> None:
    hourly(home, {8: 10.0, 12: 10.01, 21: 10.01, 23: 10.01})
    assert home.said() == []
    hourly(home, {24: 10.01})
    assert home.said() == [("no_water", "raised", "0 12:00", "1 00:00")]


def test_a_meter_that_is_silent_is_no_dry_home(home: Any) -> None:
    hourly(home, {8: 10.0})
    home.tick("1 12:00")
    assert home.said("no_water") == []


def test_water_ends_it(home: Any) -> None:
    hourly(home, {8: 10.0, 20: 10.0, 21: 10.02})
    assert home.said()[-1] == ("no_water", "cleared", "0 08:00", "0 21:00")
    assert home.findings[-1].evidence.note == "water_used"


def test_an_upload_that_shows_earlier_use_ends_it_as_late_data(home: Any) -> None:
    hourly(home, dict.fromkeys(range(8, 32), 10.0), arrived="1 08:30")
    assert home.said() == [("no_water", "raised", "0 08:00", "1 08:30")]
    hourly(home, {32: 10.05}, arrived="2 08:30")
    assert home.said()[-1] == ("no_water", "cleared", "0 08:00", "2 08:30")
    assert home.findings[-1].evidence.note == "late_data"


def test_a_reading_that_is_older_than_an_upload_says_nothing_of_now(home: Any) -> None:
    hourly(home, dict.fromkeys(range(8, 22), 10.0), arrived="3 00:00")
    assert home.said("no_water") == []


def test_time_away_is_not_time_without_water_at_home(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    hourly(home, {8: 10.0})
    home.say("0 08:10", door_entrance=True, device="door")
    hourly(home, {20: 10.0, 21: 10.0})
    assert home.said("no_water") == []
    home.say("0 21:30", door_entrance=False, device="door")
    home.say("0 21:31", motion_hall=True)
    hourly(home, {33: 10.0})
    assert home.said("no_water") == []
    hourly(home, {34: 10.0})
    assert home.said("no_water") == [("no_water", "raised", "0 21:30", "1 10:00")]


def test_a_replaced_meter_is_neither_use_nor_leak_nor_dryness(home: Any) -> None:
    hourly(home, {8: 5000.0, 14: 0.0, 20: 0.0})  # a new one
    assert home.said() == []
    hourly(home, {21: 900.0, 26: 900.0, 32: 900.0})  # and another, with a higher register
    assert home.said() == []
    hourly(home, {33: 900.0})
    assert home.said() == [("no_water", "raised", "0 21:00", "1 09:00")]


def drip(home: Any, slots: range, register: float, step: float) -> float:
    rows = []
    for slot in slots:
        register = round(register + step, 5)
        ts = f"{slot // 48} {slot % 48 // 2:02d}:{slot % 2 * 30:02d}"
        rows.append({"ts": ts, "entity": "home-1", "device": "meter", "water_m3": register})
    home.feed(rows, cut=200)
    return register


def test_flow_in_every_half_hour_of_a_day_is_a_leak_and_ends_when_it_stops(home: Any) -> None:
    register = drip(home, range(1), 10.0, 0.0)
    register = drip(home, range(1, 49), register, 0.002)
    assert home.said() == [("leak.steady.water_m3", "raised", "0 00:00", "1 00:00")]
    drip(home, range(49, 54), register, 0.0)
    assert home.said()[-1] == ("leak.steady.water_m3", "cleared", "0 00:00", "1 01:00")


def test_one_dry_half_hour_is_no_leak(home: Any) -> None:
    register = drip(home, range(30), 10.0, 0.002)
    register = drip(home, range(30, 32), register, 0.0)
    drip(home, range(32, 70), register, 0.002)
    assert home.said("leak") == []


def test_hourly_slots_show_a_leak_as_well(home: Any) -> None:
    hourly(home, {hour: 10 + hour * 0.02 for hour in range(25)}, arrived="1 08:30")
    assert home.said() == [("leak.steady.water_m3", "raised", "0 00:00", "1 08:30")]


def test_flow_somewhere_in_a_gap_proves_no_leak(home: Any) -> None:
    register = drip(home, range(30), 10.0, 0.002)
    register = drip(home, range(34, 35), register, 0.002)
    drip(home, range(35, 60), register, 0.002)
    assert home.said("leak") == []


def test_more_than_2_m3_a_day_is_a_leak_until_a_usual_day(home: Any) -> None:
    hourly(home, {7: 10.0, 9: 11.5, 11: 12.5, 12: 13.0})
    assert home.said() == [("leak.volume.water_m3", "raised", "0 00:00", "0 11:00")]
    hourly(home, {30: 13.0, 31: 13.2, 47: 13.3, 49: 13.31})
    assert home.said("leak")[-1] == ("leak.volume.water_m3", "cleared", "0 00:00", "2 01:00")


def test_while_it_leaks_no_water_is_neither_raised_nor_ended(home: Any) -> None:
    register = drip(home, range(1), 10.0, 0.0)
    register = drip(home, range(1, 49), register, 0.0002)
    assert [(rule, phase) for rule, phase, *_ in home.said()] == [
        ("no_water", "raised"),
        ("leak.steady.water_m3", "raised"),
    ]
    drip(home, range(49, 96), register, 0.001)
    assert len(home.said()) == 2
    unreliable = home.findings[1].evidence.observations[1]
    assert (unreliable.name, unreliable.observed) == ("no_water", "unreliable")


def test_two_meters_are_dry_only_together(home: Any) -> None:
    for hour in range(8, 24):
        home.say(f"0 {hour:02d}:00", water_m3_cold=10 + hour * 0.02, water_m3_hot=5.0)
    assert home.said("no_water") == []


@pytest.mark.parametrize("value", [-1.0, 1e9])
def test_a_register_that_no_meter_shows_is_no_reading(home: Any, value: float) -> None:
    hourly(home, {8: 10.0, 12: value, 20: 10.0})
    assert home.said() == [("no_water", "raised", "0 08:00", "0 20:00")]
