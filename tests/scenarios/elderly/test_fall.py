"""Falls: the hold, what counts as upright, late rows."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("channel", "at"), [("fall_bathroom", "0 10:00:30"), ("fall_living", "0 10:01"), ("fall", "0 10:01")]
)
def test_the_hold_is_a_minute_and_half_of_it_in_the_bathroom(home: Any, channel: str, at: str) -> None:
    home.say("0 10:00", **{channel: True})
    home.tick("0 10:02")
    assert home.said() == [(channel.replace("_", "."), "raised", "0 10:00", at)]


@pytest.mark.parametrize(
    ("row", "near"),
    [
        ({"posture_living": "upright"}, True),
        ({"motion_hall": True}, True),
        ({"motion_living": True}, False),  # somebody on the floor moves as well
        ({"posture_living": "sitting"}, False),
        ({"motion_hall": False}, False),
        ({"fall_living": False}, False),
        ({"door_fridge": True}, False),
    ],
)
def test_upright_motion_makes_it_a_near_fall(home: Any, row: dict[str, Any], near: bool) -> None:
    home.say("0 10:00:00", fall_living=True)
    home.say("0 10:00:20", device="other", **row)
    home.tick("0 10:02")
    assert (home.said("fall") == []) is near
    assert home.engine.entities.column("fall.near").tolist() == [int(near)]


def test_two_bathroom_names_are_one_room(home: Any) -> None:
    home.say("0 10:00:00", fall_bathroom=True)
    home.say("0 10:00:20", device="other", motion_toilet=True)
    home.tick("0 10:02")
    assert len(home.said("fall")) == 1


def test_of_a_radar_without_a_room_no_motion_is_elsewhere(home: Any) -> None:
    home.say("0 10:00:00", fall=True)
    home.say("0 10:00:20", device="other", motion_hall=True)
    home.tick("0 10:02")
    assert len(home.said("fall")) == 1


def test_motion_before_the_fall_is_not_upright_motion_after_it(home: Any) -> None:
    home.say("0 10:00:10", fall_living=True)
    home.say("0 10:00:05", device="other", motion_hall=True)
    home.tick("0 10:02")
    assert len(home.said("fall")) == 1


def test_a_repeated_fall_does_not_start_the_hold_anew(home: Any) -> None:
    for second in range(0, 60, 5):
        home.say(f"0 10:00:{second:02d}", fall_living=True)
    home.tick("0 10:02")
    assert home.said() == [("fall.living", "raised", "0 10:00", "0 10:01")]


def test_a_fall_ends_when_somebody_is_upright_and_the_next_is_another(home: Any) -> None:
    home.say("0 10:00", fall_living=True)
    home.say("0 10:05", posture_living="upright")
    home.say("0 11:00", fall_living=True)
    home.tick("0 11:02")
    assert home.said() == [
        ("fall.living", "raised", "0 10:00", "0 10:01"),
        ("fall.living", "cleared", "0 10:00", "0 10:05"),
        ("fall.living", "raised", "0 11:00", "0 11:01"),
    ]
    assert len({f.id for f in home.findings}) == 2


def test_a_fall_after_one_that_never_ended_is_confirmed_before_it_is_another(home: Any) -> None:
    home.say("0 10:00", fall_living=True)
    home.tick("0 10:02")
    home.say("0 11:00", fall_living=True)
    home.tick("0 11:00:30")
    assert len(home.said()) == 1
    home.tick("0 11:02")
    assert [(phase, at) for _, phase, _, at in home.said()[1:]] == [
        ("cleared", "0 11:01"),
        ("raised", "0 11:01"),
    ]


def test_a_fall_among_kept_rows_waits_for_the_rows_behind_it(home: Any) -> None:
    home.tick("0 12:00")
    home.say("0 10:00:00", arrived="0 12:00", fall_living=True, device="a")
    home.say("0 10:00:20", arrived="0 12:00", motion_hall=True, device="b")
    home.tick("0 12:05")
    assert home.said("fall") == []


def test_a_fall_among_kept_rows_is_raised_when_they_are_all_there(home: Any) -> None:
    home.say("0 10:00:00", arrived="0 12:00", fall_living=True, device="a")
    home.tick("0 12:05")
    assert home.said("fall") == [("fall.living", "raised", "0 10:00", "0 12:01")]


def test_evidence_counts_near_falls(home: Any) -> None:
    home.say("0 09:00:00", fall_living=True)
    home.say("0 09:00:05", posture_living="upright")
    home.say("0 10:00", fall_living=True)
    home.tick("0 10:02")
    assert [(o.name, o.observed) for o in home.findings[0].evidence.observations] == [
        ("fall.living", True),
        ("no_upright_motion", 60.0),
        ("near_falls_before", 1),
    ]
