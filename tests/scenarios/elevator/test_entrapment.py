"""Branches, latching, gaps, unknowns and clearing. E1 to E14 are golden cases: tests/cases/elevator."""

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
OPEN = {"in_door_zone": True, "door_closed": False}
CLOSED = {"in_door_zone": True, "door_closed": True}


def every(step: float, last: float, first: float = 0) -> list[float]:
    return [first + step * k for k in range(int((last - first) / step) + 1)]


# ------------------------------------------------------------------ terms


@pytest.mark.parametrize("term", ["moving", "in_door_zone", "person"])
def test_a_term_that_is_not_known_makes_the_predicate_unknown(lift: Make, term: str) -> None:
    one = lift().stand(*every(5, 300), **{term: None})
    assert one.said() == []


def test_an_unknown_term_freezes_the_timer_and_does_not_reset_it(lift: Make) -> None:
    one = lift().stand(*every(5, 40)).stand(*every(5, 100, 45), in_door_zone=None)
    assert one.said() == []
    one.stand(105, 110)
    assert one.said() == [("raised", 0, 110)]  # 40 s, then 5 s; nothing of the 65 s between


@pytest.mark.parametrize("mode", ["inspection", "firefighter", "out_of_service"])
def test_a_mode_out_of_service_suppresses_a_and_b(lift: Make, mode: str) -> None:
    assert lift().stand(*every(5, 600), mode=mode).said() == []
    assert lift().stand(*every(5, 600), mode=mode, **CLOSED).said() == []


@pytest.mark.parametrize("mode", ["emergency_power", "earthquake", "fire_return", "unknown", None])
def test_other_modes_suppress_nothing(lift: Make, mode: str | None) -> None:
    one = lift().stand(*every(5, 45), mode=mode)
    assert one.said() == [("raised", 0, 45)]
    assert one.claims[0].score == pytest.approx(0.95 * (0.8 if mode in ("unknown", None) else 1))


def test_a_mode_event_counts_where_the_source_has_no_mode(lift: Make) -> None:
    one = lift().stand(0, mode=None, codes=("43",)).stand(*every(5, 600, 5), mode=None)
    assert one.said() == []
    one.stand(605, mode=None, codes=("40",)).stand(*every(5, 650, 610), mode=None)
    assert one.said() == [("raised", 605, 650)]


def test_a_mode_event_is_not_believed_for_ever(lift: Make) -> None:
    one = lift().stand(0, mode=None, codes=("43",)).stand(*every(5, 86_500, 86_405), mode=None)
    assert one.said() == [("raised", 86_405, 86_450)]


def test_the_mode_field_goes_before_a_mode_event_and_disagreements_are_counted(lift: Make) -> None:
    one = lift().stand(0, codes=("43",)).stand(*every(5, 45, 5))
    assert one.said() == [("raised", 0, 45)]
    assert one.state["count.mode_disagreements"].tolist() == [1]


# ------------------------------------------------------------------ gaps


@pytest.mark.parametrize(("gap", "at"), [(15, 45), (16, 61)])
def test_a_gap_up_to_15_s_counts_as_held_and_a_longer_one_does_not(lift: Make, gap: int, at: int) -> None:
    one = lift().stand(0, 15, 30, 30 + gap)
    if gap == 16:
        assert one.said() == []
        one.stand(46 + 15)
    assert one.said() == [("raised", 0, at)]


def test_a_changed_run_count_restarts_the_timer_whatever_the_gap(lift: Make) -> None:
    one = lift().stand(*every(5, 40), run_count=7).stand(*every(5, 86, 41), run_count=8)
    assert one.said() == [("raised", 41, 86)]


def test_a_run_count_that_is_missing_for_a_while_restarts_nothing(lift: Make) -> None:
    one = lift().stand(0, 5, run_count=7).stand(*every(5, 40, 10)).stand(45, run_count=7)
    assert one.said() == [("raised", 0, 45)]


def test_without_a_row_no_timer_fires_but_that_of_lost_contact(lift: Make) -> None:
    one = lift().stand(*every(5, 40)).tick(99)
    assert one.said() == []
    one.tick(100).tick(600)
    assert one.said() == [("suspected", 0, 100)]


# ------------------------------------------------------------------ person


def test_nobody_inside_is_a_stop_outside_the_zone_and_no_entrapment(lift: Make) -> None:
    one = lift().stand(*every(5, 300), person=False)
    assert one.kinds() == [("stopped_outside_zone", "raised")]


def test_a_kit_without_a_person_channel_claims_a_stop_and_by_its_button_an_entrapment(lift: Make) -> None:
    one = lift().stand(*every(5, 300), person=None)
    assert one.said("stopped_outside_zone") == [("raised", 0, 60)]
    assert one.said() == []
    one.stand(305, person=None, alarm_button=True)
    assert one.said() == [("suspected", 305, 305)]
    assert one.observed()["reason"] == "person_unknown"


def test_silence_of_the_sensor_does_not_end_the_latch(lift: Make) -> None:
    one = lift().stand(0, 5).stand(*every(5, 45, 10), person=None)
    assert one.said() == [("raised", 0, 45)]


def test_a_door_that_opens_in_the_zone_ends_the_latch(lift: Make) -> None:
    one = lift().stand(0, 5, **CLOSED).stand(10, **OPEN)
    assert one.stand(*every(5, 120, 15), person=False).said() == []


def test_a_door_that_opens_between_floors_does_not_end_the_latch(lift: Make) -> None:
    one = lift().stand(0, 5).stand(10, 15, door_closed=False, person=False)
    assert one.stand(*every(5, 45, 20), person=False).said() == [("raised", 0, 45)]


# ------------------------------------------------------------------ in the zone


def test_without_evidence_where_it_could_be_seen_nothing_is_claimed(lift: Make) -> None:
    one = lift().stand(*every(5, 900), **CLOSED, alarm_button=False, calls=0)
    assert one.said() == []


def test_an_unserved_call_is_evidence(lift: Make) -> None:
    one = lift().stand(*every(5, 150), **CLOSED, calls=1)
    assert one.said() == [("raised", 0, 150)]
    assert one.observed()["evidence"] == "unserved_call"


def test_a_call_that_is_no_longer_registered_is_no_evidence(lift: Make) -> None:
    one = lift().stand(0, 5, **CLOSED, calls=1).stand(*every(5, 600, 10), **CLOSED, calls=0)
    assert one.said() == []


def test_a_failed_opening_is_evidence(lift: Make) -> None:
    one = lift().stand(0, **CLOSED, door_state="closed").stand(5, **CLOSED, door_state="opening")
    one.stand(*every(5, 150, 10), **CLOSED, door_state="closed")
    assert one.said() == [("raised", 0, 150)]
    assert one.observed()["evidence"] == "failed_opening"


def test_an_opening_fault_of_the_controller_is_evidence(lift: Make) -> None:
    one = lift().stand(*every(5, 150), **CLOSED, codes=("03",))
    assert one.said() == [("raised", 0, 150)]


def test_evidence_of_an_earlier_stop_does_not_count(lift: Make) -> None:
    one = lift().stand(0, 5, **CLOSED, alarm_button=True).stand(10, 20, **OPEN, alarm_button=False)
    one.stand(*every(5, 600, 25), **CLOSED, alarm_button=False)
    assert [phase for phase, _, _ in one.said()] == ["suspected", "cleared"]


def test_a_door_held_by_goods_is_no_entrapment(lift: Make) -> None:
    assert lift().stand(*every(5, 600), **OPEN, calls=1).said() == []


# ------------------------------------------------------------------ alarm button


def test_the_button_is_not_heard_while_the_door_stands_open_in_the_zone(lift: Make) -> None:
    one = lift().stand(0, 5, **OPEN, alarm_button=True)
    assert one.said() == []
    one.stand(10, **CLOSED, alarm_button=True)  # still pressed when the door closes
    assert one.said() == [("suspected", 10, 10)]


def test_the_button_in_an_empty_car_suspects_nobody(lift: Make) -> None:
    assert lift().stand(0, person=False, alarm_button=True).said() == []


def test_the_button_is_heard_where_zone_and_door_are_not_known(lift: Make) -> None:
    one = lift().row(0, {"alarm_button": True})
    assert one.said() == [("suspected", 0, 0)]


def test_a_button_that_sticks_calls_once(lift: Make) -> None:
    one = lift().stand(0, **CLOSED, alarm_button=True).stand(5, 15, **OPEN, alarm_button=True)
    one.stand(*every(5, 100, 20), **CLOSED, alarm_button=True)
    assert [phase for phase, _, _ in one.said()] == ["suspected", "cleared"]


@pytest.mark.parametrize("released", [False, None])
def test_another_press_calls_again_whether_or_not_the_release_was_told(
    lift: Make, released: bool | None
) -> None:
    one = lift().stand(0, **CLOSED, alarm_button=True).stand(5, 15, **OPEN, alarm_button=released)
    one.stand(*every(5, 75, 20), **CLOSED, alarm_button=released).stand(80, **CLOSED, alarm_button=True)
    assert one.said() == [("suspected", 0, 0), ("cleared", 0, 15), ("suspected", 80, 80)]


def test_the_standards_code_90_is_the_button(lift: Make) -> None:
    assert lift().stand(0, codes=("90",)).said() == [("suspected", 0, 0)]


def test_the_button_is_heard_during_an_inspection(lift: Make) -> None:
    assert lift().stand(0, mode="inspection", alarm_button=True).said() == [("suspected", 0, 0)]


# ------------------------------------------------------------------ contact lost


def test_lost_contact_in_the_zone_needs_evidence(lift: Make) -> None:
    assert lift().stand(0, 5, 10, **CLOSED).tick(600).said() == []
    one = lift().stand(0, 5, 10, **CLOSED, calls=1).tick(600)
    assert one.said() == [("suspected", 0, 70)]


def test_lost_contact_of_an_empty_car_suspects_nobody(lift: Make) -> None:
    assert lift().stand(0, 5, person=False).tick(600).said() == []


def test_after_lost_contact_another_run_begins_anew(lift: Make) -> None:
    one = lift().stand(*every(5, 40), run_count=7).tick(200)
    one.stand(*every(5, 245, 200), run_count=8)
    assert one.said() == [("suspected", 0, 100), ("raised", 200, 245)]


def test_rows_that_do_not_know_keep_the_contact(lift: Make) -> None:
    one = lift().stand(0, 5, 10).stand(*every(30, 190, 40), in_door_zone=None).tick(249)
    assert one.said() == []
    assert one.tick(250).said() == [("suspected", 0, 250)]


# ------------------------------------------------------------------ end


def test_a_door_that_bounces_clears_nothing(lift: Make) -> None:
    one = lift().stand(*every(5, 45)).stand(50, 55, **OPEN).stand(60, **CLOSED).stand(65, 70, **OPEN)
    assert [phase for phase, _, _ in one.said()] == ["raised"]


def test_a_normal_run_to_another_landing_clears_although_the_door_closes_again(lift: Make) -> None:
    one = lift().stand(*every(5, 45), floor=3)
    one.stand(50, moving=True, floor=3).stand(60, **OPEN, floor=5).stand(64, 66, **CLOSED, floor=5)
    assert [phase for phase, _, _ in one.said()] == ["raised"]
    one.stand(70, **CLOSED, floor=5)
    assert one.said()[1:] == [("cleared", 0, 70)]


def test_a_run_under_inspection_clears_nothing(lift: Make) -> None:
    one = lift().stand(*every(5, 45), floor=3).stand(50, moving=True, floor=4, mode="inspection")
    one.stand(60, **OPEN, floor=5, mode="inspection").stand(64, 80, **CLOSED, floor=5, mode="inspection")
    assert [phase for phase, _, _ in one.said()] == ["raised"]


def test_stuck_again_on_the_way_is_not_cleared_by_the_landing_before(lift: Make) -> None:
    one = lift().stand(*every(5, 45), floor=3).stand(50, moving=True, floor=3)
    one.stand(60, **OPEN, floor=5).stand(63, moving=True, floor=5).stand(*every(5, 120, 65), floor=6)
    assert [phase for phase, _, _ in one.said()] == ["raised"]


def test_the_next_entrapment_is_another_episode(lift: Make) -> None:
    one = lift().stand(*every(5, 45)).stand(50, 60, **OPEN).stand(*every(5, 110, 65))
    assert one.said() == [("raised", 0, 45), ("cleared", 0, 60), ("raised", 65, 110)]


# ------------------------------------------------------------------ doubts


def test_an_open_work_order_lowers_the_score_and_is_named(lift: Make) -> None:
    one = lift().row(0, {"work_order": True}).stand(*every(5, 50, 5))
    assert one.said() == [("raised", 5, 50)]
    assert one.claims[0].score == pytest.approx(0.95 * 0.6)
    assert one.observed()["reason"] == "work_order_open"


def test_the_sources_own_claim_adds_weight_and_is_no_finding_beside(lift: Make) -> None:
    one = lift(attributes={"code_table": "provincial"}).stand(*every(5, 40))
    one.stand(45, codes=("11",))
    assert one.kinds() == [("entrapment", "raised")]
    assert one.claims[0].score == pytest.approx(0.98)


def test_scores_speak_of_the_main_event(lift: Make) -> None:
    one = lift().row(0, {"floor": 3}).stand(5, moving=True).stand(10, 25, 40, 55)
    assert one.scores == pytest.approx([float("nan"), 0, 0, 0.5 / 3, 1 / 3, 0.95], nan_ok=True)


# ------------------------------------------------------------------ several messages


def test_channels_that_come_in_several_messages_are_put_together(lift: Make) -> None:
    one = lift()
    for second in every(5, 60):
        one.row(second, {"mode": "normal", "moving": False, "in_door_zone": False})
        one.row(second + 1, {"door_closed": True, "person": True})
    assert one.said() == [("raised", 1, 46)]


def test_a_button_row_of_its_own_is_read_with_the_door_that_was_last_seen(lift: Make) -> None:
    one = lift().stand(0, **OPEN, person=True).row(3, {"alarm_button": True})
    assert one.said() == []


def test_what_was_last_seen_grows_old(lift: Make) -> None:
    one = lift().stand(0, **OPEN, person=True).row(16, {"alarm_button": True})
    assert one.said() == [("suspected", 16, 16)]


def test_a_null_where_the_source_usually_sends_a_value_is_not_filled_in(lift: Make) -> None:
    one = lift().stand(*every(5, 40)).stand(45, 50, in_door_zone=None)
    assert one.said() == []
