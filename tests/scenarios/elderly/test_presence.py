"""Home, away, unknown; declared and inferred."""

from typing import Any

import pytest


def leave(home: Any, ts: str) -> None:
    home.say(ts, door_entrance=True, device="door")
    home.say(f"{ts}:20", door_entrance=False, device="door")


def test_away_never_raises_no_activity_but_a_note_after_24_h(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    leave(home, "0 08:10")
    home.tick("4 00:00")
    assert home.said() == [("not_back", "raised", "0 08:10", "1 08:10")]
    assert home.findings[0].severity == "info"


def test_the_note_ends_with_the_return(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    leave(home, "0 08:10")
    home.tick("1 09:00")
    home.say("1 10:00", door_entrance=True, device="door")
    home.say("1 10:01", motion_hall=True)
    assert home.said()[-1] == ("not_back", "cleared", "0 08:10", "1 10:00")


def test_an_inner_door_is_no_way_out(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    home.say("0 08:00", door_bathroom=True)
    home.tick("0 20:30")
    assert home.said("no_activity") == [("no_activity", "raised", "0 08:00", "0 20:00")]


@pytest.mark.parametrize("there", [{"bed": True}, {"presence_living": True}])
def test_who_is_in_bed_or_in_a_room_is_not_away(home: Any, there: dict[str, bool]) -> None:
    home.say("0 07:00", device="room", **there)
    leave(home, "0 08:00")
    home.tick("0 21:00")
    assert [rule for rule, *_ in home.said("no_activity")] == ["no_activity"]


def test_who_comes_back_by_the_door_and_is_not_seen_again_is_missed_by_the_cap(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    leave(home, "0 08:00")
    leave(home, "0 10:00")  # the way back in
    home.tick("1 12:00")
    assert home.said() == [("no_activity", "raised", "0 10:00:20", "1 06:00:20")]


def test_the_next_door_after_an_unseen_return_is_the_way_out_again(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    for time in ("0 08:00", "0 10:00", "0 11:00"):
        leave(home, time)
    home.tick("1 12:00")
    assert home.said() == [("not_back", "raised", "0 11:00", "1 11:00")]


@pytest.mark.parametrize("word", ["away", "hospital", "visitor"])
@pytest.mark.parametrize("by", ["registry", "channel"])
def test_what_is_declared_suppresses_the_staged_rules(make_home: Any, word: str, by: str) -> None:
    home = make_home(attributes={"home-1": {"operator_state": word}} if by == "registry" else {})
    home.say("0 07:00", motion_hall=True)
    if by == "channel":
        home.say("0 07:01", operator_state=word)
    home.say("0 22:00", presence_bathroom=True, bed=True)
    home.say("1 01:00", door_entrance=True, bed=False)
    home.tick("3 00:00")
    assert home.said() == []


def test_what_was_declared_ends_and_inactivity_counts_from_there(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    home.say("0 07:01", operator_state="hospital")
    home.say("5 08:00", operator_state="home")
    home.tick("5 21:00")
    assert home.said() == [("no_activity", "raised", "5 08:00", "5 20:00")]


def test_declaring_ends_what_is_open(home: Any) -> None:
    home.say("0 07:00", motion_hall=True)
    home.tick("0 20:00")
    home.say("0 20:10", operator_state="away", device="office")
    assert home.said()[-1] == ("no_activity", "cleared", "0 07:00", "0 20:10")
    assert home.findings[-1].evidence.note == "declared"


def watched_day(day: int, hours: range, signs: tuple[int, ...] = (7, 12, 17, 21)) -> list[dict[str, Any]]:
    """A heartbeat every ten minutes, and motion at five past these hours."""
    times = [(hour * 60 + minute, False) for hour in hours for minute in range(0, 60, 10)]
    times += [(hour * 60 + 5, True) for hour in signs]
    return [
        {"ts": f"{day} {minute // 60:02d}:{minute % 60:02d}", "entity": "home-1", "motion.hall": motion}
        for minute, motion in sorted(times)
    ]


def test_a_silent_home_is_unknown_and_not_inactive(home: Any) -> None:
    for day in range(4):
        home.feed(watched_day(day, range(24)), cut=100)
    home.tick("7 00:00")
    assert home.said() == [("silence.home", "raised", "3 23:50", "4 00:50")]


def test_inactivity_is_not_counted_through_a_silence(home: Any) -> None:
    for day in range(4):
        home.feed(watched_day(day, range(24)), cut=100)
    home.feed(watched_day(4, range(10, 24), signs=()), cut=100)
    assert home.said("no_activity") == [("no_activity", "raised", "4 10:00", "4 22:00")]


def test_a_home_is_judged_by_the_devices_that_are_left(home: Any) -> None:
    kitchen = [
        {**row, "device": "k", "motion.kitchen": row["motion.hall"]} for row in watched_day(0, range(24))
    ]
    for row in kitchen:
        del row["motion.hall"]
    for day in range(4):
        moved = [{**row, "ts": f"{day}{row['ts'][1:]}"} for row in kitchen]
        both = sorted(watched_day(day, range(24)) + moved, key=lambda row: row["ts"])
        home.feed(both, cut=200)
    home.feed(watched_day(4, range(24), signs=()), cut=200)
    assert home.said() == [
        ("silence.motion.kitchen", "raised", "3 23:50", "4 00:50"),
        ("no_activity", "raised", "3 21:05", "4 17:05"),
    ]
