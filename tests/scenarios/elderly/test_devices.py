"""Silence and batteries: what is maintenance, and never the resident."""

from typing import Any

import pytest

Row = dict[str, Any]


def beats(channel: str, minutes: int, start: int, end: int, value: Any = False) -> list[Row]:
    """A heartbeat every so many minutes from hour to hour of day 0."""
    return [
        {
            "ts": f"{m // 1440} {m % 1440 // 60:02d}:{m % 60:02d}",
            "entity": "home-1",
            "device": channel,
            channel: value,
        }
        for m in range(start * 60, end * 60, minutes)
    ]


def in_order(*rows: list[Row]) -> list[Row]:
    def key(row: Row) -> tuple[int, str]:
        day, _, time = row["ts"].partition(" ")
        return int(day), time

    return sorted((row for some in rows for row in some), key=key)


def test_a_meter_is_silent_after_30_h_from_its_first_day_on(home: Any) -> None:
    home.say("0 08:00", water_m3=10.0, device="meter")
    home.tick("1 14:30")
    assert home.said("device_silent") == [("silence.water_m3", "raised", "0 08:00", "1 14:00")]
    home.say("1 15:00", water_m3=10.4, device="meter")
    assert home.said("device_silent")[-1] == ("silence.water_m3", "cleared", "0 08:00", "1 15:00")


def test_a_device_with_a_heartbeat_is_silent_after_three_periods(home: Any) -> None:
    rows = in_order(beats("motion.hall", 60, 0, 100), beats("motion.kitchen", 60, 0, 120))
    home.feed(rows, cut=500)
    assert home.said("device_silent") == [("silence.motion.hall", "raised", "4 03:00", "4 06:00")]


def test_a_device_that_only_speaks_when_something_happens_is_never_silent(home: Any) -> None:
    rows = in_order(beats("motion.hall", 180, 0, 100, value=True), beats("motion.kitchen", 60, 0, 140))
    home.feed(rows, cut=500)
    assert [r for r in home.said("device_silent") if r[0] == "silence.motion.hall"] == []


def test_nothing_is_learned_in_the_first_days(home: Any) -> None:
    home.feed(in_order(beats("motion.hall", 60, 0, 48), beats("motion.kitchen", 60, 0, 70)), cut=500)
    assert home.said("device_silent") == []


def test_a_home_that_is_silent_is_one_finding_and_each_device_gets_its_time_anew(home: Any) -> None:
    names = ("motion.hall", "motion.kitchen", "door.entrance")
    home.feed(in_order(*(beats(name, 60, 0, 100) for name in names)), cut=500)
    home.tick("5 00:00")
    assert home.said("device_silent") == [("silence.home", "raised", "4 03:00", "4 06:00")]
    home.feed(beats("motion.hall", 60, 121, 123))
    assert home.said("device_silent")[1:] == [("silence.home", "cleared", "4 03:00", "5 01:00")]
    home.feed(beats("motion.hall", 60, 123, 126))
    assert [r[0] for r in home.said("device_silent")[2:]] == [
        "silence.motion.kitchen",
        "silence.door.entrance",
    ]


def test_a_silence_does_not_teach_a_longer_pause(home: Any) -> None:
    home.feed(beats("motion.hall", 60, 0, 100) + beats("motion.hall", 60, 110, 120), cut=500)
    home.tick("5 12:00")
    assert home.said("device_silent") == [
        ("silence.home", "raised", "4 03:00", "4 06:00"),
        ("silence.home", "cleared", "4 03:00", "4 14:00"),
        ("silence.home", "raised", "4 23:00", "5 02:00"),
    ]


def test_of_a_sensor_that_is_silent_no_heat_is_known(home: Any) -> None:
    home.feed(beats("temperature", 10, 0, 100, value=20.0), cut=700)
    home.say("4 04:00", temperature=40.0, device="temperature")
    home.tick("4 07:00")
    assert home.said() == [("silence.home", "raised", "4 04:00", "4 05:00")]


def test_an_empty_row_is_a_heartbeat_of_the_home(home: Any) -> None:
    home.feed(beats("motion.hall", 60, 0, 100), cut=500)
    empty = [{**row, "motion.hall": None} for row in beats("motion.hall", 60, 100, 120)]
    home.feed(empty, cut=500)
    assert [r[0] for r in home.said("device_silent")] == ["silence.motion.hall"]


def test_a_low_battery_is_one_finding_until_it_is_changed(home: Any) -> None:
    for hour, value in enumerate((40.0, 15.0, 14.0, 16.0, 13.0, 20.0, 100.0)):
        home.say(f"0 {hour:02d}:00", battery_hall=value)
    assert home.said() == [
        ("battery.hall", "raised", "0 02:00", "0 02:00"),
        ("battery.hall", "cleared", "0 02:00", "0 06:00"),
    ]
    assert home.findings[0].severity == "minor"


@pytest.mark.parametrize("value", [-9999.0, 300.0])
def test_a_battery_level_that_cannot_be_is_no_level(home: Any, value: float) -> None:
    home.say("0 08:00", battery_hall=value)
    assert home.said() == []
