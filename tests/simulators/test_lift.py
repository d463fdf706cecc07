"""Lifts obey physics, and what their labels say is what the kit shows."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.lift import Travel
from simulators.world import Label, Report
from zhiwei.clock import to_us

Lived = Callable[..., Any]
WORLD = ("elevator", 24, 7.0, 5, 0.6)


@pytest.fixture(scope="module")
def fleet(lived: Lived) -> dict[str, list[Report]]:
    found: dict[str, list[Report]] = defaultdict(list)
    for report in lived(*WORLD)[0]:
        found[report.entity].append(report)
    return found


@pytest.fixture(scope="module")
def labels(lived: Lived) -> list[Label]:
    found: list[Label] = lived(*WORLD)[1]
    return found


def ms(label: Label) -> tuple[int, int]:
    return to_us(label.onset) // 1000, to_us(label.end) // 1000


def during(fleet: dict[str, list[Report]], label: Label) -> list[Report]:
    start, end = ms(label)
    return [report for report in fleet[label.entity] if start <= report.ts <= end]


def of_kind(labels: list[Label], kind: str) -> Iterator[Label]:
    found = [label for label in labels if label.kind == kind]
    assert found, f"the world has no {kind}"
    return iter(found)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.2, 3), st.floats(0, 1))
def test_a_run_never_exceeds_its_speed_and_ends_where_it_should(
    start: float, end: float, speed: float, share: float
) -> None:
    travel = Travel(start, end, speed)
    height, now = travel.at(travel.duration_s * share)
    assert min(start, end) - 1e-6 <= height <= max(start, end) + 1e-6
    assert 0 <= now <= speed + 1e-9
    assert travel.at(travel.duration_s + 1) == (end, 0.0)


def test_height_is_the_integral_of_speed() -> None:
    travel = Travel(0, 30, 1.75)
    steps = 20_000
    gap = travel.duration_s / steps
    way = sum(travel.at((k + 0.5) * gap)[1] * gap for k in range(steps))
    assert way == pytest.approx(30, rel=1e-4)


def test_a_car_moves_with_open_doors_only_where_a_label_says_so(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    said = {"elevator.door_open_moving", "elevator.unintended_movement"}
    allowed = [label for label in labels if label.kind in said]
    bad = [
        report
        for reports in fleet.values()
        for report in reports
        if report.values["moving"] and not report.values["door_closed"]
        and not any(x.entity == report.entity and ms(x)[0] <= report.ts <= ms(x)[1] for x in allowed)
    ]  # fmt: skip
    assert bad == []


def test_doors_open_outside_the_zone_only_in_an_unintended_movement(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    events = [label for label in labels if label.kind == "elevator.unintended_movement"]
    for reports in fleet.values():
        for report in reports:
            v = report.values
            if not v["in_door_zone"] and not v["door_closed"] and not v["moving"]:
                assert any(x.entity == report.entity and ms(x)[0] <= report.ts for x in events)


def test_floors_speeds_and_counters_stay_within_what_a_lift_can_do(fleet: dict[str, list[Report]]) -> None:
    for reports in fleet.values():
        for before, after in pairwise(reports):
            a, b = before.values, after.values
            assert -1 <= float(str(b["floor"])) <= 27
            assert 0 <= float(str(b["speed"])) <= 2.5
            assert 0 <= int(str(b["run_count"])) - int(str(a["run_count"])) <= 1
            assert b["moving"] or b["speed"] == 0
            assert b["moving"] == (b["direction"] != "none")
            assert b["door_closed"] == (b["door_state"] == "closed") or b["door_state"] == "opening"


def test_somebody_enters_or_leaves_only_through_an_open_door(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    """Except that a sensor goes quiet over somebody who sits still, as the label says."""
    quiet = [label for label in labels if label.detail.get("quiet")]
    power = [label for label in labels if label.kind == "elevator.entrapment"]
    for reports in fleet.values():
        for before, after in pairwise(reports):
            if before.values["person"] != after.values["person"] and after.values["door_closed"]:
                near = [x for x in (*quiet, *power) if x.entity == after.entity]
                assert any(ms(x)[0] <= after.ts <= ms(x)[1] + 120_000 for x in near)


def test_a_busy_lift_reports_every_5_s_and_a_parked_one_every_minute(fleet: dict[str, list[Report]]) -> None:
    for reports in fleet.values():
        for before, after in pairwise(reports):
            busy = before.values["moving"] or before.values["person"] or not before.values["door_closed"]
            assert after.ts - before.ts <= (5_000 if busy else 60_000)


def test_whoever_is_trapped_between_floors_is_shown_so(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    for label in of_kind(labels, "elevator.entrapment"):
        shown = during(fleet, label)
        first, last = shown[0].values, shown[-1].values
        assert not first["moving"]
        assert first["door_closed"]
        assert first["person"]
        assert first["in_door_zone"] == (label.detail["event"] == "doors_fail")
        assert last["in_door_zone"]
        assert last["door_state"] == "open"
        assert not any(report.values["door_state"] == "open" for report in shown[:-1])
        assert any(report.values["alarm_button"] for report in shown) == label.detail["alarm_button"]
        assert label.life_safety


def test_doors_that_fail_are_seen_to_try(fleet: dict[str, list[Report]], labels: list[Label]) -> None:
    for label in of_kind(labels, "elevator.entrapment"):
        tries = [r for r in during(fleet, label) if r.values["door_state"] == "opening"]
        if label.detail["event"] == "doors_fail":
            assert len(tries) == int(str(label.detail["attempts"])) + 1  # the last one works


def test_a_power_cut_takes_a_whole_block_at_once(fleet: dict[str, list[Report]], labels: list[Label]) -> None:
    cuts = defaultdict(set)
    for label in of_kind(labels, "elevator.power_loss"):
        cuts[label.onset].add(label.entity)
        assert all(report.values["power"] == "battery" for report in during(fleet, label)[:-1])
    for entities in cuts.values():
        numbers = sorted(int(entity.split("-")[1]) - 1 for entity in entities)
        assert numbers == list(range(numbers[0] // 4 * 4, numbers[0] // 4 * 4 + 4))


def test_mains_are_away_only_in_a_power_cut(fleet: dict[str, list[Report]], labels: list[Label]) -> None:
    spans = [(x.entity, *ms(x)) for x in labels if x.kind == "elevator.power_loss"]
    for reports in fleet.values():
        for report in reports:
            if report.values["power"] != "mains":
                assert any(e == report.entity and a <= report.ts <= b for e, a, b in spans)


def test_door_events_show_what_they_are_called(fleet: dict[str, list[Report]], labels: list[Label]) -> None:
    for label in of_kind(labels, "elevator.door_cycling"):
        shown = [report.values["door_state"] for report in during(fleet, label)]
        assert shown.count("closing") >= 8
        assert "closed" not in shown
    for label in of_kind(labels, "elevator.door_blocked"):
        assert label.end.timestamp() - label.onset.timestamp() > 300
        assert not any(report.values["door_closed"] for report in during(fleet, label))
    for label in of_kind(labels, "elevator.door_open_moving"):
        inside = during(fleet, label)[:-1]
        assert all(r.values["moving"] and not r.values["door_closed"] for r in inside)
        assert inside[0].values["speed"] > 0.3  # type: ignore[operator]
        assert "also" not in label.detail


def test_ends_of_travel_are_told_by_the_switch_of_that_end(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    found = [x for x in labels if x.kind in ("elevator.overrun", "elevator.hit_bottom")]
    assert found
    for label in found:
        values = during(fleet, label)[1].values
        assert values["up_limit"] == (label.kind == "elevator.overrun")
        assert values["down_limit"] == (label.kind == "elevator.hit_bottom")
        assert not values["in_door_zone"]
        assert not values["person"]


def test_the_alarm_button_is_urgent_and_nothing_else_is(fleet: dict[str, list[Report]]) -> None:
    for reports in fleet.values():
        assert all(report.urgent == report.values["alarm_button"] for report in reports)


def test_alarms_are_pressed_only_where_a_label_says_so(
    fleet: dict[str, list[Report]], labels: list[Label]
) -> None:
    said = [x for x in labels if x.kind == "elevator.alarm_button" or x.detail.get("alarm_button")]
    for reports in fleet.values():
        for report in reports:
            if report.urgent:
                assert any(x.entity == report.entity and ms(x)[0] <= report.ts <= ms(x)[1] for x in said)
