"""Signs of activity that came too late for the ordinary lane: what they end, and what they leave alone."""

from typing import Any

import pytest

CAP_AFTER_8 = "0 20:00"


@pytest.fixture
def inactive(home: Any) -> Any:
    """No sign since 08:00; found at 20:00 by the cap."""
    home.say("0 07:00", motion_hall=True, door_balcony=False)
    home.say("0 08:00", motion_hall=True)
    home.tick("0 21:00")
    assert home.said("no_activity") == [("no_activity", "raised", "0 08:00", CAP_AFTER_8)]
    return home


def cleared(home: Any, kind: str = "no_activity") -> list[tuple[str, str]]:
    """(time, cause) of each end."""
    return [
        (at, f.evidence.note)
        for f, (_, phase, _, at) in zip(
            [one for one in home.findings if one.kind.endswith(kind)], home.said(kind), strict=True
        )
        if phase == "cleared"
    ]


@pytest.mark.parametrize("ts", ["0 10:00", "0 20:30"])
@pytest.mark.parametrize("sign", [{"motion_hall": True}, {"posture_hall": "upright"}, {"door_balcony": True}])
def test_a_late_sign_behind_the_onset_ends_inactivity_when_it_comes(
    inactive: Any, sign: dict[str, Any], ts: str
) -> None:
    inactive.say_late(ts, "0 21:00", **sign)
    assert cleared(inactive) == [("0 21:00", "late_data")]


@pytest.mark.parametrize(
    "row",
    [
        {"door_balcony": False},  # as it was: a heartbeat
        {"bed_one": True},  # what it said before is not known
        {"motion_hall": False},
        {"posture_hall": "lying"},
        {"temperature_hall": 20.0, "battery_hall": 90.0},
        {"sos_one": True, "fall_hall": True},
    ],
)
def test_what_shows_no_activity_ends_nothing(inactive: Any, row: dict[str, Any]) -> None:
    inactive.say_late("0 10:00", "0 21:00", **row)
    assert [one.kind for one in inactive.findings] == ["elderly.no_activity"]


@pytest.mark.parametrize("ts", ["0 07:30", "0 08:00"])
def test_a_late_sign_before_the_last_one_ends_nothing(inactive: Any, ts: str) -> None:
    inactive.say_late(ts, "0 21:00", motion_hall=True)
    assert cleared(inactive) == []


def test_the_next_deadline_goes_by_the_late_sign(inactive: Any) -> None:
    inactive.say_late("0 18:00", "0 21:00", motion_hall=True)
    inactive.tick("3 00:00")
    assert inactive.said("no_activity")[2:] == [("no_activity", "raised", "0 18:00", "1 14:00")]


def test_a_late_sign_moves_a_deadline_that_has_not_passed(home: Any) -> None:
    home.say("0 08:00", motion_hall=True)
    home.tick("0 19:00")
    home.say_late("0 12:00", "0 19:00", motion_hall=True)
    home.tick("1 12:00")
    assert home.said("no_activity") == [("no_activity", "raised", "0 12:00", "1 08:00")]


def test_a_deadline_that_has_passed_already_waits_for_the_rows_behind(inactive: Any) -> None:
    """The first of a burst ends it; no other follows, and the same is found anew, from the later sign."""
    inactive.say_late("0 08:30", "0 21:00", motion_hall=True)
    inactive.tick("0 21:00:59")
    assert len(inactive.findings) == 2
    inactive.tick("0 21:02")
    assert inactive.said("no_activity")[2:] == [("no_activity", "raised", "0 08:30", "0 21:01")]


def test_a_late_sign_that_comes_again_changes_nothing(inactive: Any) -> None:
    for _ in range(3):
        inactive.say_late("0 10:00", "0 21:00", motion_hall=True)
    assert len(cleared(inactive)) == 1
    assert inactive.engine.bins.historical == 3


def test_a_late_way_out_is_a_way_out(inactive: Any) -> None:
    inactive.say_late("0 18:00", "0 21:00", door_entrance=False)
    inactive.say_late("0 18:01", "0 21:00", door_entrance=True)
    assert cleared(inactive) == [("0 21:00", "late_data")]
    inactive.tick("1 16:00")
    assert len(inactive.said("no_activity")) == 2  # away since then


def test_a_late_sign_elsewhere_ends_a_long_stay(home: Any) -> None:
    home.say("0 08:00", motion_kitchen=True)
    home.say("0 09:00", motion_bathroom=True)
    home.tick("0 13:30")
    assert [one.rule for one in home.findings] == ["long_stay.bathroom"]
    home.say_late("0 08:30", "0 14:00", motion_kitchen=True)
    assert cleared(home, "long_stay") == []
    home.say_late("0 10:00", "0 14:00", motion_kitchen=True)
    assert cleared(home, "long_stay") == [("0 14:00", "late_data")]


def test_a_fall_is_not_ended_by_what_comes_late(home: Any) -> None:
    home.say("0 08:00", motion_kitchen=True, fall_bathroom=False)
    home.say("0 09:00", fall_bathroom=True)
    home.tick("0 09:10")
    assert home.said("fall")
    home.say_late("0 09:05", "0 09:10", posture_kitchen="upright", motion_kitchen=True)
    assert cleared(home, "fall") == []


def test_a_home_that_is_known_from_old_rows_alone_is_not_judged(home: Any) -> None:
    home.say_late("0 08:00", "0 12:00", motion_hall=True)
    home.tick("3 00:00")
    assert home.findings == []


def test_nothing_is_read_of_old_rows_once_consent_is_withdrawn(inactive: Any) -> None:
    inactive.registry({"home-1": {"consent": "withdrawn"}})
    inactive.say_late("0 10:00", "0 21:00", motion_hall=True)
    assert len(inactive.findings) == 1
