"""The findings beside entrapment: when each begins and ends."""

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
RUNS = {"mode": "normal", "moving": True, "in_door_zone": False, "door_closed": True, "person": False}
STANDS = {"mode": "normal", "moving": False, "in_door_zone": True, "door_closed": True, "person": False}
OPEN = {**STANDS, "door_closed": False}


def rows(one: Any, seconds: list[float], row: dict[str, Any], **differs: Any) -> Any:
    for second in seconds:
        one.row(second, {**row, **differs})
    return one


# ------------------------------------------------------------------ doors


def test_door_open_moving_needs_more_than_two_seconds(lift: Make) -> None:
    one = rows(lift(), [0, 1, 2], RUNS, door_closed=False, speed=1.0)
    assert one.said("door_open_moving") == []
    rows(one, [3], RUNS, door_closed=False, speed=1.0)
    rows(one, [4], RUNS, speed=1.0)
    assert one.said("door_open_moving") == [("raised", 0, 3), ("cleared", 0, 4)]


def test_releveling_with_an_open_door_is_usual(lift: Make) -> None:
    one = rows(lift(), [0, 5, 10], OPEN, moving=True, speed=0.2)
    rows(one, [15, 20, 25], OPEN, moving=True, speed=None)
    assert one.kinds() == []


def test_without_a_speed_the_zone_tells_travel_from_releveling(lift: Make) -> None:
    one = rows(lift(), [0, 3], RUNS, door_closed=False)
    assert one.said("door_open_moving") == [("raised", 0, 3)]


def cycle(one: Any, attempts: int, step: float = 10) -> Any:
    for n in range(attempts):
        rows(one, [n * step], OPEN, door_state="closing")
        rows(one, [n * step + step / 2], OPEN, door_state="open")
    return one


def test_door_cycling_is_five_closings_in_120_s_that_do_not_end_closed(lift: Make) -> None:
    assert cycle(lift(), 4).said("door_cycling") == []
    one = cycle(lift(), 5)
    assert one.said("door_cycling") == [("raised", 5, 45)]
    rows(one, [60], STANDS, door_state="closed")
    assert one.said("door_cycling")[1:] == [("cleared", 5, 60)]


def test_door_cycling_forgets_after_its_window_and_after_a_closed_door(lift: Make) -> None:
    assert cycle(lift(), 12, step=31).said("door_cycling") == []
    one = cycle(lift(), 3)
    rows(one, [28], STANDS, door_state="closed")
    for n in range(3):
        rows(one, [30 + n * 10], OPEN, door_state="closing")
        rows(one, [35 + n * 10], OPEN, door_state="opening")
    assert one.said("door_cycling") == []


@pytest.mark.parametrize(("mode", "raised"), [("normal", True), (None, True), ("inspection", False)])
def test_a_blocked_door_stands_open_for_more_than_300_s_in_normal_mode(
    lift: Make, mode: str | None, raised: bool
) -> None:
    one = rows(lift(), [15 * k for k in range(21)], OPEN, mode=mode)
    assert one.said("door_blocked") == []
    rows(one, [301], OPEN, mode=mode)
    rows(one, [305], STANDS, mode=mode)
    assert one.said("door_blocked") == ([("raised", 0, 301), ("cleared", 0, 305)] if raised else [])


# ------------------------------------------------------------------ motion


@pytest.mark.parametrize(
    ("switch", "code", "kind"), [("up_limit", "09", "overrun"), ("down_limit", "10", "hit_bottom")]
)
def test_a_limit_switch_or_the_sources_word_is_an_end_of_travel(
    lift: Make, switch: str, code: str, kind: str
) -> None:
    one = rows(lift(), [0], STANDS, **{switch: True})
    rows(one, [5], STANDS, **{switch: False})
    assert one.said(kind) == [("raised", 0, 0), ("cleared", 0, 5)]
    one = rows(lift(attributes={"code_table": "provincial"}), [0], STANDS, codes=(code,))
    rows(one, [5], STANDS)
    rows(one, [10], STANDS, codes=("00",))
    assert one.said(kind) == [("raised", 0, 0), ("cleared", 0, 10)]


def test_overspeed_takes_two_samples_above_115_percent_of_the_rated_speed(lift: Make) -> None:
    one = lift(attributes={"rated_speed": "1.6"})
    rows(one, [0, 1], RUNS, speed=1.84)
    rows(one, [2], RUNS, speed=1.9)
    assert one.said("overspeed") == []
    rows(one, [3], RUNS, speed=-1.9)
    rows(one, [4], RUNS, speed=1.6)
    assert one.said("overspeed") == [("raised", 2, 3), ("cleared", 2, 4)]


def test_without_a_rated_speed_nothing_is_too_fast(lift: Make) -> None:
    for attributes in ({}, {"rated_speed": "fast"}, {"rated_speed": "-1"}, {"rated_speed": "nan"}):
        assert rows(lift(attributes=attributes), [0, 1, 2], RUNS, speed=15.0).kinds() == []


def test_leaving_the_zone_with_an_open_door_is_unintended(lift: Make) -> None:
    one = rows(lift(), [0, 5], OPEN)
    rows(one, [6], RUNS, door_closed=False, speed=0.2)
    rows(one, [20], STANDS)
    assert one.said("unintended_movement") == [("raised", 6, 6), ("cleared", 6, 20)]


@pytest.mark.parametrize("speed", [1.5, None])
def test_a_contact_that_opens_as_the_car_passes_a_landing_is_an_open_door_and_no_more(
    lift: Make, speed: float | None
) -> None:
    one = rows(lift(), [0, 5], RUNS, speed=speed)
    rows(one, [7], RUNS, in_door_zone=True, door_closed=False, speed=speed)
    rows(one, [8, 12], RUNS, door_closed=False, speed=speed)
    rows(one, [13], RUNS, in_door_zone=True, door_closed=False, speed=speed)
    rows(one, [15, 20], RUNS, speed=speed)
    assert one.said("unintended_movement") == []
    assert [phase for phase, *_ in one.said("door_open_moving")] == ["raised", "cleared"]


@pytest.mark.parametrize(
    ("seconds", "moving", "speed"), [([5], False, None), ([5, 6], True, 0.2), ([6], True, None)]
)
def test_a_door_that_opens_as_the_car_stands_levels_or_starts_makes_leaving_unintended(
    lift: Make, seconds: list[float], moving: bool, speed: float | None
) -> None:
    one = rows(lift(), [0], STANDS)
    rows(one, seconds, OPEN, moving=moving, speed=speed)
    rows(one, [8], RUNS, door_closed=False, speed=0.5)
    assert one.said("unintended_movement") == [("raised", 8, 8)]


def test_a_zone_that_is_gone_for_one_row_is_no_movement(lift: Make) -> None:
    one = rows(lift(), [0, 5], OPEN)
    rows(one, [6], OPEN, in_door_zone=False)
    rows(one, [7], OPEN)
    assert one.kinds() == []
    rows(one, [10, 12], OPEN, in_door_zone=False)
    assert one.said("unintended_movement") == [("raised", 10, 12)]


def test_a_door_forced_open_between_floors_is_no_unintended_movement(lift: Make) -> None:
    one = rows(lift(), [0], OPEN)
    rows(one, [2], STANDS)
    rows(one, [5], RUNS)
    rows(one, [10, 15, 20], RUNS, moving=False, door_closed=False)
    assert one.said("unintended_movement") == []


def test_the_controllers_code_05_is_unintended_movement(lift: Make) -> None:
    one = rows(lift(), [0], STANDS, codes=("5",))
    rows(one, [5], STANDS, codes=("00",))
    assert one.said("unintended_movement") == [("raised", 0, 0), ("cleared", 0, 5)]


@pytest.mark.parametrize(
    ("attributes", "limit"),
    [({}, 45), ({"travel_time": "20"}, 30), ({"travel_time": "2"}, 20), ({"run_limit": "90"}, 90)],
)
def test_a_run_has_a_limit_by_its_travel_time(lift: Make, attributes: dict[str, str], limit: int) -> None:
    one = rows(lift(attributes=attributes), [float(5 * k) for k in range(limit // 5 + 1)], RUNS)
    assert one.said("run_timeout") == []
    rows(one, [limit + 1], RUNS)
    rows(one, [limit + 3], STANDS)
    assert one.said("run_timeout") == [("raised", 0, limit + 1), ("cleared", 0, limit + 3)]


@pytest.mark.parametrize("again", [{"direction": "down"}, {"direction": "up", "run_count": 8}])
def test_another_run_is_not_a_longer_one(lift: Make, again: dict[str, Any]) -> None:
    one = rows(lift(), [float(5 * k) for k in range(8)], RUNS, direction="up", run_count=7)
    rows(one, [float(40 + 5 * k) for k in range(8)], RUNS, **{"run_count": 7, **again})
    assert one.said("run_timeout") == []


def test_three_stops_off_the_landing_are_not_level(lift: Make) -> None:
    one = lift()
    for stop, offset in enumerate([12, 3, -12, 12, -11, 4]):
        rows(one, [stop * 20.0], RUNS)
        rows(one, [stop * 20.0 + 10], STANDS, level_offset=offset)
    assert one.said("not_level") == [("raised", 50, 90), ("cleared", 50, 110)]


def test_a_car_that_sinks_far_off_the_landing_is_not_level(lift: Make) -> None:
    assert rows(lift(), [0, 5, 10], STANDS, level_offset=25).said("not_level") == [("raised", 0, 10)]


# ------------------------------------------------------------------ power, camera, silence


@pytest.mark.parametrize("power", ["battery", "other"])
def test_a_lift_off_the_mains_has_lost_power(lift: Make, power: str) -> None:
    one = rows(lift(), [0], STANDS, power=power)
    rows(one, [5], STANDS)
    rows(one, [10], STANDS, power="mains")
    assert one.said("power_loss") == [("raised", 0, 0), ("cleared", 0, 10)]


def test_the_power_channel_goes_before_the_code(lift: Make) -> None:
    assert rows(lift(), [0], STANDS, codes=("41",)).said("power_loss") == [("raised", 0, 0)]
    assert rows(lift(), [0], STANDS, codes=("41",), power="mains").kinds() == []


def test_an_ebike_is_told_with_class_confidence_and_picture(lift: Make) -> None:
    one = lift().row(0, {"ebike": 0.87, "ebike_class": "e-bike", "ebike_image": "media/1.jpg"})
    assert one.said("ebike") == [("raised", 0, 0)]
    assert one.observed() == {"ebike": 0.87, "ebike_class": "e-bike", "ebike_image": "media/1.jpg"}
    assert one.row(30, {"ebike": 0.1}).said("ebike")[1:] == [("cleared", 0, 30)]
    assert lift().row(0, {"ebike": 0.5}).kinds() == []


def test_an_ebike_that_is_shown_no_more_is_gone_after_ten_minutes(lift: Make) -> None:
    one = lift().row(0, {"ebike": 0.9}).row(60, {"ebike": 0.9})
    one.tick(600).tick(669)
    assert one.said("ebike") == [("raised", 0, 0)]
    assert one.tick(670).said("ebike")[1:] == [("cleared", 0, 660)]


def test_a_lift_is_offline_after_three_of_its_intervals(lift: Make) -> None:
    one = rows(lift(), [0, 60, 120], STANDS).tick(299)
    assert one.said("offline") == []
    assert one.tick(300).said("offline") == [("raised", 120, 300)]
    rows(one, [400], STANDS)
    assert one.said("offline")[1:] == [("cleared", 120, 400)]


def test_a_lift_that_stands_after_a_run_is_not_offline(lift: Make) -> None:
    """Every second while it runs, every minute while it stands."""
    one = rows(lift(), [0, 60, 120, *range(121, 141)], STANDS).tick(140 + 3 * 55)
    assert one.said("offline") == []


def test_a_lift_that_reports_every_second_is_not_offline_at_once(lift: Make) -> None:
    one = rows(lift(), [0, 1, 2, 3], STANDS).tick(122)
    assert one.said("offline") == []
    assert one.tick(123).said("offline") == [("raised", 3, 123)]


def test_a_declared_interval_goes_before_the_learned_one(lift: Make) -> None:
    one = rows(lift(attributes={"report_interval": "600"}), [0, 1, 2], STANDS).tick(1801)
    assert one.said("offline") == []
    assert one.tick(1802).said("offline") == [("raised", 2, 1802)]


# ------------------------------------------------------------------ sensors and sources


def trips(
    one: Any, count: int, every: float, person: bool | None, zone: bool = True, first: int = 0
) -> float:
    for n in range(first, first + count):
        one.row(n * every, {**STANDS, "in_door_zone": zone, "door_closed": False, "person": person})
        one.row(n * every + 5, {**RUNS, "person": person})
    return (first + count) * every


@pytest.mark.parametrize("person", [True, False])
def test_a_person_sensor_that_never_changes_over_trips_and_hours_is_stuck(lift: Make, person: bool) -> None:
    one = lift(attributes={"report_interval": "3600"})
    end = trips(one, 21, 400, person)
    assert [phase for phase, _, _ in one.said("sensor_fault")] == ["raised"]
    one.row(end, {**STANDS, "person": not person})
    assert one.said("sensor_fault")[1:] == [("cleared", 0, end)]


def test_a_stuck_person_sensor_leaves_the_alarm_button_in_force(lift: Make) -> None:
    one = lift(attributes={"report_interval": "3600"})
    end = trips(one, 21, 400, False)
    one.row(end, {**STANDS, "alarm_button": True})
    assert one.said() == [("suspected", end, end)]


def test_few_trips_or_a_short_time_do_not_make_a_sensor_stuck(lift: Make) -> None:
    for count, every in ((19, 600), (60, 100)):
        one = lift(attributes={"report_interval": "3600"})
        trips(one, count, every, True)
        assert one.said("sensor_fault") == []


def test_a_level_sensor_that_calls_every_stop_out_of_zone_switches_branch_a_off(lift: Make) -> None:
    one = lift(attributes={"report_interval": "3600"})
    end = trips(one, 20, 400, None, zone=False)
    assert one.said("sensor_fault") == [("raised", end - 395, end - 395)]
    assert one.claims[-1].rule == "fault.level"
    for k in range(61):
        one.row(end + 5 * k, {**STANDS, "in_door_zone": False, "person": True})
    assert one.said() == [("suspected", end, end + 300)]  # branch B' with the door alone
    one.row(end + 310, {**STANDS, "in_door_zone": False, "door_closed": False})
    one.row(end + 320, {**STANDS, "in_door_zone": False, "door_closed": False})
    assert one.said()[1:] == [("cleared", end, end + 320)]


def test_a_level_sensor_that_is_right_again_is_believed_again(lift: Make) -> None:
    one = lift(attributes={"report_interval": "3600"})
    trips(one, 20, 400, False, zone=False)
    trips(one, 10, 400, False, zone=True, first=20)
    assert [(c.rule, str(c.phase)) for c in one.claims if c.rule == "fault.level"] == [
        ("fault.level", "raised"),
        ("fault.level", "cleared"),
    ]


def test_a_vendors_entrapment_alone_is_for_a_person_to_look_at(lift: Make) -> None:
    one = rows(lift(attributes={"code_table": "kit_cloud"}), [0], STANDS, codes=("7",), person=None)
    assert one.kinds() == [("vendor_claim", "suspected")]
    assert one.claims[0].evidence.note == "unconfirmed"
    assert one.state["count.contradictions"].tolist() == [0]
    rows(one, [5], STANDS, codes=("00",))
    rows(one, [10], STANDS, codes=("8",))
    assert one.claims[-1].evidence.note == "contradicted"
    assert one.state["count.contradictions"].tolist() == [1]


def test_a_vendors_claim_is_joined_by_the_entrapment_that_is_found(lift: Make) -> None:
    one = lift(attributes={"code_table": "kit_cloud"})
    for second in range(0, 50, 5):
        one.stand(second, codes=("8",))
    assert one.kinds() == [
        ("vendor_claim", "suspected"),
        ("entrapment", "raised"),
        ("vendor_claim", "cleared"),
    ]


def test_a_vendors_claim_during_an_inspection_is_dropped(lift: Make) -> None:
    one = lift(attributes={"code_table": "kit_cloud"}).stand(0, mode="inspection", codes=("8",))
    assert one.kinds() == []


def test_unknown_codes_are_counted_and_never_guessed(lift: Make) -> None:
    one = rows(lift(), [0], STANDS, codes=("11", "77", "00"))
    assert one.kinds() == []
    assert one.state["count.unknown_codes"].tolist() == [2]
    one = rows(lift(attributes={"code_table": "of another planet"}), [0], STANDS, codes=("05",))
    assert (one.kinds(), one.state["count.unknown_codes"].tolist()) == ([], [1])


def test_a_level_sensor_is_not_doubted_while_somebody_may_be_shut_in(lift: Make) -> None:
    """A lift in trouble tries again and again, and stops out of the zone each time."""
    one = lift().stand(0, alarm_button=True)
    trips(one, 30, 20, True, zone=False, first=1)
    assert ("sensor_fault", "raised") not in one.kinds()
