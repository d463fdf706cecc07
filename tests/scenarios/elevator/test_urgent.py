"""The urgent lane: at once, without looking at anything before it."""

from collections.abc import Callable
from typing import Any

from scenarios.elevator import SCENARIO

Make = Callable[..., Any]


def test_a_press_calls_at_once_and_a_release_ends_it(lift: Make) -> None:
    one = (
        lift(urgent=True)
        .row(0, {"alarm_button": True})
        .row(5, {"alarm_button": True})
        .row(7, {"person": True})
    )
    assert one.said("alarm_button") == [("raised", 0, 0)]
    assert one.row(9, {"alarm_button": False}).said("alarm_button")[1:] == [("cleared", 0, 9)]


def test_it_ends_ten_minutes_after_the_last_press_where_no_release_is_told(lift: Make) -> None:
    one = lift(urgent=True).row(0, {"alarm_button": True}).row(300, {"alarm_button": True}).tick(909)
    assert one.said("alarm_button") == [("raised", 0, 0)]
    assert one.tick(910).said("alarm_button")[1:] == [("cleared", 0, 900)]
    assert one.row(1000, {"alarm_button": True}).said("alarm_button")[2:] == [("raised", 1000, 1000)]


def test_the_ordinary_lane_never_says_it(lift: Make) -> None:
    assert {kind for kind, _ in lift().stand(0, alarm_button=True).kinds()} == {"entrapment"}


def test_the_button_is_the_one_trigger_and_its_kind_saves_lives() -> None:
    triggers = [channel.name for channel in SCENARIO.schema.channels if channel.trigger]
    assert triggers == ["alarm_button"]
    assert {"elevator.entrapment", "elevator.alarm_button"} <= SCENARIO.life_safety
